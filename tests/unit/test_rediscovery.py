"""Tables are described anew before detection, which slow connectors must not hold up."""

from typing import Any
from uuid import UUID

import pytest

from shared.adapters.rediscovery import Rediscovery
from shared.errors import SourceUnavailableError


def test_connectors_are_left_to_the_next_tick_once_it_is_late() -> None:
    nobody: Any = None  # whoever is asked all the same breaks the test
    describe = Rediscovery(nobody, nobody, nobody, is_late=lambda: True)
    with pytest.raises(SourceUnavailableError, match="next tick|took the time"):
        describe(UUID(int=1), ["t"])

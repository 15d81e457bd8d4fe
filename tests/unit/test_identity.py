"""Tokens of the app's identity: asked for when needed, replaced in time, and kept through an outage."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import DefaultAzureCredential, ManagedIdentityCredential

from shared.adapters.identity import BearerTokens, managed_identity
from shared.errors import IdentityUnavailableError


class Directory:
    """Gives numbered tokens, each good for `life_s`; `made` counts credentials."""

    def __init__(self, life_s: float = 3600) -> None:
        self.now, self.life_s, self.given, self.made, self.down = 1_000_000.0, life_s, 0, 0, False

    def credential(self) -> Any:
        self.made += 1
        return self

    def get_token(self, *scopes: str) -> Any:
        if self.down:
            raise ClientAuthenticationError("canary")
        self.given += 1
        return SimpleNamespace(token=f"token {self.given}", expires_on=int(self.now + self.life_s))

    def tokens(self) -> BearerTokens:
        return BearerTokens(self.credential, "scope", clock=lambda: self.now)


@pytest.mark.parametrize(
    ("life_s", "elapsed", "given"), [(3600, 3299, 1), (3600, 3300, 2), (60, 29, 1), (60, 30, 2)]
)
def test_token_is_replaced_five_minutes_before_its_end_or_at_half_its_life(
    life_s: float, elapsed: float, given: int
) -> None:
    directory = Directory(life_s)
    tokens = directory.tokens()
    tokens.text()
    directory.now += elapsed
    assert (tokens.text(), directory.made) == (f"token {given}", 1)


def test_outage_is_bridged_until_half_a_minute_before_the_end_and_asked_about_now_and_then() -> None:
    directory = Directory()
    tokens = directory.tokens()
    tokens.text()
    directory.now, directory.down = directory.now + 3400, True
    assert tokens.text() == "token 1"
    directory.down = False
    directory.now += 29
    assert tokens.text() == "token 1", "the directory is not asked by every request"
    directory.now += 1
    assert tokens.text() == "token 2"


def test_outage_beyond_the_tokens_life_is_one_clear_error() -> None:
    directory = Directory()
    tokens = directory.tokens()
    tokens.text()
    directory.now, directory.down = directory.now + 3571, True
    with pytest.raises(IdentityUnavailableError, match="no token for scope") as caught:
        tokens.text()
    assert "canary" not in str(caught.value) and caught.value.__suppress_context__


def test_forgetting_makes_a_new_credential_past_the_old_ones_cache() -> None:
    directory = Directory()
    tokens = directory.tokens()
    tokens.text()
    tokens.forget()
    assert (tokens.text(), directory.made) == ("token 2", 2)


def test_many_threads_ask_once() -> None:
    directory = Directory()
    tokens, start, seen = directory.tokens(), threading.Barrier(8), []

    def ask() -> None:
        start.wait()
        seen.append(tokens.text())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (seen, directory.given) == (["token 1"] * 8, 1)


def test_in_azure_only_the_managed_identity_is_tried() -> None:
    assert isinstance(managed_identity("c", azure=True), ManagedIdentityCredential)
    assert isinstance(managed_identity(None, azure=False), DefaultAzureCredential)

"""The settings the app runs with on this machine, and where each comes from."""

from collections.abc import Mapping
from pathlib import Path

from infra.local.host.settings import read_local_settings

STORAGE = "AzureWebJobsStorage"
# Core Tools' shorthand for an emulator on its usual ports; the Python SDKs and moved ports need the long form.
SHORTHAND = "UseDevelopmentStorage=true"
EXAMPLE = "local.settings.json.example"


def compose(computed: Mapping[str, str], app: Path, present: Mapping[str, str]) -> dict[str, str]:
    """All settings: the example's, over them the stack's own, local.settings.json's, the environment's.

    Blank values of the example count as absent.
    """
    example = {name: value for name, value in read_local_settings(app / EXAMPLE).items() if value}
    chosen = {
        name: value
        for name, value in read_local_settings(app / "local.settings.json").items()
        if not (name == STORAGE and value == SHORTHAND)
    }
    merged = {**example, **computed, **chosen}
    return {name: present.get(name, value) for name, value in merged.items()}

"""Pages as Unity Catalog cuts them: a page may be empty and still carry a token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from infra.local.workspace.errors import InvalidError
from infra.local.workspace.switches import Switches

Item = TypeVar("Item")


def cut(
    items: Sequence[Item], parameters: Mapping[str, str], switches: Switches
) -> tuple[list[Item], dict[str, object]]:
    """One page and the members that lead to the next; all at once where no `max_results` is sent."""
    if "max_results" not in parameters and "page_token" not in parameters:
        return list(items), {}
    token = parameters.get("page_token", "")
    if not token and switches.empty_pages and items:
        return [], {"next_page_token": write_token(0)}
    begin, size = read_token(token), _size(parameters, switches)
    end = begin + size
    return list(items[begin:end]), ({"next_page_token": write_token(end)} if end < len(items) else {})


def write_token(position: int) -> str:
    return f"p{position}"


def read_token(token: str) -> int:
    if not token:
        return 0
    if not (token[0] == "p" and token[1:].isdigit()):
        raise InvalidError(f"Page token {token!r} is not one that this service gave out.")
    return int(token[1:])


def _size(parameters: Mapping[str, str], switches: Switches) -> int:
    text = parameters.get("max_results", "0")
    if not text.isdigit():
        raise InvalidError(f"max_results must be 0 or more, it is {text}.")
    return min(int(text), switches.page_size) or switches.page_size

"""Worlds for torture tests: fresh ones, and the fork server that they share."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from infra.local.postgres import PostgresServer
from tests.torture.world import World, made, workers_in

MakeWorld = Callable[..., World]


@pytest.fixture(scope="session")
def fork_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Processes to kill, for the whole session."""
    with workers_in(tmp_path_factory.mktemp("attempts")):
        yield


class Standing:
    """One long-lived world a strategy: a test that fails leaves the next a fresh one."""

    def __init__(self, make: Callable[[Any, ExitStack], World]) -> None:
        self._make, self._worlds, self._stack = make, dict[str, World](), ExitStack()

    def take(self, strategy: str) -> World:
        """The strategy's world; give it back with `put` when it is sound."""
        if strategy in self._worlds:
            world = self._worlds.pop(strategy)
            world.steps.clear()
            return world
        return self._make(strategy, self._stack)

    def put(self, world: World) -> None:
        self._worlds[world.strategy] = world

    def close(self) -> None:
        self._stack.close()


@pytest.fixture(scope="module")
def standing(
    fork_server: None,
    postgres_server: PostgresServer,
    storage_connection_string: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Standing]:
    """Loaded worlds that serve several tests."""

    def make(strategy: Any, stack: ExitStack) -> World:
        folder = tmp_path_factory.mktemp("standing")
        world = stack.enter_context(made(strategy, postgres_server, storage_connection_string, folder))
        world.sync()
        return world

    worlds = Standing(make)
    yield worlds
    worlds.close()


@pytest.fixture
def make_world(
    fork_server: None, postgres_server: PostgresServer, storage_connection_string: str, tmp_path: Path
) -> Iterator[MakeWorld]:
    """A factory of worlds that end with the test; `loaded=True` syncs the first load."""
    with ExitStack() as stack:

        def make(strategy: Any = "hash", *, loaded: bool = True, **options: Any) -> World:
            world = stack.enter_context(
                made(strategy, postgres_server, storage_connection_string, tmp_path, **options)
            )
            if loaded:
                world.sync()
            return world

        yield make

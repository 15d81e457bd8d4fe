"""Several streams at once, each in a thread of its own."""

from collections.abc import Callable, Generator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

Item = TypeVar("Item")


def abreast(*streams: Callable[[], Generator[Item, None, None]]) -> Generator[Item, None, None]:
    """The items of several streams as they come, each stream in a thread of its own and one item ahead."""
    with ThreadPoolExecutor(max(1, len(streams)), thread_name_prefix="abreast") as pool:
        made = [stream() for stream in streams]
        pending: dict[Future[Item | None], Generator[Item, None, None]] = {
            pool.submit(next, stream, None): stream for stream in made
        }
        try:
            while pending:
                done, _ = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    stream = pending.pop(future)
                    item = future.result()
                    if item is not None:
                        pending[pool.submit(next, stream, None)] = stream
                        yield item
        finally:
            wait(pending)
            for stream in made:
                pool.submit(stream.close)

"""Work in chunks, on whatever engine does it: the interface between a capability and the engine of a flow run."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class ChunkMap(Protocol):
    """Calls a function for chunks of items, elsewhere; `pipelines.orchestration.engines` makes one."""

    def __call__(
        self, work: Callable[[Sequence[Item]], list[Result]], chunks: Iterator[Sequence[Item]]
    ) -> Iterator[list[Result]]:
        """Yield ``work(chunk)`` of every chunk, in order; a bounded number of chunks is taken from `chunks` ahead.

        `work` is a function of a module, or a `functools.partial` of one. It is called again for a chunk that failed,
        so it must have no effect but its result.
        """

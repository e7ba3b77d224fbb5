"""Work on the chunks of a delivery in worker processes, and find the clip that ends a process."""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_workers(
    work: Callable[[Sequence[Item]], list[Result]],
    chunks: Iterable[Sequence[Item]],
    count: int,
    lost: Callable[[Item], Result],
) -> Iterator[list[Result]]:
    """Yield ``work(chunk)`` of every chunk, in order, from `count` processes; two chunks for each process are ahead.

    If a process is ended, such as by the kernel for lack of memory, the chunks that it may have worked on are repeated
    in a process of their own, and divided until the item that ends it is found: its result is ``lost(item)``.
    """
    rest = iter(chunks)
    pending: deque[tuple[Sequence[Item], Future[list[Result]]]] = deque()
    pool = _pool(count)
    try:
        while True:
            while len(pending) < 2 * count and (chunk := next(rest, None)) is not None:
                pending.append((chunk, _submit(pool, work, chunk)))
            if not pending:
                return
            chunk, future = pending.popleft()
            try:
                done = future.result()
            except BrokenProcessPool:
                done = _isolated(work, chunk, lost)
                if all(other.done() for _, other in pending):
                    pool.shutdown()
                    pool = _pool(count)
            yield done
    finally:
        for _, future in pending:
            future.cancel()
        pool.shutdown()


def _isolated(
    work: Callable[[Sequence[Item]], list[Result]], chunk: Sequence[Item], lost: Callable[[Item], Result]
) -> list[Result]:
    with _pool(1) as pool:
        try:
            return pool.submit(work, chunk).result()
        except BrokenProcessPool:
            if len(chunk) == 1:
                return [lost(chunk[0])]
    middle = len(chunk) // 2
    return _isolated(work, chunk[:middle], lost) + _isolated(work, chunk[middle:], lost)


def _submit(
    pool: ProcessPoolExecutor, work: Callable[[Sequence[Item]], list[Result]], chunk: Sequence[Item]
) -> Future[list[Result]]:
    try:
        return pool.submit(work, chunk)
    except BrokenProcessPool as error:
        broken: Future[list[Result]] = Future()
        broken.set_exception(error)
        return broken


def _pool(count: int) -> ProcessPoolExecutor:
    # spawn, because a fork would copy the locks of a threaded parent; threads would wait for the interpreter's lock
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(count, mp_context=context, initializer=_single_thread)


def _single_thread() -> None:
    """Keep torch, which resamples, from starting as many threads as there are cores in every worker."""
    os.environ["OMP_NUM_THREADS"] = "1"

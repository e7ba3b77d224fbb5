"""Work on the clips of a delivery in other processes, under bounds, and find the clip that ends a process.

`in_workers` divides a large delivery among several processes. A `WorkerProcess` is one that costs a third of a second
to start, for single clips of any delivery.
"""

import contextlib
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import IO, Any, TypeVar

from elp_core.containers import content_of
from elp_core.containers.riff import plain_samples

Item = TypeVar("Item")
Result = TypeVar("Result")

ITEM_SECONDS = 600
"""Time for one item, the decoding of a long file included; on systems with alarms (not Windows)."""
_MEMORY_BYTES = 12 * 2**30
"""Of one process: an hour of sound at 48 kHz takes half of it."""


class WorkerProcess:
    """A process that works on items one by one; one that takes too long, or too much memory, ends only the process.

    It starts at the first item, and ends with the block.
    """

    def __init__(self, seconds: int = ITEM_SECONDS) -> None:
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "WorkerProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def each(
        self, work: Callable[[Item], Result], items: Sequence[Item], lost: Callable[[Item], Result]
    ) -> Iterator[Result]:
        """Yield ``work(item)`` of every item, in order; ``lost(item)`` of one that ends the process.

        An ImportError of the work is raised here: every item would fail.
        """
        done, alone = 0, False
        while done < len(items):
            some = items[done : done + 1] if alone else items[done:]
            begun = False
            for answer in self._answers(work, some):
                if begun:
                    done += 1
                    yield answer
                begun = True
            if self._process is None and (begun or len(some) == 1):
                yield lost(items[done])
                done += 1
            # if it ended before it had read them, any of them may be the cause
            alone = not begun and len(some) > 1

    def _answers(self, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Any]:
        """Yield something when the process has read the items, then their results, until one ends the process."""
        process = self._process = self._process or _started()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            pickle.dump((work, items, self._seconds), process.stdin)
            process.stdin.flush()
            for _ in range(len(items) + 1):
                result, failure = pickle.load(process.stdout)
                if failure:
                    raise failure
                yield result
        except (EOFError, OSError, pickle.UnpicklingError):
            self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            # a request that was not written whole must not be flushed
            with contextlib.suppress(OSError):
                self._process.communicate()
            self._process = None


def _started() -> subprocess.Popen[bytes]:
    # not multiprocessing: its children import the parent's main module again, which in a flow run is all of Prefect
    command = [sys.executable, "-P", "-m", "pipelines.datasets.worker_processes"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def main() -> None:
    """Answer the requests on standard input until it ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # what libraries print must not get among the answers
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    # Ctrl-C reaches this process too, and the caller ends it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _limit()
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            work, items, seconds = pickle.load(sys.stdin.buffer)
            _answer(answers, None, None)
            for item in items:
                try:
                    with alarm(seconds):
                        result = work(item)
                    _answer(answers, result, None)
                except ImportError as error:
                    _answer(answers, None, error)


def _answer(answers: IO[bytes], result: Any, failure: Exception | None) -> None:
    pickle.dump((result, failure), answers)
    answers.flush()


def needs_no_bound(audio: Path | bytes) -> bool:
    """Return whether reading a file takes no more than its size explains: it has plain samples, or none at all."""
    try:
        with content_of(audio) as content:
            return len(content) == 0 or plain_samples(content) is not None
    except OSError:
        # the reader has the sentence
        return True


@contextlib.contextmanager
def alarm(seconds: int = ITEM_SECONDS) -> Iterator[None]:
    """End this process if the block takes more than so many `seconds`, even if it hangs inside a decoder."""
    if not hasattr(signal, "alarm"):
        yield
        return
    # the default action of the alarm ends the process
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def _limit() -> None:
    """Bound the memory of this process, and keep torch, which resamples, from starting a thread for each core."""
    os.environ["OMP_NUM_THREADS"] = "1"
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        bound = _MEMORY_BYTES if most == resource.RLIM_INFINITY else min(_MEMORY_BYTES, most)
        resource.setrlimit(resource.RLIMIT_DATA, (bound, most))


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
    return ProcessPoolExecutor(count, mp_context=context, initializer=_limit)


if __name__ == "__main__":
    main()

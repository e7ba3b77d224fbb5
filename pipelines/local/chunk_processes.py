"""Chunks of work in several processes of this machine: the `ChunkMap` that needs neither a cluster nor Prefect.

The processes are children with pipes: what they get and give back are pickles, and the end of the caller, by whatever
signal, ends them. A chunk that ends its process is tried once more, in a new one.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from elp_core.errors import OpsError
from pipelines.chunk_map import ChunkMap, Item, Result
from pipelines.local.environment import child_environment
from pipelines.locks import held_descriptors

_AHEAD = 2
"""Chunks for each process that are pickled before the first of them is done."""
_TRIES = 2
_LOG_BYTES = 2000
"""The end of a process's log that is read for the reason of its end."""


def processes_map(environments: Sequence[Mapping[str, str]]) -> ChunkMap:
    """Return the engine that has a process for each of these additions to the environment.

    The work is sent to a process once, and the items of a chunk with each chunk. Raises what the work raises; OpsError
    if a chunk has ended two processes.
    """

    def mapped(
        work: Callable[[Sequence[Item]], list[Result]], chunks: Iterator[Sequence[Item]]
    ) -> Iterator[list[Result]]:
        with tempfile.TemporaryDirectory(prefix="elp-chunks-") as logs:
            function = pickle.dumps(work)
            children = [
                _Child(number, environment, function, Path(logs) / f"{number}.log")
                for number, environment in enumerate(environments, start=1)
            ]
            yield from _in_order(children, chunks)

    return mapped


def _in_order(children: Sequence[_Child], chunks: Iterator[Sequence[Any]]) -> Iterator[list[Any]]:
    free: queue.SimpleQueue[_Child] = queue.SimpleQueue()
    for child in children:
        free.put(child)

    def answered(items: bytes) -> list[Any]:
        child = free.get()
        try:
            return child.answer(items)
        finally:
            free.put(child)

    pending: deque[Future[list[Any]]] = deque()
    # a thread for each process waits for its answer
    threads = ThreadPoolExecutor(len(children))
    try:
        while True:
            while len(pending) < _AHEAD * len(children) and (chunk := next(chunks, None)) is not None:
                pending.append(threads.submit(answered, pickle.dumps(chunk)))
            if not pending:
                return
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
        for child in children:
            child.end()
        threads.shutdown()


class _Child:
    """One process; it starts with its first chunk."""

    def __init__(self, number: int, environment: Mapping[str, str], work: bytes, log: Path) -> None:
        self._number, self._environment, self._work, self._log = number, environment, work, log
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = False
        self._guard = threading.Lock()

    def answer(self, items: bytes) -> list[Any]:
        for left in reversed(range(_TRIES)):
            process = self._started()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(items)
                process.stdin.flush()
                results, failure = pickle.load(process.stdout)
            except (EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
                reason = self._stop()
                if not left or self._ended:
                    raise OpsError(
                        f"process {self._number} of compute.processes {reason}, twice at the same chunk of work; "
                        "set compute.processes lower if memory is short"
                    ) from error
                continue
            if failure is not None:
                raise failure
            found: list[Any] = results
            return found
        raise AssertionError("unreachable")

    def end(self) -> None:
        """End the process, whatever it does; a call of `answer` in another thread then raises."""
        with self._guard:
            self._ended = True
        self._stop()

    def _started(self) -> subprocess.Popen[bytes]:
        with self._guard:
            if self._ended:
                raise OpsError("the work was given up")
            if self._process is None:
                # not multiprocessing: its children outlive a parent that is killed
                command = [sys.executable, "-P", "-m", "pipelines.local.chunk_processes"]
                pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
                # a GPU that this process holds is in use until the last child has ended
                pipes["pass_fds"] = held_descriptors()
                with self._log.open("wb") as log:
                    environment = child_environment({}) | dict(self._environment)
                    self._process = subprocess.Popen(command, env=environment, stderr=log, **pipes)
                assert self._process.stdin is not None
                # a process that has ended already is found when its answer is read
                with contextlib.suppress(OSError):
                    self._process.stdin.write(self._work)
            return self._process

    def _stop(self) -> str:
        """End the process; return how it ended, with the last line of its log."""
        with self._guard:
            process, self._process = self._process, None
        if process is None:
            return "was stopped"
        if not self._ended:
            # it closed its output because it is about to end
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1)
        process.kill()
        # a request that was not written whole must not be flushed
        with contextlib.suppress(OSError):
            process.communicate()
        said = self._log.read_bytes()[-_LOG_BYTES:].decode("utf-8", "replace").strip()
        code = process.returncode
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return f"{how} ({said.splitlines()[-1] if said else 'it wrote nothing'})"


def main() -> None:
    """Read the work and then chunks of items from standard input, and answer each, until the input ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # what libraries print must not get among the answers
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    # Ctrl-C reaches this process too, and the caller ends it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(requests,), daemon=True).start()
    work = requests.get()
    while True:
        pickle.dump(_result(work, requests.get()), answers)
        answers.flush()


def _read(requests: queue.SimpleQueue[Any]) -> None:
    try:
        while True:
            requests.put(pickle.load(sys.stdin.buffer))
    except EOFError:
        # the caller has ended; nobody waits for what this process is doing
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def _result(work: Callable[[Any], list[Any]], items: Any) -> tuple[list[Any] | None, Exception | None]:
    """Return the results, or the error of the work in a form that can be pickled."""
    try:
        return work(items), None
    except Exception as error:
        error.add_note(traceback.format_exc())
        try:
            # some classes of other packages cannot be made again of what they hold
            pickle.loads(pickle.dumps(error))
        except Exception:
            return None, OpsError(f"{type(error).__name__}: {error}")
        return None, error


if __name__ == "__main__":
    main()

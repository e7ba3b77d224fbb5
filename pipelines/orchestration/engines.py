"""Chunks of work on a Dask or Ray cluster, through Prefect's task runners; the default engine is none of them.

What crosses to the cluster: the name of a function of this package with its settings, and items with their bytes, as a
pickle; what comes back is a pickle of the results. Prefect adds the context of the run as a pickle with code: the flow,
its parameters and the settings of its client, the key of its API included. So scheduler, workers and flow run trust
each other as one process does. The workers need this release of the package, and Prefect's API.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.metadata
import importlib.util
import logging
import os
import pickle
import platform
import secrets
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner

from elp_core.errors import ElpError
from elp_core.types import Seconds
from pipelines.chunk_map import ChunkMap, Item, Result
from pipelines.errors import ServiceError, UsageError
from pipelines.local.compute_settings import FanOut
from pipelines.local_hosts import LOCAL_HOSTS
from pipelines.orchestration.ray_folder import ray_folder

Log = Callable[[str], None]
Work = Callable[[Sequence[Any]], list[Any]]

TRIES = 3
"""How often a chunk is submitted; the engine repeats it in addition if one of its workers dies."""
AHEAD = 64
"""Chunks that are submitted before the first of them is done."""
AHEAD_BYTES = 256 * 2**20
"""What they may have in all: this bounds the memory of this process and of the scheduler."""
SHARED_FROM = 2**20
"""Work of so many bytes, such as the files of bundles, is sent to an engine once and not with each chunk."""
WAIT: Seconds = 60.0
"""How long a cluster may have no worker before its use fails."""
_DECIDING = (
    "elp-foundry", "numpy", "soundfile", "soxr", "av", "torch", "torchaudio", "transformers", "num2words", "jaconv",
    "neologdn", "fugashi", "unidic-lite", "sentencepiece",
)  # fmt: skip
"""Packages whose versions decide the bytes of a result."""


def engine_release() -> str:
    """Return what must be equal on both sides, as text: this package and what decides the bytes of a result."""
    import soundfile

    versions = [
        f"python {'.'.join(platform.python_version_tuple()[:2])}",
        f"libsndfile {soundfile.__libsndfile_version__}",
    ]
    for name in _DECIDING:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            # without the build tag: CPU and GPU builds of PyTorch differ in it
            versions.append(f"{name} {importlib.metadata.version(name).partition('+')[0]}")
    return ", ".join(versions)


def work_on_chunk(release: str, work: bytes, items: bytes) -> bytes:
    """Call the pickled function with the pickled items; it runs on a worker of the engine.

    Raises UsageError if the worker has other packages than the flow run.
    """
    mine = engine_release()
    if mine != release:
        here, there = mine.split(", "), release.split(", ")
        lacking, other = [x for x in there if x not in here], [x for x in here if x not in there]
        raise UsageError(
            f"worker {socket.gethostname()} of the engine has {', '.join(other) or 'no other packages'}, and the flow "
            f"run has {', '.join(lacking) or 'fewer'}: install the same release and packages on both"
        )
    return pickle.dumps(pickle.loads(work)(pickle.loads(items)))


# not as a decorator: the function would cross as code, not as a name. No retries of Prefect: the same worker makes them
_CHUNK_TASK = task(name="chunk", retries=0, cache_policy=NO_CACHE, persist_result=False)(work_on_chunk)


@dataclass(frozen=True)
class _Engine:
    """A started task runner."""

    name: str
    runner: TaskRunner[Any]
    deaths: tuple[type[Exception], ...]
    """Raised if a chunk has ended every worker that tried it."""
    log: Log

    share: Callable[[bytes], Any]
    """Sends bytes to the engine; what it returns stands for them in the parameters of a task."""

    def submit(self, work: Any, items: bytes) -> PrefectFuture[Any]:
        """Submit a chunk; `work` is the pickled function, or what `share` returned for it."""
        try:
            submitted: PrefectFuture[Any] = self.runner.submit(
                _CHUNK_TASK, {"release": engine_release(), "work": work, "items": items}
            )
        except Exception as error:
            # clients of both engines raise what they like when their scheduler is gone
            raise ServiceError(
                f"the {self.name} cluster takes no work any more ({type(error).__name__}: {error}); start it again, or "
                "set fan_out.engine to processes"
            ) from error
        return submitted

    def result(self, work: bytes, items: bytes, future: PrefectFuture[Any]) -> list[Any]:
        """Return a chunk's result; a chunk that failed is submitted again, and one that ends workers is done here."""
        for left in reversed(range(TRIES)):
            try:
                return cast("list[Any]", pickle.loads(future.result()))
            except ElpError:
                # what the work itself refuses: it would do so again
                raise
            except self.deaths as error:
                self.log(f"a chunk ended the {self.name} workers that tried it ({error}); it is done on this machine")
                return cast("list[Any]", pickle.loads(work)(pickle.loads(items)))
            except Exception as error:
                if not left:
                    raise ServiceError(
                        f"the {self.name} cluster failed {TRIES} times at one chunk of work "
                        f"({type(error).__name__}: {error}); see its log, or set fan_out.engine to processes"
                    ) from error
                self.log(
                    f"a chunk failed on the {self.name} cluster and is tried again ({type(error).__name__}: {error})"
                )
                # with the work itself: what was shared may be lost with a worker
                future = self.submit(work, items)
        raise AssertionError("unreachable")


def chunk_map_of(fan_out: FanOut, log: Log) -> ChunkMap | None:
    """Return the engine that the settings name; None for the processes of this machine.

    The engine is started, or its scheduler is connected, when the first work arrives. Raises UsageError if a package is
    missing, or if a cluster of another machine is not protected; ServiceError, from the work, if there is no cluster.
    """
    if fan_out.engine == "processes":
        return None
    opened = {"dask": _dask, "ray": _ray}[fan_out.engine]
    if fan_out.engine == "ray" and importlib.util.find_spec("prefect_ray"):
        _set_for_ray(own=not fan_out.address)
    try:
        importlib.import_module(f"prefect_{fan_out.engine}")
    except ImportError as error:
        extra = f"pip install 'elp-foundry[{fan_out.engine}]'"
        raise UsageError(
            f"fan_out.engine is {fan_out.engine}, and its package is missing ({error}): {extra}"
        ) from error

    def mapped(
        work: Callable[[Sequence[Item]], list[Result]], chunks: Iterator[Sequence[Item]]
    ) -> Iterator[list[Result]]:
        with opened(fan_out.address, log) as engine:
            yield from _in_order(engine, work, chunks)

    return mapped


def _in_order(engine: _Engine, work: Work, chunks: Iterator[Sequence[Any]]) -> Iterator[list[Any]]:
    pending: deque[tuple[bytes, PrefectFuture[Any]]] = deque()
    held, function = 0, pickle.dumps(work)
    sent = function if len(function) < SHARED_FROM else engine.share(function)
    while True:
        while not pending or (len(pending) < AHEAD and held < AHEAD_BYTES):
            chunk = next(chunks, None)
            if chunk is None:
                break
            items = pickle.dumps(chunk)
            held += len(items)
            pending.append((items, engine.submit(sent, items)))
        if not pending:
            return
        items, future = pending.popleft()
        held -= len(items)
        yield engine.result(function, items, future)


@contextlib.contextmanager
def _dask(address: str, log: Log) -> Iterator[_Engine]:
    import dask
    from distributed.scheduler import KilledWorker
    from prefect_dask.task_runners import DaskTaskRunner

    own = {
        "n_workers": min(os.cpu_count() or 1, 8),
        "threads_per_worker": 1,
        # certificates for this cluster alone: other users of the machine reach its ports, too
        "security": True,
    }
    runner = DaskTaskRunner(address=address) if address else DaskTaskRunner(cluster_kwargs=own)
    config = {
        # a chunk is large on purpose
        "distributed.admin.large-graph-warning-threshold": "1GB",
        # no pages: they ask for no certificate
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
        "distributed.scheduler.dashboard.link": "",
    }
    # Prefect would put every connection of the cluster into the log of the run
    logging.getLogger("distributed").setLevel(logging.WARNING)
    with dask.config.set(config), runner:
        try:
            runner.client.wait_for_workers(1, timeout=WAIT)
        except (OSError, TimeoutError) as error:
            raise ServiceError(
                f"the Dask scheduler {address or 'of this run'} has no worker for us ({error}); start one, or set "
                "fan_out.engine to processes"
            ) from error
        # to every worker that is there; later ones get it from these
        share = functools.partial(runner.client.scatter, broadcast=True, hash=False)
        yield _Engine("Dask", runner, (KilledWorker,), log, share)


@contextlib.contextmanager
def _ray(address: str, log: Log) -> Iterator[_Engine]:
    host = urlsplit(address).hostname if address else None
    if host and host not in LOCAL_HOSTS and os.environ.get("RAY_USE_TLS") != "1":
        raise UsageError(f"fan_out.address is {address!r}: a cluster of another machine needs TLS; set RAY_USE_TLS=1")
    ray = importlib.import_module("ray")
    with contextlib.ExitStack() as stack:
        settings: dict[str, Any] = {"log_to_driver": False}
        if not address:
            settings |= {
                "include_dashboard": False,
                "num_cpus": min(os.cpu_count() or 1, 8),
                "object_store_memory": 2**30,
                "_node_ip_address": "127.0.0.1",
                "_temp_dir": str(stack.enter_context(ray_folder())),
            }
        runner = importlib.import_module("prefect_ray").RayTaskRunner(address=address or None, init_kwargs=settings)
        deaths = (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError)
        try:
            runner.__enter__()
        except Exception as error:
            where = address or "of this run"
            raise ServiceError(f"the Ray cluster {where} cannot be used ({type(error).__name__}: {error})") from error
        try:
            yield _Engine("Ray", runner, deaths, log, ray.put)
        finally:
            runner.__exit__(None, None, None)
            # the runner leaves the connection to a cluster of others open
            ray.shutdown()


def _set_for_ray(own: bool) -> None:
    """Set what Ray reads from the environment when it is imported."""
    # its statistics go to the maker
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if own and os.environ.setdefault("RAY_AUTH_MODE", "token") == "token":
        # who reaches its ports without the token could run code as this user; Ray reads it once in a process
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))

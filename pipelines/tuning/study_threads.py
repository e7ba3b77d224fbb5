"""The trainings that a session runs at once: all of them end if one raises, and on Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import TypeVar

from pipelines.tuning.time_spent import StudySession

Result = TypeVar("Result")


def run_together(calls: Sequence[Callable[[], Result]], jobs: int, session: StudySession) -> list[Result]:
    """Return the results of calls in their order, made by `jobs` threads.

    If one raises, or on Ctrl-C, the session is stopped, calls that have not begun are left out, and the error is raised
    when those that have begun have ended.
    """
    if jobs == 1:
        return [call() for call in calls]
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="tune")
    try:
        # a copy of the context: Prefect's tasks find their flow in it
        futures = [pool.submit(copy_context().run, call) for call in calls]
        for future in wait(futures, return_when=FIRST_EXCEPTION).done:
            future.result()
        return [future.result() for future in futures]
    except BaseException:
        session.stopped.set()
        raise
    finally:
        pool.shutdown(cancel_futures=True)

"""Work of a request in a thread, for as long as its client waits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar

from starlette.requests import Request

from pipelines.serving.http.request_ticket import Ticket

T = TypeVar("T")


async def answer_waiting(request: Request, threads: Executor, work: Callable[[Ticket], T]) -> T:
    """Return what `work` returns. If the client goes, its part of the queue is left out, and the thread ends soon."""
    ticket = Ticket()
    done: asyncio.Future[T] = asyncio.get_running_loop().run_in_executor(threads, work, ticket)
    gone = asyncio.create_task(_until_gone(request))
    try:
        ends: set[asyncio.Future[Any]] = {done, gone}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not done.done():
            ticket.cancel()
        # the place of the request is free only when its thread is
        return await asyncio.shield(done)
    finally:
        ticket.cancel()
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gone


async def _until_gone(request: Request) -> None:
    # the body was read before: nothing but the end of the connection can follow
    while (await request.receive())["type"] != "http.disconnect":
        pass

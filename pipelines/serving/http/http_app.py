"""The web application of `elp serve`: routes, probes and metrics around the parts of a server."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from prometheus_client.exposition import choose_encoder
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from elp_core.errors import ElpError
from pipelines.errors import RequestRefused
from pipelines.serving.http.api_keys import ApiKeyFile
from pipelines.serving.http.api_page import api_page
from pipelines.serving.http.body_room import BodyRoom
from pipelines.serving.http.champion_follower import ChampionFollower
from pipelines.serving.http.error_answers import on_error
from pipelines.serving.http.http_routes import speech_routes
from pipelines.serving.http.live_audio import live_routes
from pipelines.serving.http.request_form import may_see
from pipelines.serving.http.request_limits import RequestBounds, RequestLimits
from pipelines.serving.http.server_names import ServerNames
from pipelines.serving.http.service_metrics import ServiceMetrics
from pipelines.serving.http.speech_service import SpeechService
from pipelines.serving.http.voice_service import VoiceService


@dataclass(frozen=True)
class ServerParts:
    """What the routes work with."""

    service: SpeechService
    voices: VoiceService
    follower: ChampionFollower
    keys: ApiKeyFile
    metrics: ServiceMetrics
    bounds: RequestBounds
    bodies: BodyRoom
    names: ServerNames
    """By which browsers may ask."""


def make_serve_app(parts: ServerParts, threads: ThreadPoolExecutor) -> FastAPI:
    """Return the application; `threads` has a thread for each request in progress."""
    app = FastAPI(title="elp serve", version=version("elp-foundry"), docs_url=None, redoc_url=None)
    app.include_router(speech_routes(parts.service, parts.voices, threads))
    app.include_router(live_routes(parts.service, threads))
    _add_probes(app, parts)
    for kind in (ElpError, HTTPException, Exception):
        app.add_exception_handler(kind, on_error)
    app.add_middleware(
        RequestLimits,
        bounds=parts.bounds,
        keys=parts.keys,
        bodies=parts.bodies,
        delay=lambda: parts.service.room.delay,
        metrics=parts.metrics,
        names=parts.names,
    )
    return app


def _add_probes(app: FastAPI, parts: ServerParts) -> None:
    @app.head("/healthz", include_in_schema=False)
    @app.get("/healthz")
    async def healthz() -> Response:
        """Answer 200 while the server computes and follows the champions, 503 if it has to be started again."""
        threads = {"computes": parts.service.batcher.alive, "follows the champions": parts.follower.alive}
        ended = [f"the thread that {what} has ended" for what, alive in threads.items() if not alive]
        return JSONResponse({"status": "; ".join(ended) or "ok"}, 503 if ended else 200)

    @app.head("/readyz", include_in_schema=False)
    @app.get("/readyz")
    async def readyz(request: Request) -> Response:
        """Answer 200 if at least one slot is served, with what is not as it should be."""
        ready = bool(parts.service.served.versions) and parts.service.batcher.alive
        values: dict[str, Any] = {"status": "ready" if ready else "nothing is served yet"}
        if request.state.key is not None or not request.state.closed:
            values |= _details(parts, request)
        return JSONResponse(values, 200 if ready else 503)

    @app.get("/metrics")
    async def metrics(request: Request) -> Response:
        """Answer the metrics for Prometheus; a key needs the scope */*, because they are of all slots."""
        if request.state.closed and not request.state.key.permits_all:
            raise RequestRefused(
                403, "scope", "the metrics are of all slots; send a key for them: elp api-keys add NAME --slot '*/*'"
            )
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(parts.metrics.registry), media_type=content_type)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(api_page(app.openapi()))


def _details(parts: ServerParts, request: Request) -> dict[str, Any]:
    """Return the state of the slots that a request may see, without causes if it may not see all of the server."""
    state, key = parts.follower.state, request.state.key
    queued, seconds = parts.service.batcher.queued
    # causes have addresses of the registry, paths and other slots in them
    trusted = key.permits_all if key else parts.names.local and not parts.names.public

    def cause(text: str) -> str:
        return text if trusted or not text else "the server's log has the reason"

    return {
        "source": {
            "reachable": state.reachable,
            "seconds_since_last_look": round(time.time() - state.last_look, 1) if state.last_look else None,
            "error": cause(state.error),
            "updates_stopped": cause(state.updates_stopped),
        },
        "serving": {str(one.slot): one.version for one in parts.service.served.versions if may_see(request, one.slot)},
        "problems": {
            str(slot): f"{problem.effect}: {cause(problem.cause)}" if problem.cause else problem.effect
            for slot, problem in state.problems.items()
            if may_see(request, slot)
        },
        "queue": {
            "requests": queued,
            "audio_seconds": round(seconds, 1),
            "backlog_seconds": round(parts.service.room.backlog, 1),
        },
    }

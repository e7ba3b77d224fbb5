"""`elp serve`: one process with one backbone, every champion of the sites, and the web application in front of them."""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from elp_core.types import Seconds
from pipelines.errors import ServiceError
from pipelines.local.foreground import Stopped, stop_signals
from pipelines.local.settings import Settings
from pipelines.number_text import count
from pipelines.serving.champion_source import ChampionSource
from pipelines.serving.http.api_keys import ApiKeyFile
from pipelines.serving.http.body_room import BodyRoom
from pipelines.serving.http.decode_pool import DecodePool
from pipelines.serving.http.presence_reporter import known_to_console
from pipelines.serving.http.serve_options import ServeOptions

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

    from pipelines.serving.http.http_app import ServerParts
    from pipelines.serving.http.request_logger import RequestLogger
    from pipelines.serving.http.served_set import ServedSet
    from pipelines.serving.http.service_metrics import ServiceMetrics

Report = Callable[[str], None]
_BACKLOG = 2048
"""Connections that wait to be accepted: as many as uvicorn asks for."""
_GRACE: Seconds = 20
"""For requests in progress when the server is asked to stop."""


@dataclass(frozen=True)
class OpenService:
    """The parts of a running server that others look at."""

    app: FastAPI
    parts: ServerParts

    @property
    def served(self) -> ServedSet:
        """The versions that answer."""
        return self.parts.service.served

    def report_backbones(self, report: Report) -> None:
        """Say which backbones are in memory if they are several."""
        names = sorted({one.fingerprint[:19] for one in self.served.versions})
        if len(names) > 1:
            report(f"{len(names)} backbones are in memory until all champions are on one: {'…, '.join(names)}…")


@contextlib.contextmanager
def open_service(
    source: ChampionSource, settings: Settings, options: ServeOptions, keys: ApiKeyFile, report: Report
) -> Iterator[OpenService]:
    """Load the backbones and the champions, and follow them until the block ends.

    Raises ServiceError if the source of champions does not answer; BackboneError if there is no such backbone.
    """
    # before torch is loaded: oneDNN keeps 1,024 compiled kernels, half a gigabyte in an hour; with these few it still
    # compiles none again for the usual lengths, which the host rounds up
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")
    from pipelines.serving.http.audio_batcher import AudioBatcher
    from pipelines.serving.http.audio_room import AudioRoom
    from pipelines.serving.http.champion_follower import ChampionFollower
    from pipelines.serving.http.http_app import ServerParts, make_serve_app
    from pipelines.serving.http.resident_hosts import resident_hosts
    from pipelines.serving.http.served_set import ServedSet
    from pipelines.serving.http.service_metrics import ServiceMetrics
    from pipelines.serving.http.speech_service import SpeechService
    from pipelines.serving.http.voice_service import VoiceService

    with contextlib.ExitStack() as stack:
        host = resident_hosts(settings, options.memory_bytes, options.batch_seconds, report, options.settings_now)
        metrics, served = ServiceMetrics(), ServedSet(host)
        follower = ChampionFollower(source, served, options.every, report)
        if not follower.look().reachable:
            raise ServiceError(follower.state.error)
        host.drop_unused()
        waits, most = options.max_wait, options.most_batches
        batcher = AudioBatcher(host, options.batch_seconds, waits, metrics.count_batch, most)
        stack.callback(batcher.close)
        decoders = DecodePool(options.decoders, options.decode)
        stack.callback(decoders.close)
        decoders.start()
        # it ends after the threads that could still give it a request
        log = stack.enter_context(_request_log(settings, options, metrics))
        places = options.bounds.requests + options.bounds.websockets
        threads = ThreadPoolExecutor(places, thread_name_prefix="elp-request")
        stack.callback(threads.shutdown)
        follower.start()
        stack.callback(follower.close)
        room = AudioRoom(options.held_seconds, options.backlog_seconds, lambda: batcher.cost)
        metrics.watch(batcher, room, follower, served, log)
        service = SpeechService(served, batcher, decoders, room, lambda slot: settings.for_slot(slot).decode, log)
        voices, bodies = (
            VoiceService(service, options.voices),
            BodyRoom(options.bounds.all_bodies_bytes, lambda: room.delay),
        )
        parts = ServerParts(service, voices, follower, keys, metrics, options.bounds, bodies, options.names)
        yield OpenService(make_serve_app(parts, threads), parts)


@contextlib.contextmanager
def _request_log(settings: Settings, options: ServeOptions, metrics: ServiceMetrics) -> Iterator[RequestLogger | None]:
    """Give the log of the requests; what is queued is written when the block ends."""
    from pipelines.serving.http.request_logger import RequestLogger

    if options.log_state is None:
        yield None
        return
    # the settings of a slot take a while to merge
    policy = functools.cache(lambda slot: settings.for_slot(slot).requests)
    log = RequestLogger(options.log_state, policy, metrics.count_logged)
    log.start()
    try:
        yield log
    finally:
        log.close()


def web_server(app: FastAPI, options: ServeOptions) -> uvicorn.Server:
    """Return the web server for an application, not yet started."""
    import uvicorn

    return uvicorn.Server(
        uvicorn.Config(
            app,
            host=options.host,
            port=options.port,
            ssl_certfile=options.certificate,
            ssl_keyfile=options.private_key,
            log_level=logging.WARNING,
            access_log=False,
            timeout_graceful_shutdown=int(_GRACE),
            # the peers that were behind a proxy are of no use here, and a header must not choose them
            proxy_headers=False,
            server_header=False,
            lifespan="off",
            # a longer message closes the websocket with code 1009
            ws_max_size=2**20,
            ws_max_queue=4,
        )
    )


def listening_socket(options: ServeOptions) -> socket.socket:
    """Return a socket that listens at the address of the options; raises ServiceError if that cannot be used.

    It listens before anything is loaded: until a socket listens, the system gives its address to a second server, too.
    """
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    # with the protocol's number: asyncio switches Nagle's algorithm off for such sockets only, and with it every answer
    # after a client's first one would wait 40 ms for an acknowledgement
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((options.host, options.port))
        made.listen(_BACKLOG)
    except OSError as error:
        made.close()
        wrong_host = isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL
        advice = "give --host an address of this machine" if wrong_host else "choose another with --port"
        raise ServiceError(f"{options.host}:{options.port} cannot be used ({error.strerror}); {advice}") from error
    return made


def serve_until_stopped(
    source: ChampionSource,
    settings: Settings,
    options: ServeOptions,
    keys: ApiKeyFile,
    report: Report,
    recorded: AbstractContextManager[None],
) -> None:
    """Serve until a signal asks for the end; requests in progress are answered first.

    The context `recorded` lasts from the moment that the server can answer until it is asked to stop.

    Raises ServiceError if the address is taken or the source does not answer.
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    # before the backbone is loaded, so that a port that is taken is reported at once
    with (
        contextlib.closing(listening_socket(options)) as listener,
        _assistants_socket(options) as assistants,
        stop_signals(),
        contextlib.suppress(Stopped),
        open_service(source, settings, options, keys, report) as opened,
        _assistants(assistants, opened, options, keys, report),
    ):
        found = len(opened.served.versions)
        with recorded, known_to_console(opened.parts, options.presence, report):
            # after the record: who reads this line may ask for the server at once
            report(f"serving {count(found, 'slot')} at {options.address}/v1 (routes: {options.address}/docs)")
            opened.report_backbones(report)
            # after a signal it finishes the requests in progress, and then raises the signal again
            web_server(opened.app, options).run(sockets=[listener])
    report("stopped")


@contextlib.contextmanager
def _assistants_socket(options: ServeOptions) -> Iterator[socket.socket | None]:
    """Give the listening socket for voice assistants, or None if there is no port for them."""
    if options.wyoming is None:
        yield None
        return
    with contextlib.closing(listening_socket(replace(options, port=options.wyoming))) as bound:
        yield bound


@contextlib.contextmanager
def _assistants(
    bound: socket.socket | None, opened: OpenService, options: ServeOptions, keys: ApiKeyFile, report: Report
) -> Iterator[None]:
    if bound is None:
        yield
        return
    from pipelines.serving.http.wyoming_server import wyoming_server

    longest, places = options.decode.audio_seconds, options.bounds.websockets
    with wyoming_server(bound, opened.parts.service, keys, opened.parts.bodies, longest, places):
        report(f"voice assistants (Wyoming): tcp://{options.host}:{options.wyoming}")
        yield

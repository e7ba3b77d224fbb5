"""`elp serve`: one process with one backbone, every champion of the sites, and the web application in front of them."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from elp_core.types import Seconds
from pipelines.errors import ServiceError, UsageError
from pipelines.local.foreground import Stopped, stop_signals
from pipelines.local.settings import Settings
from pipelines.local_hosts import LOCAL_HOSTS
from pipelines.number_text import count
from pipelines.serving.champion_source import ChampionSource
from pipelines.serving.http.api_keys import ApiKeyFile
from pipelines.serving.http.decode_pool import DecodeLimits, DecodePool
from pipelines.serving.http.presence_reporter import known_to_console
from pipelines.serving.http.request_limits import RequestBounds

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

    from pipelines.serving.http.http_app import ServerParts
    from pipelines.serving.http.request_logger import RequestLogger
    from pipelines.serving.http.served_set import ServedSet
    from pipelines.serving.http.service_metrics import ServiceMetrics
    from pipelines.serving.presence import ConsolePresence
    from pipelines.serving.voices.voice_place import VoicePlace

Report = Callable[[str], None]
_BACKLOG = 2048
"""Connections that wait to be accepted: as many as uvicorn asks for."""
_GRACE: Seconds = 20
"""For requests in progress when the server is asked to stop."""


@dataclass(frozen=True)
class ServeOptions:
    """How a server serves; the defaults are for a small machine."""

    host: str = "127.0.0.1"
    port: int = 8400
    every: Seconds = 2.0
    """Between two looks at the champions."""
    memory_bytes: int | None = None
    """Limit for adapters in memory; over it, those not in use are read from disk again when they are needed."""
    batch_seconds: Seconds = 32.0
    max_wait: Seconds = 0.002
    most_batches: int = 4
    """Batches that are computed at once on a CPU; there are never more than cores. On a GPU it is one."""
    decoders: int = 2
    decode: DecodeLimits = field(default_factory=DecodeLimits)
    bounds: RequestBounds = field(default_factory=RequestBounds)
    held_seconds: Seconds = 4 * 3600.0
    """Decoded audio of all requests in progress: 64 kB a second."""
    log_state: Path | None = None
    """State folder of the workspace, for the log of requests; None logs nothing, whatever the settings say."""
    voices: VoicePlace | None = None
    """Enrolled voices; None for none."""
    wyoming: int | None = None
    """Port for voice assistants; None for none."""
    certificate: Path | None = None
    private_key: Path | None = None
    presence: ConsolePresence | None = None
    """How it makes itself known to the console; None for not at all."""
    settings_now: Callable[[], Settings] | None = None
    """Reads the settings that name the backbones when another one is needed; None: they are those of the start."""

    def require_safe(self, keys: ApiKeyFile, *, unlocked: bool) -> None:
        """Raise UsageError for half of a certificate, or for an address that others reach without keys.

        The Wyoming protocol has neither keys nor encryption, so with either of them it is refused.
        """
        if self.wyoming is not None and (keys.required or self.certificate):
            raise UsageError(
                "--wyoming is a protocol without keys and without TLS; leave it out, or serve without API keys and "
                "certificate"
            )
        if (self.certificate is None) != (self.private_key is None):
            raise UsageError("--tls-cert and --tls-key belong together; give both or none")
        for path in (self.certificate, self.private_key):
            if path is not None and not path.is_file():
                raise UsageError(f"{path} is not a file; expected a certificate or a key in PEM")
        if self.host not in LOCAL_HOSTS and not keys.required and not unlocked:
            raise UsageError(
                f"--host {self.host} is reached from other machines, and there is no API key; make one with "
                "elp api-keys add NAME --slot SITE/TASK, or let everybody ask with --no-keys"
            )

    @property
    def address(self) -> str:
        """Return the address for clients on this machine."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.certificate else 'http'}://{host}:{self.port}"


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
        metrics.watch(batcher, follower, served, log)
        service = SpeechService(
            served, batcher, decoders, lambda slot: settings.for_slot(slot).decode, options.held_seconds, log
        )
        voices, local = VoiceService(service, options.voices), options.host in LOCAL_HOSTS
        parts = ServerParts(service, voices, follower, keys, metrics, options.bounds, local, source.name)
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
            ws_max_size=2**20,
            ws_max_queue=4,
        )
    )


def listening_socket(options: ServeOptions) -> socket.socket:
    """Return a socket at the address of the options, not listening yet; raises ServiceError if it is taken."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    # with the protocol's number: asyncio switches Nagle's algorithm off for such sockets only, and with it every answer
    # after a client's first one would wait 40 ms for an acknowledgement
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((options.host, options.port))
    except OSError as error:
        made.close()
        raise ServiceError(
            f"{options.host}:{options.port} cannot be used ({error.strerror}); choose another with --port"
        ) from error
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
        # not earlier: until the backbone is loaded a client is refused, and does not wait
        listener.listen(_BACKLOG)
        found = len(opened.served.versions)
        report(f"serving {count(found, 'slot')} at {options.address}/v1 (routes: {options.address}/docs)")
        opened.report_backbones(report)
        with recorded, known_to_console(opened.parts, options.presence, report):
            # after a signal it finishes the requests in progress, and then raises the signal again
            web_server(opened.app, options).run(sockets=[listener])
    report("stopped")


@contextlib.contextmanager
def _assistants_socket(options: ServeOptions) -> Iterator[socket.socket | None]:
    """Give the bound socket for voice assistants, or None if there is no port for them."""
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
    with wyoming_server(bound, opened.parts.service, keys, longest, places):
        report(f"voice assistants (Wyoming): tcp://{options.host}:{options.wyoming}")
        yield

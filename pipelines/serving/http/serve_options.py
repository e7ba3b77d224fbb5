"""How `elp serve` serves: its options, and what is checked of them before anything is loaded."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from elp_core.types import Seconds
from pipelines.errors import UsageError
from pipelines.local.settings import Settings
from pipelines.serving.http.api_keys import ApiKeyFile
from pipelines.serving.http.decode_pool import DecodeLimits
from pipelines.serving.http.request_limits import RequestBounds
from pipelines.serving.http.server_names import ServerNames

if TYPE_CHECKING:
    from pipelines.serving.presence import ConsolePresence
    from pipelines.serving.voices.voice_place import VoicePlace


@dataclass(frozen=True)
class ServeOptions:
    """How a server serves; the defaults are for a small machine."""

    host: str = "127.0.0.1"
    port: int = 8400
    public_hosts: tuple[str, ...] = ()
    """Names under which a proxy passes requests on to this server."""
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
    backlog_seconds: Seconds = 480.0
    """Estimated computing of all recordings in progress. OpenAI's client waits 600 s for an answer."""
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
        """Raise UsageError for a certificate or a name that cannot be used, or an address open to others without keys.

        The Wyoming protocol has neither keys nor encryption, so with either of them it is refused.
        """
        names = self.names
        if self.wyoming is not None and (keys.required or self.certificate):
            raise UsageError(
                "--wyoming is a protocol without keys and without TLS; leave it out, or serve without API keys and "
                "certificate"
            )
        if self.wyoming == self.port:
            raise UsageError(f"--port and --wyoming are both {self.port}; choose another port for one of them")
        if (self.certificate is None) != (self.private_key is None):
            raise UsageError("--tls-cert and --tls-key belong together; give both or none")
        if self.certificate and self.private_key:
            _require_pair(self.certificate, self.private_key)
        reached = [] if names.local else [f"--host {self.host}"]
        reached += [f"--public-host {name}" for name in self.public_hosts]
        if reached and not keys.required and not unlocked:
            raise UsageError(
                f"{reached[0]} is reached from other machines, and there is no API key; make one with "
                "elp api-keys add NAME --slot SITE/TASK, or let everybody ask with --no-keys"
            )

    @property
    def address(self) -> str:
        """Return the address for clients on this machine."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.certificate else 'http'}://{host}:{self.port}"

    @property
    def names(self) -> ServerNames:
        """The names by which browsers may ask; raises UsageError for a public host that is no name of a host."""
        return ServerNames.of(self.host, self.public_hosts)


def _require_pair(certificate: Path, key: Path) -> None:
    """Raise UsageError unless the certificate and the key are a pair that a server can use without a question."""
    for path in (certificate, key):
        if not path.is_file():
            raise UsageError(f"{path} is not a file; expected a certificate or a key in PEM")

    def asked() -> str:
        # without this, OpenSSL would ask at the terminal
        raise UsageError(
            f"{key} has a passphrase, and a server cannot enter it; write the key without one: openssl pkey -in {key}"
        )

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=asked)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise UsageError(f"{key} is not the key of the certificate {certificate}; give a pair") from error
        raise UsageError(
            f"{certificate} and {key} are no certificate and key in PEM ({error.reason or error})"
        ) from error
    except OSError as error:
        raise UsageError(f"{certificate} or {key} cannot be read: {error.strerror or error}") from error

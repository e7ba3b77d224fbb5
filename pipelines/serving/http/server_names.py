"""The names by which a server may be asked from a browser: this machine's, and those of a proxy in front of it."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipelines.errors import RequestRefused, UsageError
from pipelines.local_hosts import LOCAL_HOSTS


@dataclass(frozen=True)
class ServerNames:
    """What `Host` and `Origin` of a request may be."""

    local: bool
    """Whether the server listens for this machine only."""
    public: frozenset[str] = frozenset()
    """Names under which a proxy passes requests on to it, in lower case."""

    @classmethod
    def of(cls, host: str, public: Sequence[str]) -> ServerNames:
        """Return the names of a server that listens at `host`; raises UsageError for what is no name of a host."""
        for name in public:
            if not name or _hostname(name) != name.lower().strip("[]"):
                raise UsageError(
                    f"--public-host {name!r} is no name of a host; expected one such as speech.example.org"
                )
        return cls(host in LOCAL_HOSTS, frozenset(name.lower().strip("[]") for name in public))

    def require_own(self, headers: Iterable[tuple[bytes, bytes]], *, closed: bool) -> None:
        """Raise RequestRefused (403) for a request that a browser sends for a page of another site.

        Programs send no Origin. Without this, any page could use the server of the machine that it is shown on. If only
        this machine reaches the server, and without a key, Host has to name this machine or a public host: other names
        that lead here are those of pages that point them here.
        """
        sent = {name: value.decode("latin-1") for name, value in headers if name in (b"origin", b"host")}
        host, origin = sent.get(b"host", ""), sent.get(b"origin")
        if self.local and not closed and (name := _hostname(host)) not in LOCAL_HOSTS | self.public:
            raise RequestRefused(
                403,
                "host",
                f"this server answers requests to this machine only, and Host is {host!r}; if a proxy passes requests "
                f"on, start it with --public-host {name or 'NAME'}, or make an API key: elp api-keys add",
            )
        if origin is not None:
            asking = origin.partition("://")[2]
            if asking != host and _hostname(asking) not in self.public:
                raise RequestRefused(
                    403,
                    "origin",
                    f"a page of {origin} may not ask this server from a browser; start it with --public-host NAME if a "
                    "proxy sends this page",
                )


def _hostname(host: str) -> str | None:
    """Return the name in a host with or without a port, in lower case; None if there is none."""
    try:
        return urllib.parse.urlsplit(f"//{host}").hostname
    except ValueError:
        return None

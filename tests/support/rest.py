"""HTTP exactly as written: no path is normalised, and no header is added."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """The answer to a request."""

    status: int
    text: str
    headers: Mapping[str, str]

    @property
    def json(self) -> dict[str, Any]:
        """Return the body as an object; empty if it is none."""
        try:
            value = json.loads(self.text)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def message(self) -> str:
        """Return the sentence of a refusal."""
        return str(self.json.get("message", self.text))

    def must_be(self, status: int, *words: str) -> None:
        """Check the exact status, and that the message has each of these words."""
        assert self.status == status, f"{self.status} {self.text[:500]}"
        missing = [word for word in words if word not in self.message]
        assert not missing, f"the message lacks {missing}: {self.message[:500]}"


@dataclass(frozen=True)
class Rest:
    """A server, and the user who sends requests."""

    uri: str
    login: tuple[str, str] | None = None

    def __call__(
        self,
        method: str,
        target: str,
        values: Any = None,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 60,
    ) -> Answer:
        """Send one request.

        Args:
            method: Such as POST.
            target: Path and query, sent as it is.
            values: Sent as JSON, with its content type.
            body: Sent as it is, without a content type.
            headers: On top.
            timeout: Seconds.
        """
        parts = urlsplit(self.uri)
        sent: dict[str, str] = {} if values is None else {"Content-Type": "application/json"}
        if self.login:
            sent["Authorization"] = "Basic " + base64.b64encode(":".join(self.login).encode()).decode()
        sent |= headers or {}
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
        try:
            content = body if values is None else json.dumps(values).encode()
            connection.request(method, target, content, sent)
            came = connection.getresponse()
            return Answer(came.status, came.read().decode("utf-8", "replace"), dict(came.getheaders()))
        finally:
            connection.close()

    def get(self, target: str) -> dict[str, Any]:
        """Return the object at `target`; the test fails if there is none."""
        answer = self("GET", target)
        assert answer.status == 200, f"GET {target}: {answer.status} {answer.text[:500]}"
        return answer.json

    def post(self, target: str, values: Any) -> dict[str, Any]:
        """Return the answer to a POST that must succeed."""
        answer = self("POST", target, values)
        assert answer.status == 200, f"POST {target}: {answer.status} {answer.text[:500]}"
        return answer.json

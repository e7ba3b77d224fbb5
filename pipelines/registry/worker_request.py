"""The names, tokens and signed requests by which workers are invited, enrolled and revoked.

On a server without a login nobody proves a name. There, a request to invite or revoke a worker is signed with the
server's own key for the ledger, which only the control host has: otherwise anyone who reaches the server could make it
trust a key.
"""

import re
import secrets
from collections.abc import Mapping
from typing import Any

from pipelines.errors import AttestationError, UsageError
from pipelines.registry.signing.canonical_json import canonical_json, sha256
from pipelines.registry.signing.envelope import WORKER_TYPE, read_envelope, sign, verify
from pipelines.registry.signing.keys import KeyRing, Role

WORKER_ROLES: tuple[Role, ...] = ("lineage", "verdict")
"""What a worker signs: one key for each."""
TOKEN_HOURS = 24

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,38}[a-z0-9])?")


def worker_name_of(text: str) -> str:
    """Return the name of a worker if it is one; UsageError if not."""
    if not _NAME.fullmatch(text):
        raise UsageError(
            f"{text[:60]!r} is no name of a worker; expected lower-case letters, digits, dots and hyphens, at most 40 "
            "characters"
        )
    return text


def new_token(name: str) -> str:
    """Return a one-time token, which also says for which worker it is."""
    return f"{name}.{secrets.token_urlsafe(32)}"


def token_name(token: str) -> str:
    """Return the name of the worker that a token is for; UsageError if it is no token."""
    name, _, secret = token.strip().rpartition(".")
    if len(secret) < 40 or not _NAME.fullmatch(name):
        raise UsageError("this is no token of elp worker invite; copy the whole line that it printed")
    return name


def token_digest(token: str) -> str:
    """Return what the server keeps of a token: its SHA-256 (hex). The token itself is 256 random bits."""
    return sha256(token.strip().encode())


def worker_key_name(worker: str, role: Role) -> str:
    """Return the name of a worker's key for a role."""
    return f"{worker}-{role}"


def sign_request(action: str, request: Mapping[str, Any], trusted_keys: KeyRing) -> str:
    """Return the signature of a request by the key for the ledger, as an envelope."""
    return sign(_payload(action, request), trusted_keys, "ledger", WORKER_TYPE).text


def verify_request(action: str, request: Mapping[str, Any], signature: str, trusted_keys: KeyRing) -> None:
    """Raise AttestationError unless the key for the ledger signed exactly this request."""
    envelope = read_envelope(signature)
    verify(envelope, trusted_keys, "ledger", payload_type=WORKER_TYPE)
    if envelope.payload != _payload(action, request):
        raise AttestationError("mismatch", "the signature is that of another request; run the command again")


def _payload(action: str, request: Mapping[str, Any]) -> bytes:
    return canonical_json({"action": action, "request": dict(request)})

"""DSSE envelopes: a payload with exactly one Ed25519 signature, signed and verified for a role.

DSSE v1 (secure-systems-lab/dsse) signs ``DSSEv1 <len type> <type> <len payload> <payload>``, so a payload cannot be
read as another type than the one it was signed for. Format: docs/formats/statements.md.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.errors import AttestationError
from pipelines.registry.signing.canonical_json import canonical_json, moment, parse_json, sha256
from pipelines.registry.signing.keys import KeyRing, Role, TrustedKey

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

STATEMENT_TYPE = "application/vnd.in-toto+json"
ENTRY_TYPE = "application/vnd.elp.ledger-entry+json"
WORKER_TYPE = "application/vnd.elp.worker-request+json"
"""A request about a worker, which the server's own key signs: it is no ledger entry."""
PAYLOAD_TYPES: dict[Role, str] = {"lineage": STATEMENT_TYPE, "verdict": STATEMENT_TYPE, "ledger": ENTRY_TYPE}


@dataclass(frozen=True)
class Envelope:
    """A payload and its one signature, not verified."""

    payload: bytes
    payload_type: str
    keyid: str
    signature: bytes

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the payload, its name in the ledger and in the table of statements."""
        return sha256(self.payload)

    @property
    def text(self) -> str:
        """The envelope as canonical JSON; `read_envelope` reads it back."""
        signature = {"keyid": self.keyid, "sig": _base64(self.signature)}
        values = {"payload": _base64(self.payload), "payloadType": self.payload_type, "signatures": [signature]}
        return canonical_json(values).decode()


def sign(payload: bytes, trusted_keys: KeyRing, role: Role, payload_type: str = "") -> Envelope:
    """Sign `payload` with the active key of a role; an empty type takes that of the role."""
    return sign_as(payload, payload_type or PAYLOAD_TYPES[role], trusted_keys.signer(role))


def sign_as(payload: bytes, payload_type: str, signer: CryptoSigner) -> Envelope:
    """Sign `payload` as a type with a key that need not be in any key ring."""
    from securesystemslib.dsse import Envelope as Dsse

    signature = Dsse(payload, payload_type, {}).sign(signer)
    return Envelope(payload, payload_type, signature.keyid, bytes.fromhex(signature.signature))


def read_envelope(text: str | bytes) -> Envelope:
    """Read an envelope strictly, without verification: one signature, no unknown field, standard base64."""
    values = _fields(parse_json(text, "envelope"), {"payload", "payloadType", "signatures"}, "envelope")
    signatures = values["signatures"]
    if not isinstance(signatures, list) or len(signatures) != 1:
        count = len(signatures) if isinstance(signatures, list) else 0
        raise AttestationError("malformed", f"the envelope has {count} signatures, expected one")
    signature = _fields(signatures[0], {"keyid", "sig"}, "signature")
    if not isinstance(values["payloadType"], str) or not isinstance(signature["keyid"], str):
        raise AttestationError("malformed", "the envelope's payloadType and keyid must be text")
    return Envelope(
        _bytes(values["payload"], "payload"),
        values["payloadType"],
        signature["keyid"],
        _bytes(signature["sig"], "sig"),
    )


def verify(
    envelope: Envelope, trusted_keys: KeyRing, role: Role, recorded_at: str | None = None, payload_type: str = ""
) -> TrustedKey:
    """Verify the signature, check that its key may sign for the role, and return the key.

    `recorded_at` is when the ledger recorded the payload; None for a new one, which a retired key may not sign. An
    empty `payload_type` takes that of the role. The reason of the AttestationError is ``malformed`` (another payload
    type), ``unknown key``, ``wrong role``, ``retired``, ``revoked`` or ``bad signature``.
    """
    if envelope.payload_type != (expected := payload_type or PAYLOAD_TYPES[role]):
        got = envelope.payload_type[:80]
        raise AttestationError("malformed", f"the payload type is {got!r}, a {role} has {expected}")
    key = trusted_keys.find(envelope.keyid)
    if key is None:
        raise AttestationError(
            "unknown key",
            f"key {envelope.keyid[:64]} is not trusted here; if it should be, export it on the machine that has it "
            "(elp keys export) and add it on the server (elp keys add)",
        )
    verify_signature(envelope, key)
    _refuse_unfit(key, role, recorded_at)
    return key


def verify_signature(envelope: Envelope, key: TrustedKey) -> None:
    """Raise AttestationError unless the key signed the envelope; what the key may sign is not looked at."""
    from securesystemslib.dsse import Envelope as Dsse
    from securesystemslib.exceptions import UnverifiedSignatureError
    from securesystemslib.signer import Signature

    try:
        pae = Dsse(envelope.payload, envelope.payload_type, {}).pae()
        key.public.verify_signature(Signature(key.keyid, envelope.signature.hex()), pae)
    except UnverifiedSignatureError as error:
        raise AttestationError(
            "bad signature",
            f"the signature by {key.name} ({key.keyid[:12]}) is invalid: the payload or the signature was altered",
        ) from error


def _refuse_unfit(key: TrustedKey, role: Role, recorded_at: str | None) -> None:
    shown = f"key {key.name} ({key.keyid[:12]})"
    if role not in key.roles:
        raise AttestationError("wrong role", f"{shown} may sign {', '.join(key.roles)}, not {role}")
    # before the retirement: what a revoked key signed never counts, whenever it was recorded
    if key.revoked:
        raise AttestationError("revoked", f"{shown} was revoked at {key.revoked}: nothing it signed counts")
    if not key.retired:
        return
    if recorded_at is None:
        raise AttestationError("retired", f"{shown} was retired at {key.retired}: sign again with the active key")
    if moment(recorded_at, "recorded at") >= moment(key.retired, "retired"):
        raise AttestationError("retired", f"{shown} was retired at {key.retired}, before this was recorded")


def _fields(value: Any, names: set[str], where: str) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != names:
        raise AttestationError("malformed", f"the {where} must have exactly the fields {', '.join(sorted(names))}")
    return value


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _bytes(text: Any, where: str) -> bytes:
    try:
        found = base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except (binascii.Error, ValueError):
        found = None
    # the decoder ignores stray bits at the end, and one payload must have one envelope
    if found is None or _base64(found) != text:
        raise AttestationError("malformed", f"the envelope's {where} is not standard base64")
    return found

"""Templates of enrolled voices: the record that is bound to one bundle, and the sealing of its embedding.

A template is the embedding of a speaker's recordings under one bundle. The embedding and the speaker's name are
encrypted (AES-256-GCM) on the machine that enrols, and the record around them is the authenticated data: a template
that was moved to another voice, bundle or slot does not open. The server stores the record and never has the key
(ISO/IEC 24745: protection at rest, renewal, revocation, no link between slots).
"""

from __future__ import annotations

import base64
import dataclasses
import hmac
import os
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from elp_core.config import from_dict, to_dict
from elp_core.errors import ConfigError
from pipelines.errors import TemplateError
from pipelines.registry.names import loose_name
from pipelines.registry.signing.canonical_json import canonical_json, moment
from pipelines.registry.slot import Slot

KEY_BYTES = 32
_NONCE = 12
_VOICE = re.compile(r"[0-9a-f]{32}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PERSON = re.compile(r"[0-9a-f]{64}")
_LONGEST_CONSENT = 200


@dataclass(frozen=True)
class TemplateQuality:
    """What is known of the recordings that a template was made from."""

    recordings: int
    seconds: float
    """Audio of all recordings."""
    cohesion: float | None
    """Lowest score of a recording against the others; None for a single recording."""
    audio_kept: bool
    """Whether the recordings are kept, sealed, so that the template can be renewed for another bundle."""


@dataclass(frozen=True)
class VoiceTemplate:
    """A voice under one bundle. A voice that was renewed has a template for each bundle."""

    voice: str
    """Random id (hex) of the enrolment; its templates under other bundles have the same."""
    slot: str
    person: str
    """The name under the key of the templates (hex): equal for one name in one slot, and nothing without the key."""
    version: int
    bundle: str
    """``sha256:…`` of the bundle that gave the embedding."""
    fingerprint: str
    """``sha256:…`` of its backbone."""
    quality: TemplateQuality
    consent: str
    """Reference of the consent, such as the number of a form; no name."""
    at: str
    """When it was made: UTC, ISO 8601."""
    sealed: str = ""
    """Base64: nonce, then the encrypted name and embedding. Empty after the revocation."""
    revoked_at: str = ""

    @property
    def bound(self) -> bytes:
        """Return what the encryption authenticates: every field but the sealed bytes and the revocation."""
        values = to_dict(self)
        del values["sealed"], values["revoked_at"]
        return canonical_json(values)

    @property
    def name(self) -> str:
        """Return for people: the beginning of the voice's id, and the version."""
        return f"voice {self.voice[:8]} ({self.slot} v{self.version})"

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return to_dict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> VoiceTemplate:
        """Read what `to_json` returned; raise TemplateError for anything else."""
        try:
            found = from_dict(cls, dict(values), "template")
        except ConfigError as error:
            raise TemplateError(f"this is no template of a voice: {error}") from error
        Slot.parse(found.slot)
        faults = [
            f"{name} is {ascii(value)[:80]}, expected {expected}"
            for name, value, pattern, expected in (
                ("voice", found.voice, _VOICE, "32 hex digits"),
                ("person", found.person, _PERSON, "64 hex digits"),
                ("bundle", found.bundle, _DIGEST, "sha256:…"),
                ("fingerprint", found.fingerprint, _DIGEST, "sha256:…"),
            )
            if not pattern.fullmatch(value)
        ]
        faults += [] if found.version >= 1 else [f"version is {found.version}, expected 1 or more"]
        faults += consent_faults(found.consent)
        if faults:
            raise TemplateError(f"this is no template of a voice: {'; '.join(faults)}")
        moment(found.at, "at")
        return found


@dataclass(frozen=True)
class OpenedTemplate:
    """The content of a template."""

    name: str
    """Of the speaker."""
    embedding: tuple[float, ...]
    """Mean of the recordings' unit embeddings, of unit length: float32 values [E]."""


def consent_faults(consent: str) -> list[str]:
    """Return what is wrong with the reference of a consent."""
    if not consent.strip():
        return ["a voice is enrolled with a reference of the consent; say which: --consent TEXT"]
    return [] if len(consent) <= _LONGEST_CONSENT else [f"the consent has more than {_LONGEST_CONSENT} characters"]


def new_voice() -> str:
    """Return the id of a new voice."""
    return os.urandom(16).hex()


def person_digest(key: bytes, slot: Slot, name: str) -> str:
    """Return the pseudonym of a name in a slot, equal for names that are easily confused.

    Raises TemplateError for an empty name.
    """
    plain = loose_name(name)
    if not plain:
        raise TemplateError("a voice needs the name of its speaker, such as anna")
    return hmac.digest(_derived(key, b"person"), f"{slot}\0{plain}".encode(), "sha256").hex()


def seal(key: bytes, template: VoiceTemplate, content: OpenedTemplate) -> VoiceTemplate:
    """Return the template with its content encrypted in it."""
    vector = struct.pack(f"<{len(content.embedding)}f", *content.embedding)
    name = content.name.encode()
    return dataclasses.replace(
        template,
        sealed=base64.b64encode(seal_bytes(key, struct.pack("<I", len(name)) + name + vector, template.bound)).decode(),
    )


def open_template(key: bytes, template: VoiceTemplate) -> OpenedTemplate:
    """Return the content of a template; raise TemplateError if it was altered, revoked or sealed with another key."""
    if template.revoked_at:
        raise TemplateError(f"{template.name} was revoked at {template.revoked_at[:19]} UTC; enrol the speaker again")
    try:
        plain = open_bytes(key, base64.b64decode(template.sealed, validate=True), template.bound)
    except ValueError as error:
        raise TemplateError(
            f"{template.name} does not open: it was altered, or sealed with another key than this machine's"
        ) from error
    (length,) = struct.unpack_from("<I", plain)
    vector = plain[4 + length :]
    return OpenedTemplate(plain[4 : 4 + length].decode(), struct.unpack(f"<{len(vector) // 4}f", vector))


def seal_bytes(key: bytes, content: bytes, bound: bytes) -> bytes:
    """Return nonce and ciphertext (AES-256-GCM, with `bound` as the authenticated data)."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(_derived(key, b"seal")).encrypt(nonce, content, bound)


def open_bytes(key: bytes, sealed: bytes, bound: bytes) -> bytes:
    """Return what `seal_bytes` encrypted; raise ValueError if key, bytes or `bound` are others."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(_derived(key, b"seal")).decrypt(sealed[:_NONCE], sealed[_NONCE:], bound)
    except InvalidTag as error:
        raise ValueError("altered, or another key") from error


def storing_fault(given: VoiceTemplate, of_person: Iterable[VoiceTemplate], of_voice: Sequence[VoiceTemplate]) -> str:
    """Return why a template cannot stand next to those of its person in its slot, and of its voice; empty if it can.

    A voice has one template for each bundle, and a name has one voice in a slot. Revoked templates may be given.
    """
    if Slot.parse(given.slot).task != "asv":
        return f"{given.slot} has no voices; they are enrolled for SITE/asv"
    if not given.sealed or given.revoked_at:
        return "a template is stored sealed, and not revoked"
    live = (one for one in of_person if not one.revoked_at)
    if other := next((one for one in live if one.voice != given.voice), None):
        return (
            f"this name is enrolled in {given.slot} since {other.at[:16]} UTC ({other.name}); revoke that first: "
            f"elp enrol revoke {given.slot} NAME --reason TEXT"
        )
    if any(one.slot != given.slot or one.person != given.person or one.revoked_at for one in of_voice):
        return f"voice {given.voice[:8]} was revoked, or is that of another person; enrol it as a new one"
    if any(one.bundle == given.bundle for one in of_voice):
        return f"{given.name} has a template for this bundle already"
    return ""


def by_voice(templates: Iterable[VoiceTemplate]) -> dict[str, list[VoiceTemplate]]:
    """Return the templates of each voice, in their order."""
    found: dict[str, list[VoiceTemplate]] = {}
    for template in templates:
        found.setdefault(template.voice, []).append(template)
    return found


def unrenewed(templates: Sequence[VoiceTemplate], bundle: str) -> set[str]:
    """Return the voices that have a template, and none under `bundle`."""
    live = [one for one in templates if not one.revoked_at]
    return {one.voice for one in live} - {one.voice for one in live if one.bundle == bundle}


def _derived(key: bytes, purpose: bytes) -> bytes:
    """Return the key of one purpose (HKDF-SHA256)."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    if len(key) != KEY_BYTES:
        raise TemplateError(f"the key of the templates has {len(key)} bytes, expected {KEY_BYTES}")
    return HKDF(SHA256(), KEY_BYTES, None, b"elp voice template " + purpose).derive(key)

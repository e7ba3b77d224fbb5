"""Whose signature counts for what: the trusted public keys, and the private keys that sign here.

<folder>/
├── trusted.json             public keys: keyid, name, roles, PEM, created, retired, revoked
└── private/<keyid>.pem      PKCS #8, mode 0600; only on machines that sign

A key id is the SHA-256 of the key's DER encoding (SubjectPublicKeyInfo), so `openssl` finds it again. Format:
docs/formats/keys.md.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from pipelines.errors import AttestationError
from pipelines.registry.signing.canonical_json import canonical_json, moment, parse_json, sha256

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from securesystemslib.signer import CryptoSigner, SSlibKey

Role = Literal["lineage", "verdict", "ledger"]
ROLES: tuple[Role, ...] = get_args(Role)
"""Who trained may sign a lineage, who gated a verdict, the server an entry of the ledger."""

FORMAT = 1
TRUSTED_FILE, PRIVATE_FOLDER = "trusted.json", "private"
FOLDER_VARIABLE = "ELP_KEYS"


def key_folder(state: Path | None = None) -> Path:
    """The key folder: ELP_KEYS, else `keys` in the workspace's state folder (``.elp``).

    Args:
        state: The state folder; None takes that of the workspace named by ELP_WORKSPACE or the current folder.
    """
    if told := os.environ.get(FOLDER_VARIABLE):
        return Path(told).expanduser()
    if state is None:
        state = Path(os.environ.get("ELP_WORKSPACE") or Path.cwd()) / ".elp"
    return state / "keys"


@dataclass(frozen=True)
class TrustedKey:
    """A public key and what it may sign."""

    keyid: str
    """SHA-256 (hex) of the public key's DER encoding."""
    name: str
    """For people; a key that replaces another keeps the name."""
    roles: tuple[Role, ...]
    pem: str
    """Ed25519 public key, PEM (SubjectPublicKeyInfo)."""
    created: str
    """UTC, ISO 8601; so are the two below."""
    retired: str = ""
    """From then on the key signs nothing new; what the ledger recorded earlier still counts."""
    revoked: str = ""
    """The key is not trusted any more, for nothing it ever signed."""

    @property
    def active(self) -> bool:
        """Whether it may sign something new."""
        return not (self.retired or self.revoked)

    @property
    def state(self) -> str:
        """``active``, ``retired`` or ``revoked``."""
        return "revoked" if self.revoked else "retired" if self.retired else "active"

    @cached_property
    def public(self) -> SSlibKey:
        """The key as the signing library has it."""
        from securesystemslib.signer import SSlibKey

        return SSlibKey.from_crypto(read_public(self.pem, self.name), self.keyid)

    def to_json(self) -> dict[str, Any]:
        """As it stands in the file."""
        return {**asdict(self), "roles": list(self.roles)}


@dataclass(frozen=True)
class KeyRing:
    """The trusted keys, and the folder whose private keys may sign."""

    keys: tuple[TrustedKey, ...]
    folder: Path

    def find(self, keyid: str) -> TrustedKey | None:
        """The trusted key of this id, or None."""
        return next((key for key in self.keys if key.keyid == keyid), None)

    def active(self, role: Role) -> tuple[TrustedKey, ...]:
        """Keys that may sign for a role now, the newest last."""
        return tuple(sorted((k for k in self.keys if k.active and role in k.roles), key=lambda k: k.created))

    def signs(self, key: TrustedKey) -> bool:
        """Whether this folder holds the private half of a key."""
        return self.private(key).is_file()

    def private(self, key: TrustedKey) -> Path:
        """Where the private half of a key lies, or would lie."""
        return self.folder / PRIVATE_FOLDER / f"{key.keyid}.pem"

    def signer(self, role: Role) -> CryptoSigner:
        """The newest active key of a role whose private half is here.

        Raises:
            AttestationError: where there is none, or its file may be read by others or is another key's.
        """
        mine = [key for key in self.active(role) if self.signs(key)]
        if not mine:
            raise AttestationError(
                "no key", f"{self.folder} has no private key for the role {role}; make one: elp keys new --role {role}"
            )
        return read_private(self.private(mine[-1]), mine[-1])

    def orphans(self) -> list[Path]:
        """Private keys in the folder that belong to no active key."""
        active = {self.private(key) for key in self.keys if key.active}
        return sorted(path for path in (self.folder / PRIVATE_FOLDER).glob("*.pem") if path not in active)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of what is trusted; the ledger records it when it changes."""
        return sha256(canonical_json([key.to_json() for key in sorted(self.keys, key=lambda key: key.keyid)]))


def load_ring(folder: Path) -> KeyRing:
    """Read the trusted keys of a folder, checking each.

    Raises:
        AttestationError: where there is no key folder, or its file is malformed or can be written by others.
    """
    path = folder / TRUSTED_FILE
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_bytes()
    except OSError as error:
        raise AttestationError(
            "no key",
            f"{path} cannot be read ({error.strerror}); make keys with: elp keys new, or set {FOLDER_VARIABLE}",
        ) from error
    if mode & 0o022:
        raise AttestationError(
            "key file", f"{path} has mode {mode:04o}: others may change who is trusted; chmod 644 it"
        )
    return KeyRing(read_keys(text, str(path)), folder)


def signing_ring(folder: Path, role: Role) -> KeyRing:
    """The ring of a folder that can sign for a role: to be asked before long work, not after it.

    Raises:
        AttestationError: where there is no key folder, or no fit private key of the role in it.
    """
    ring = load_ring(folder)
    ring.signer(role)
    return ring


def read_keys(text: str | bytes, where: str) -> tuple[TrustedKey, ...]:
    """Keys from the text of a `trusted.json` or of an export.

    Raises:
        AttestationError: naming the first thing that is wrong.
    """
    values = parse_json(text, where)
    if values.get("format") != FORMAT or set(values) != {"format", "keys"} or not isinstance(values["keys"], list):
        raise AttestationError("malformed", f"{where}: expected format {FORMAT} and a list of keys, nothing else")
    keys = tuple(_trusted(entry, f"{where}: key {number}") for number, entry in enumerate(values["keys"], 1))
    twice = {key.keyid for key in keys if [other.keyid for other in keys].count(key.keyid) > 1}
    if twice:
        raise AttestationError("malformed", f"{where}: key {min(twice)} stands twice")
    return keys


def write_keys(keys: tuple[TrustedKey, ...]) -> str:
    """The inverse of `read_keys`, for people to read."""
    import json

    return json.dumps({"format": FORMAT, "keys": [key.to_json() for key in keys]}, indent=2, ensure_ascii=False) + "\n"


def read_public(pem: str, where: str) -> Ed25519PublicKey:
    """An Ed25519 public key from its PEM text.

    Raises:
        AttestationError: where it is none.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        found = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise AttestationError("malformed", f"{where}: its PEM is no public key ({error})") from error
    if not isinstance(found, Ed25519PublicKey):
        raise AttestationError("malformed", f"{where}: its key is no Ed25519 key")
    return found


def key_id(public: Ed25519PublicKey) -> str:
    """SHA-256 (hex) of the key's DER encoding."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def read_private(path: Path, key: TrustedKey) -> CryptoSigner:
    """The private half of `key`, as a signer.

    Raises:
        AttestationError: where the file may be read by others, is no Ed25519 key or another key's.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from securesystemslib.signer import CryptoSigner

    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise AttestationError("key file", f"{path} has mode {mode:04o}: others may sign with it; chmod 600 it")
        found = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise AttestationError("key file", f"{path} is no private key that can be read: {error}") from error
    if not isinstance(found, Ed25519PrivateKey) or key_id(found.public_key()) != key.keyid:
        raise AttestationError(
            "key file", f"{path} is not the private half of key {key.keyid}; put the right file there"
        )
    return CryptoSigner(found, key.public)


def _trusted(entry: Any, where: str) -> TrustedKey:
    names = set(TrustedKey.__dataclass_fields__)
    if not isinstance(entry, Mapping) or set(entry) != names:
        raise AttestationError("malformed", f"{where}: expected exactly the fields {', '.join(sorted(names))}")
    texts = {name: value for name, value in entry.items() if name != "roles"}
    if not all(isinstance(value, str) for value in texts.values()) or not texts["name"]:
        raise AttestationError("malformed", f"{where}: every field but roles is text, and it has a name")
    roles = entry["roles"]
    if not isinstance(roles, list) or not roles or not all(role in ROLES for role in roles):
        raise AttestationError("malformed", f"{where}: roles {roles!r}; expected some of {', '.join(ROLES)}")
    for name in ("created", "retired", "revoked"):
        if texts[name] or name == "created":
            moment(texts[name], f"{where}, {name}")
    found = key_id(read_public(texts["pem"], where))
    if found != texts["keyid"]:
        raise AttestationError(
            "malformed", f"{where}: its keyid is {texts['keyid'][:64]}, but its PEM hashes to {found}"
        )
    return TrustedKey(roles=tuple(role for role in ROLES if role in roles), **texts)

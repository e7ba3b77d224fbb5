"""The trusted public keys with their roles, and the private keys that sign on this machine.

<folder>/
├── trusted.json             public keys: keyid, name, roles, PEM, created, retired, revoked
└── private/<keyid>.pem      PKCS #8, mode 0600; only on machines that sign

A key id is the SHA-256 of the key's DER encoding (SubjectPublicKeyInfo), which `openssl` can compute. Format:
docs/formats/keys.md.
"""

from __future__ import annotations

import json
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
"""A trainer signs lineages, a gate signs verdicts, the server signs ledger entries."""

FORMAT = 1
TRUSTED_FILE, PRIVATE_FOLDER = "trusted.json", "private"
FOLDER_VARIABLE = "ELP_KEYS"


def key_folder(state: Path | None = None) -> Path:
    """Return the folder in ELP_KEYS, or `keys` in the state folder: the given one, else that of the workspace."""
    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(named).expanduser()
    if state is None:
        state = Path(os.environ.get("ELP_WORKSPACE") or Path.cwd()) / ".elp"
    return state / "keys"


@dataclass(frozen=True)
class TrustedKey:
    """A public key and its roles."""

    keyid: str
    """SHA-256 (hex) of the public key's DER encoding."""
    name: str
    """A name for people; a key that replaces another keeps it."""
    roles: tuple[Role, ...]
    pem: str
    """Ed25519 public key, PEM (SubjectPublicKeyInfo)."""
    created: str
    """UTC, ISO 8601; so are the two below."""
    retired: str = ""
    """From this moment the key signs nothing new; what the ledger recorded before still counts."""
    revoked: str = ""
    """From this moment nothing counts that the key ever signed."""

    @property
    def active(self) -> bool:
        """Whether the key may sign something new."""
        return not (self.retired or self.revoked)

    @property
    def state(self) -> str:
        """``active``, ``retired`` or ``revoked``."""
        return "revoked" if self.revoked else "retired" if self.retired else "active"

    @cached_property
    def public(self) -> SSlibKey:
        """The key as an object of the signing library."""
        from securesystemslib.signer import SSlibKey

        return SSlibKey.from_crypto(read_public(self.pem, self.name), self.keyid)

    def to_json(self) -> dict[str, Any]:
        """Return the values as the file has them."""
        return {**asdict(self), "roles": list(self.roles)}


@dataclass(frozen=True)
class KeyRing:
    """The trusted keys of a folder, and access to the private keys in it."""

    keys: tuple[TrustedKey, ...]
    folder: Path

    def find(self, keyid: str) -> TrustedKey | None:
        """Return the trusted key with this id, or None."""
        return next((key for key in self.keys if key.keyid == keyid), None)

    def active(self, role: Role) -> tuple[TrustedKey, ...]:
        """Return the keys that may sign for a role now, the newest last."""
        return tuple(sorted((k for k in self.keys if k.active and role in k.roles), key=lambda k: k.created))

    def signs(self, key: TrustedKey) -> bool:
        """Return whether this folder has the private half of a key."""
        return self.private(key).is_file()

    def private(self, key: TrustedKey) -> Path:
        """Return the path of the private half of a key, whether the file exists or not."""
        return self.folder / PRIVATE_FOLDER / f"{key.keyid}.pem"

    def signer(self, role: Role) -> CryptoSigner:
        """Return the newest active key of a role that has its private half here."""
        # after a rotation on another machine, the newest key may be trusted here without its private half
        mine = [key for key in self.active(role) if self.signs(key)]
        if not mine:
            raise AttestationError(
                "no key", f"{self.folder} has no private key for the role {role}; make one: elp keys new --role {role}"
            )
        return read_private(self.private(mine[-1]), mine[-1])

    def orphans(self) -> list[Path]:
        """Return the private keys in the folder that belong to no active key."""
        active = {self.private(key) for key in self.keys if key.active}
        return sorted(path for path in (self.folder / PRIVATE_FOLDER).glob("*.pem") if path not in active)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the trusted keys; the ledger records each change of it."""
        return sha256(canonical_json([key.to_json() for key in sorted(self.keys, key=lambda key: key.keyid)]))


def load_trusted_keys(folder: Path) -> KeyRing:
    """Read and check the trusted keys of a folder, which others must not be able to write."""
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
            "key file", f"{path} has mode {mode:04o}: others can change which keys are trusted; run: chmod 644 {path}"
        )
    return KeyRing(read_keys(text, str(path)), folder)


def load_signing_keys(folder: Path, role: Role) -> KeyRing:
    """Return the keys of a folder that can sign for a role. Call it before long work, not after it."""
    trusted_keys = load_trusted_keys(folder)
    trusted_keys.signer(role)
    return trusted_keys


def read_keys(text: str | bytes, where: str) -> tuple[TrustedKey, ...]:
    """Read the keys of a `trusted.json` or of an export."""
    values = parse_json(text, where)
    if values.get("format") != FORMAT or set(values) != {"format", "keys"} or not isinstance(values["keys"], list):
        raise AttestationError("malformed", f"{where}: expected format {FORMAT} and a list of keys, nothing else")
    keys = tuple(_trusted(entry, f"{where}: key {number}") for number, entry in enumerate(values["keys"], 1))
    twice = {key.keyid for key in keys if [other.keyid for other in keys].count(key.keyid) > 1}
    if twice:
        raise AttestationError("malformed", f"{where}: key {min(twice)} occurs twice")
    return keys


def write_keys(keys: tuple[TrustedKey, ...]) -> str:
    """Return the text that `read_keys` reads, indented for people."""
    return json.dumps({"format": FORMAT, "keys": [key.to_json() for key in keys]}, indent=2, ensure_ascii=False) + "\n"


def read_public(pem: str, where: str) -> Ed25519PublicKey:
    """Read an Ed25519 public key from its PEM text."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        found = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise AttestationError("malformed", f"{where}: its PEM is not a public key ({error})") from error
    if not isinstance(found, Ed25519PublicKey):
        raise AttestationError("malformed", f"{where}: its key is not an Ed25519 key")
    return found


def key_id(public: Ed25519PublicKey) -> str:
    """Return the SHA-256 (hex) of the key's DER encoding."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def read_private(path: Path, key: TrustedKey) -> CryptoSigner:
    """Return the private half of `key` as a signer; others must not be able to read the file."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from securesystemslib.signer import CryptoSigner

    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise AttestationError(
                "key file", f"{path} has mode {mode:04o}: others can sign with it; run: chmod 600 {path}"
            )
        found = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise AttestationError("key file", f"{path} is not a readable private key: {error}") from error
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
        raise AttestationError(
            "malformed", f"{where}: every field except roles must be text, and the name must not be empty"
        )
    roles = entry["roles"]
    if not isinstance(roles, list) or not roles or not all(role in ROLES for role in roles):
        raise AttestationError("malformed", f"{where}: roles {roles!r}; expected some of {', '.join(ROLES)}")
    for name in ("created", "retired", "revoked"):
        if texts[name] or name == "created":
            moment(texts[name], f"{where}, {name}")
    found = key_id(read_public(texts["pem"], where))
    if found != texts["keyid"]:
        raise AttestationError(
            "malformed", f"{where}: its keyid is {texts['keyid'][:64]}, but the hash of its PEM is {found}"
        )
    return TrustedKey(roles=tuple(role for role in ROLES if role in roles), **texts)

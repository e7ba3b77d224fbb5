"""Private keys in files: those by which the server signs metadata, those of boxes, and those of offline signers.

<keys>/delivery/
├── snapshot.pem, timestamp.pem      the server's, for every site
└── site-<site>.pem                  one for each site

PKCS #8, mode 0600. A key of an offline signer is a file of its own, in no folder of a server, and may have a
passphrase; next to it is its public half, which the root names.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from elp_core.files import replacing
from pipelines.errors import AttestationError
from pipelines.registry.signing.keys import key_id, read_public

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
    from securesystemslib.signer import CryptoSigner, SSlibKey

FOLDER = "delivery"
SNAPSHOT, TIMESTAMP = "snapshot", "timestamp"


def role_of(site: str) -> str:
    """Return the name of a site's role, and of its key. A site may be called `snapshot`."""
    return f"site-{site}"


def online_key_path(keys: Path, role: str) -> Path:
    """Return the file of one of the server's keys, in the key folder `keys`."""
    return keys / FOLDER / f"{role}.pem"


def ensure_online_keys(keys: Path, sites: Iterable[str]) -> dict[str, str]:
    """Create the server's keys that are missing; return the public halves (PEM) by role."""
    roles = (SNAPSHOT, TIMESTAMP, *sorted(role_of(site) for site in sites))
    return {role: _ensure(online_key_path(keys, role)) for role in roles}


def new_private_key(path: Path, passphrase: str = "") -> str:
    """Create a key pair in a new file, and return the public half as PEM."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        KeySerializationEncryption,
        NoEncryption,
        PrivateFormat,
    )

    if path.exists():
        raise AttestationError("key file", f"{path} exists; name another file, a key is never overwritten")
    private = Ed25519PrivateKey.generate()
    hidden: KeySerializationEncryption = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    content = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, hidden)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with replacing(path, durable=True) as temporary:
        # created with the narrow mode: the content is at no moment readable for others
        temporary.touch(mode=0o600)
        temporary.write_bytes(content)
    return _public_pem(private.public_key())


def signer_of(path: Path, passphrase: str = "", *, repair: str = "") -> CryptoSigner:
    """Return the key of a file as a signer; raise AttestationError if others can read it, or it is no Ed25519 key.

    `repair` is the next step if the file is damaged.
    """
    from securesystemslib.signer import CryptoSigner

    private = _read_private(path, passphrase, repair)
    return CryptoSigner(private, public_key(_public_pem(private.public_key()), str(path)))


def public_key(pem: str, where: str) -> SSlibKey:
    """Return a public key (PEM) as TUF's metadata has it, under the same id as in `trusted.json`."""
    from securesystemslib.signer import SSlibKey

    public = read_public(pem, where)
    return SSlibKey.from_crypto(public, key_id(public))


def public_pem(path: Path, passphrase: str = "", *, repair: str = "") -> str:
    """Return the public half of a private key's file as PEM; `repair` is the next step if the file is damaged."""
    return _public_pem(_read_private(path, passphrase, repair).public_key())


def _ensure(path: Path) -> str:
    return public_pem(path) if path.exists() else new_private_key(path)


def _read_private(path: Path, passphrase: str, repair: str) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    then = f"; {repair}" if repair else ""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise AttestationError("key file", f"{path} has mode {mode:04o}: others can sign; run: chmod 600 {path}")
        found = load_pem_private_key(path.read_bytes(), passphrase.encode() or None)
    except FileNotFoundError as error:
        raise AttestationError("key file", f"{path} is missing{then.replace('delete it, ', '')}") from error
    except (OSError, ValueError, TypeError) as error:
        # without the address of a page on the ways in which a key can be damaged
        why = str(error).partition(". ")[0]
        raise AttestationError("key file", f"{path} is not a private key that can be read: {why}{then}") from error
    if not isinstance(found, Ed25519PrivateKey):
        raise AttestationError("key file", f"{path} is no Ed25519 key{then}")
    return found


def _public_pem(public: Ed25519PublicKey) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")

"""Create, rotate, retire, revoke and exchange the keys on disk.

A text that does not name exactly one key raises UsageError; a malformed folder or export raises AttestationError.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from elp_core.files import replacing
from pipelines.errors import AttestationError, UsageError
from pipelines.locks import file_lock
from pipelines.registry.signing.canonical_json import moment, utc_now
from pipelines.registry.signing.keys import (
    ROLES,
    TRUSTED_FILE,
    KeyRing,
    Role,
    TrustedKey,
    key_id,
    load_trusted_keys,
    read_keys,
    write_keys,
)


def ensure_keys(folder: Path, roles: Sequence[Role] = ROLES) -> KeyRing:
    """Create a key for each role for which the folder never had one; existing keys stay as they are."""
    with _locked(folder) as trusted_keys:
        for role in roles:
            if not any(role in key.roles for key in trusted_keys.keys):
                trusted_keys, _ = _make(trusted_keys, role, (role,))
        return trusted_keys


def new_key(folder: Path, name: str, roles: tuple[Role, ...]) -> TrustedKey:
    """Create a key pair: the private half stays in the folder, the public half is trusted here."""
    with _locked(folder) as trusted_keys:
        return _make(trusted_keys, name, roles)[1]


def rotate_key(folder: Path, key: str) -> tuple[TrustedKey, TrustedKey]:
    """Replace an active key by a new one of the same name and roles; return the retired key and the new one."""
    with _locked(folder) as trusted_keys:
        old = choose_key(trusted_keys, key)
        if not old.active:
            raise UsageError(
                f"key {old.name} ({old.keyid[:12]}) is already {old.state}; create a key with: elp keys new"
            )
        # the new key first: at no moment is the folder without a key that signs
        trusted_keys, made = _make(trusted_keys, old.name, old.roles)
        return _end(trusted_keys, replace(old, retired=made.created)), made


def retire_key(folder: Path, key: str) -> TrustedKey:
    """End a key: its private half is deleted here, and what the ledger recorded before still counts."""
    with _locked(folder) as trusted_keys:
        old = choose_key(trusted_keys, key)
        return _end(trusted_keys, replace(old, retired=old.retired or utc_now()))


def revoke_key(folder: Path, key: str) -> TrustedKey:
    """Withdraw the trust in everything that a key ever signed; its private half is deleted here."""
    with _locked(folder) as trusted_keys:
        old = choose_key(trusted_keys, key)
        return _end(trusted_keys, replace(old, revoked=old.revoked or utc_now()))


def add_keys(folder: Path, text: str | bytes, where: str) -> tuple[TrustedKey, ...]:
    """Trust the keys of an export, and return the new or changed ones. A retirement or revocation is never undone."""
    with _locked(folder) as trusted_keys:
        known = {key.keyid: key for key in trusted_keys.keys}
        given = [_merge(known.get(key.keyid, key), key) for key in read_keys(text, where)]
        changed = tuple(key for key in given if known.get(key.keyid) != key)
        if changed:
            _store(trusted_keys, *changed)
        return changed


def choose_key(trusted_keys: KeyRing, text: str) -> TrustedKey:
    """Return the key with this beginning of its id (at least 8 digits), or the active key with this name."""
    by_id = [key for key in trusted_keys.keys if len(text) >= 8 and key.keyid.startswith(text.lower())]
    found = by_id or [key for key in trusted_keys.keys if key.name == text and key.active]
    if len(found) != 1:
        what = "no key" if not found else f"{len(found)} keys"
        raise UsageError(f"{what} in {trusted_keys.folder} fit {text!r}; give the beginning of a key id: elp keys list")
    return found[0]


def _merge(known: TrustedKey, given: TrustedKey) -> TrustedKey:
    if (known.name, known.roles) != (given.name, given.roles):
        raise AttestationError(
            "mismatch",
            f"key {known.keyid[:12]} is known here as {known.name} for {', '.join(known.roles)}, the file says "
            f"{given.name} for {', '.join(given.roles)}; name and roles of a key never change: create another key",
        )
    return replace(
        known, retired=_earlier(known.retired, given.retired), revoked=_earlier(known.revoked, given.revoked)
    )


def _earlier(one: str, other: str) -> str:
    """Return the earlier of two moments; either may be empty."""
    return min((text for text in (one, other) if text), key=lambda text: moment(text, "key"), default="")


def _make(trusted_keys: KeyRing, name: str, roles: tuple[Role, ...]) -> tuple[KeyRing, TrustedKey]:
    """Create a pair; the private half is on disk before the public half is trusted."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    private = Ed25519PrivateKey.generate()
    public = private.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")
    made = TrustedKey(key_id(public), name, tuple(role for role in ROLES if role in roles), pem, utc_now())
    path = trusted_keys.private(made)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    content = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _write(path, content, 0o600)
    return _store(trusted_keys, made), made


def _end(trusted_keys: KeyRing, key: TrustedKey) -> TrustedKey:
    """Store a key that signs nothing new, and delete its private half."""
    # stored first: after a crash in between, a key that signs nothing has a file too many, not an active key none
    _store(trusted_keys, key).private(key).unlink(missing_ok=True)
    return key


def _store(trusted_keys: KeyRing, *changed: TrustedKey) -> KeyRing:
    """Write and return the keys with `changed` in place of those with the same ids, or at the end."""
    by_id = {key.keyid: key for key in (*trusted_keys.keys, *changed)}
    stored = KeyRing(tuple(by_id.values()), trusted_keys.folder)
    _write(stored.folder / TRUSTED_FILE, write_keys(stored.keys).encode(), 0o644)
    return stored


def _write(path: Path, content: bytes, mode: int) -> None:
    """Write a file whole or not at all, with these permission bits whatever the umask is."""
    with replacing(path, durable=True) as temporary:
        # created with the narrow mode: the content is at no moment readable for others
        temporary.touch(mode=0o600)
        temporary.chmod(mode)
        temporary.write_bytes(content)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[KeyRing]:
    """Let one process at a time change the folder, and return its trusted keys; none if it has no file yet."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(file_lock(folder / ".lock"))
        except OSError as error:
            raise AttestationError("key file", f"{folder} cannot be written: {error.strerror}; set ELP_KEYS") from error
        yield load_trusted_keys(folder) if (folder / TRUSTED_FILE).exists() else KeyRing((), folder)

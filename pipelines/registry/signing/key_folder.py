"""Create, rotate, retire, revoke and exchange the keys on disk."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
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
    """Create a key for each role for which the folder never had one; existing keys stay as they are.

    Raises:
        AttestationError: The folder is malformed or cannot be written.
    """
    with _locked(folder):
        trusted_keys = _read(folder)
        for role in roles:
            if not any(role in key.roles for key in trusted_keys.keys):
                trusted_keys, _ = _make(trusted_keys, role, (role,))
        return trusted_keys


def new_key(folder: Path, name: str, roles: tuple[Role, ...]) -> TrustedKey:
    """Create a key pair: the private half stays in the folder, the public half is trusted here.

    Raises:
        AttestationError: The folder is malformed or cannot be written.
    """
    with _locked(folder):
        return _make(_read(folder), name, roles)[1]


def rotate_key(folder: Path, key: str) -> tuple[TrustedKey, TrustedKey]:
    """Replace a key by a new one of the same name and roles, and retire it.

    Returns:
        The retired key and the new one.

    Raises:
        UsageError: `key` names no active key, or more than one.
        AttestationError: The folder is malformed or cannot be written.
    """
    with _locked(folder):
        trusted_keys = _read(folder)
        old = choose_key(trusted_keys, key)
        if not old.active:
            raise UsageError(
                f"key {old.name} ({old.keyid[:12]}) is already {old.state}; create a key with: elp keys new"
            )
        trusted_keys, made = _make(trusted_keys, old.name, old.roles)
        retired = replace(old, retired=made.created)
        _store(_with(trusted_keys, retired))
        _forget(trusted_keys, old)
        return retired, made


def retire_key(folder: Path, key: str) -> TrustedKey:
    """End a key: its private half is deleted here, and what the ledger recorded before still counts.

    Raises:
        UsageError: `key` names no key, or more than one.
        AttestationError: The folder is malformed or cannot be written.
    """
    return _change(folder, key, lambda old: old if old.retired else replace(old, retired=utc_now()))


def revoke_key(folder: Path, key: str) -> TrustedKey:
    """Withdraw the trust in everything that a key ever signed; its private half is deleted here.

    Raises:
        UsageError: `key` names no key, or more than one.
        AttestationError: The folder is malformed or cannot be written.
    """
    return _change(folder, key, lambda old: old if old.revoked else replace(old, revoked=utc_now()))


def add_keys(folder: Path, text: str | bytes, where: str) -> tuple[TrustedKey, ...]:
    """Trust the keys of an export. Of a known key, a retirement or revocation is taken over and never undone.

    Returns:
        The keys that are new or changed here.

    Raises:
        AttestationError: The text is not an export, or gives a known key another name or other roles.
    """
    with _locked(folder):
        trusted_keys = _read(folder)
        changed = []
        for key in read_keys(text, where):
            known = trusted_keys.find(key.keyid)
            merged = key if known is None else _merge(known, key)
            if merged != known:
                changed.append(merged)
                trusted_keys = _with(trusted_keys, merged)
        if changed:
            _store(trusted_keys)
        return tuple(changed)


def choose_key(trusted_keys: KeyRing, text: str) -> TrustedKey:
    """Return the key that `text` names by the beginning of its id (at least 8 digits), or by the name if it is active.

    Raises:
        UsageError: No key or more than one fits.
    """
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


def _change(folder: Path, key: str, change: Callable[[TrustedKey], TrustedKey]) -> TrustedKey:
    with _locked(folder):
        trusted_keys = _read(folder)
        changed = change(choose_key(trusted_keys, key))
        _store(_with(trusted_keys, changed))
        _forget(trusted_keys, changed)
        return changed


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
    trusted_keys = _with(trusted_keys, made)
    _store(trusted_keys)
    return trusted_keys, made


def _with(trusted_keys: KeyRing, key: TrustedKey) -> KeyRing:
    """Return the keys with `key` in place of the one with its id, or at the end."""
    if trusted_keys.find(key.keyid) is None:
        return KeyRing((*trusted_keys.keys, key), trusted_keys.folder)
    return KeyRing(tuple(key if key.keyid == old.keyid else old for old in trusted_keys.keys), trusted_keys.folder)


def _read(folder: Path) -> KeyRing:
    """Return the folder's trusted keys; none if it has no file yet."""
    return load_trusted_keys(folder) if (folder / TRUSTED_FILE).exists() else KeyRing((), folder)


def _store(trusted_keys: KeyRing) -> None:
    _write(trusted_keys.folder / TRUSTED_FILE, write_keys(trusted_keys.keys).encode(), 0o644)


def _forget(trusted_keys: KeyRing, key: TrustedKey) -> None:
    trusted_keys.private(key).unlink(missing_ok=True)


def _write(path: Path, content: bytes, mode: int) -> None:
    """Write a file whole or not at all, with these permission bits whatever the umask is."""
    with replacing(path, durable=True) as temporary:
        # created with the narrow mode: the content is at no moment readable for others
        temporary.touch(mode=0o600)
        temporary.chmod(mode)
        temporary.write_bytes(content)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time change the folder."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(file_lock(folder / ".lock"))
        except OSError as error:
            raise AttestationError("key file", f"{folder} cannot be written: {error.strerror}; set ELP_KEYS") from error
        yield

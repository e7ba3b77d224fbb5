"""Keys on disk: made, replaced, retired, revoked, and exchanged between machines."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pipelines.errors import AttestationError, UsageError
from pipelines.registry.signing.canonical_json import moment, utc_now
from pipelines.registry.signing.keys import (
    ROLES,
    TRUSTED_FILE,
    KeyRing,
    Role,
    TrustedKey,
    key_id,
    load_ring,
    read_keys,
    write_keys,
)


def ensure_keys(folder: Path, roles: Sequence[Role] = ROLES) -> KeyRing:
    """A key for each role, made where the folder has never trusted any for it; what is there stays.

    Raises:
        AttestationError: where the folder is malformed or cannot be written.
    """
    with _locked(folder):
        ring = _ring(folder)
        for role in roles:
            if not any(role in key.roles for key in ring.keys):
                ring, _ = _make(ring, role, (role,))
        return ring


def new_key(folder: Path, name: str, roles: tuple[Role, ...]) -> TrustedKey:
    """Make a key pair: the private half stays in the folder, the public half is trusted here.

    Raises:
        AttestationError: where the folder is malformed or cannot be written.
    """
    with _locked(folder):
        return _make(_ring(folder), name, roles)[1]


def rotate_key(folder: Path, key: str) -> tuple[TrustedKey, TrustedKey]:
    """Replace a key by a new one of the same name and roles, and retire it.

    Returns:
        The retired key and the new one.

    Raises:
        UsageError: where `key` names no active key, or more than one.
        AttestationError: where the folder is malformed or cannot be written.
    """
    with _locked(folder):
        ring = _ring(folder)
        old = choose_key(ring, key)
        if not old.active:
            raise UsageError(f"key {old.name} ({old.keyid[:12]}) is {old.state} already; make one with: elp keys new")
        ring, made = _make(ring, old.name, old.roles)
        retired = replace(old, retired=made.created)
        _store(_with(ring, retired))
        _forget(ring, old)
        return retired, made


def retire_key(folder: Path, key: str) -> TrustedKey:
    """Let a key sign nothing new; its private half is deleted here, and what the ledger recorded before still counts.

    Raises:
        UsageError: where `key` names no key, or more than one.
        AttestationError: where the folder is malformed or cannot be written.
    """
    return _change(folder, key, lambda old: old if old.retired else replace(old, retired=utc_now()))


def revoke_key(folder: Path, key: str) -> TrustedKey:
    """Trust a key no more, for nothing it ever signed; its private half is deleted here.

    Raises:
        UsageError: where `key` names no key, or more than one.
        AttestationError: where the folder is malformed or cannot be written.
    """
    return _change(folder, key, lambda old: old if old.revoked else replace(old, revoked=utc_now()))


def add_keys(folder: Path, text: str | bytes, where: str) -> tuple[TrustedKey, ...]:
    """Trust the keys of an export; of one that is known, a retirement or revocation is taken over and never undone.

    Returns:
        The keys that are new or changed here.

    Raises:
        AttestationError: where the text is no export, or gives a known key another name or other roles.
    """
    with _locked(folder):
        ring = _ring(folder)
        changed = []
        for key in read_keys(text, where):
            known = ring.find(key.keyid)
            merged = key if known is None else _merge(known, key)
            if merged != known:
                changed.append(merged)
                ring = _with(ring, merged)
        if changed:
            _store(ring)
        return tuple(changed)


def choose_key(ring: KeyRing, text: str) -> TrustedKey:
    """The key that `text` names: the beginning of its id (8 digits or more), or its name where one active key has it.

    Raises:
        UsageError: where none or more than one fits.
    """
    by_id = [key for key in ring.keys if len(text) >= 8 and key.keyid.startswith(text.lower())]
    found = by_id or [key for key in ring.keys if key.name == text and key.active]
    if len(found) != 1:
        what = "no key" if not found else f"{len(found)} keys"
        raise UsageError(f"{what} in {ring.folder} fit {text!r}; give the beginning of a key id: elp keys list")
    return found[0]


def _merge(known: TrustedKey, given: TrustedKey) -> TrustedKey:
    if (known.name, known.roles) != (given.name, given.roles):
        raise AttestationError(
            "mismatch",
            f"key {known.keyid[:12]} is known here as {known.name} for {', '.join(known.roles)}, the file says "
            f"{given.name} for {', '.join(given.roles)}; a key keeps what it was made for: make another",
        )
    return replace(
        known, retired=_earlier(known.retired, given.retired), revoked=_earlier(known.revoked, given.revoked)
    )


def _earlier(one: str, other: str) -> str:
    """The earlier of two moments, either of which may be empty."""
    return min((text for text in (one, other) if text), key=lambda text: moment(text, "key"), default="")


def _change(folder: Path, key: str, change: Callable[[TrustedKey], TrustedKey]) -> TrustedKey:
    with _locked(folder):
        ring = _ring(folder)
        changed = change(choose_key(ring, key))
        _store(_with(ring, changed))
        _forget(ring, changed)
        return changed


def _make(ring: KeyRing, name: str, roles: tuple[Role, ...]) -> tuple[KeyRing, TrustedKey]:
    """A new pair; the private half is on disk before the public half is trusted."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    private = Ed25519PrivateKey.generate()
    public = private.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")
    made = TrustedKey(key_id(public), name, tuple(role for role in ROLES if role in roles), pem, utc_now())
    path = ring.private(made)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    content = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _write(path, content, 0o600)
    ring = _with(ring, made)
    _store(ring)
    return ring, made


def _with(ring: KeyRing, key: TrustedKey) -> KeyRing:
    """The ring with `key` in place of the one with its id, or at the end."""
    if ring.find(key.keyid) is None:
        return KeyRing((*ring.keys, key), ring.folder)
    return KeyRing(tuple(key if key.keyid == old.keyid else old for old in ring.keys), ring.folder)


def _ring(folder: Path) -> KeyRing:
    """The folder's ring; empty where it has none yet."""
    return load_ring(folder) if (folder / TRUSTED_FILE).exists() else KeyRing((), folder)


def _store(ring: KeyRing) -> None:
    _write(ring.folder / TRUSTED_FILE, write_keys(ring.keys).encode(), 0o644)


def _forget(ring: KeyRing, key: TrustedKey) -> None:
    ring.private(key).unlink(missing_ok=True)


def _write(path: Path, content: bytes, mode: int) -> None:
    """A file, whole or not at all, never for a moment with a wider mode than `mode`."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.unlink(missing_ok=True)
    handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, mode)
            file.write(content)
            file.flush()
            os.fsync(handle)
        os.replace(scratch, path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One change at a time."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise AttestationError("key file", f"{folder} cannot be written: {error.strerror}; set ELP_KEYS") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

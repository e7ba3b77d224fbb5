"""The API keys of a server: who may ask which slots. The file has digests of the keys only.

A key is shown once, when it is made. It has 256 random bits, so its SHA-256 needs no salt and no slow hash. A server
reads the file again when it changes: a revoked key is refused from the next request on.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import re
import secrets
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from elp_core.config import from_dict
from elp_core.files import write_whole
from elp_core.task_specs import names as task_names
from pipelines.errors import UsageError
from pipelines.local.state_file import read_back
from pipelines.locks import file_lock
from pipelines.registry.slot import Slot

_PREFIX = "elp_"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@ -]{0,62}")
_ANY = "*"


@dataclass(frozen=True)
class ApiKey:
    """One key, without its text."""

    id: str
    """The first characters of the key after ``elp_``; no secret."""
    name: str
    """Who has it, for people."""
    slots: tuple[str, ...]
    """Scopes: ``SITE/TASK``, ``SITE/*``, ``*/TASK`` or ``*/*``."""
    digest: str
    """SHA-256 of the key in hex."""
    created: str
    """UTC, ISO 8601."""
    enrols: tuple[str, ...] = ()
    """Scopes in which it may enrol voices, ``SITE/asv`` or ``*/asv``; `slots` do not include that."""

    def permits(self, slot: Slot) -> bool:
        """Return whether one of the scopes has the slot."""
        return _has(self.slots, slot)

    @property
    def permits_all(self) -> bool:
        """Whether the key may ask every slot, and so see the state of the server."""
        return f"{_ANY}/{_ANY}" in self.slots

    def permits_enrolling(self, slot: Slot) -> bool:
        """Return whether the key may enrol voices in the slot."""
        return _has(self.enrols, slot)


@dataclass(frozen=True)
class _KeyList:
    """The content of the file."""

    keys: tuple[ApiKey, ...]


def read_api_keys(path: Path) -> tuple[ApiKey, ...]:
    """Return the keys of a file; none if there is no file. Raises WorkspaceError if it is damaged."""
    with contextlib.suppress(FileNotFoundError), read_back(path, "delete it and make new keys: elp api-keys add"):
        return from_dict(_KeyList, json.loads(path.read_text(encoding="utf-8")), "keys").keys
    return ()


def add_api_key(path: Path, name: str, scopes: Sequence[str], enrols: Sequence[str] = ()) -> tuple[ApiKey, str]:
    """Make a key, store its digest, and return the key's text too: it is known to nobody else.

    Raises UsageError for a name that is in use, a scope that is none, or no scope at all.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is not a name of a key; expected letters, digits, blanks and . _ @ - (63 at most)")
    if not scopes and not enrols:
        raise UsageError(f"the key {name!r} would permit nothing; give --slot SITE/TASK, or --enrol SITE/asv")
    slots = tuple(dict.fromkeys(_scope(scope) for scope in scopes))
    voices = tuple(dict.fromkeys(_voice_scope(scope) for scope in enrols))
    text = _PREFIX + secrets.token_hex(4) + secrets.token_hex(32)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    made = ApiKey(text[len(_PREFIX) :][:8], name, slots, _digest(text), now, voices)
    with file_lock(path.with_suffix(".lock")):
        known = read_api_keys(path)
        if any(key.name == name for key in known):
            raise UsageError(f"there is a key of the name {name!r}; choose another, or: elp api-keys revoke {name!r}")
        _write(path, (*known, made))
    return made, text


def revoke_api_key(path: Path, which: str) -> ApiKey:
    """Remove the key with this name or id; raises UsageError if there is none."""
    with file_lock(path.with_suffix(".lock")):
        known = read_api_keys(path)
        found = next((key for key in known if which in (key.name, key.id)), None)
        if found is None:
            some = ", ".join(f"{key.name} ({key.id})" for key in known) or "none"
            raise UsageError(f"there is no key {which!r}; the keys are: {some}")
        _write(path, tuple(key for key in known if key is not found))
    return found


class ApiKeyFile:
    """The keys of a running server. May be asked from many threads at once.

    Args:
        path: Is read again when it changes.
        required: Refuse requests without a key even if the file has none.
        own: The text of a key that may ask everything, of programs of this machine's user; empty for none.
    """

    def __init__(self, path: Path, required: bool = False, own: str = "") -> None:
        self._path, self._required = path, required
        self._own = ApiKey("local", "this machine", ("*/*",), _digest(own) if own else "", "")
        self._lock = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._keys: tuple[ApiKey, ...] = ()

    @property
    def required(self) -> bool:
        """Whether a request needs a key. Once there was one, the server stays closed."""
        return self._required or bool(self._present())

    def find(self, text: str) -> ApiKey | None:
        """Return the key with this text, or None. The time that it takes does not depend on the text."""
        digest, found = _digest(text), None
        for key in (*self._present(), self._own):
            if hmac.compare_digest(key.digest.encode(), digest.encode()):
                found = key
        return found

    def _present(self) -> tuple[ApiKey, ...]:
        with self._lock:
            try:
                status = self._path.stat()
                stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            except FileNotFoundError:
                stamp = (0, 0, 0)
            if stamp != self._stamp:
                # a damaged file raises, at every request until it is repaired
                self._keys = read_api_keys(self._path)
                self._stamp = stamp
                self._required = self._required or bool(self._keys)
            return self._keys


def _has(scopes: Sequence[str], slot: Slot) -> bool:
    return any(
        site in (_ANY, slot.site) and task in (_ANY, slot.task)
        for site, _, task in (scope.partition("/") for scope in scopes)
    )


def _voice_scope(text: str) -> str:
    if text.partition("/")[2] != "asv":
        raise UsageError(f"{text!r} is no scope for enrolling; expected SITE/asv or */asv")
    return _scope(text)


def _scope(text: str) -> str:
    site, slash, task = text.partition("/")
    if slash and task in (_ANY, *task_names()):
        if site != _ANY:
            # any task will do: it is the site that is checked
            Slot.parse(f"{site}/{task_names()[0]}")
        return text
    tasks = ", ".join(task_names())
    raise UsageError(f"{text!r} is no scope; expected SITE/TASK, SITE/*, */TASK or */* with a task of {tasks}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _write(path: Path, keys: Sequence[ApiKey]) -> None:
    rows = [asdict(key) for key in keys]
    write_whole(path, json.dumps({"keys": rows}, indent=2) + "\n", mode=0o600, durable=True)

"""Enrolled voices of an edge box: the templates in its own folder, sealed, with the record of what was done to them.

The rules are those of the server (`storing_fault`). The record takes the place of the ledger: every entry is written in
the same transaction as the change, and a revocation keeps the random id of the voice, its dates and the reason.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import GateRefused
from pipelines.local.box_home import active_set, readable_sets
from pipelines.private_database import PrivateDatabase
from pipelines.registry.client.server_api import current_user
from pipelines.registry.signing.canonical_json import utc_now
from pipelines.registry.slot import Slot
from pipelines.registry.voice_template import VoiceTemplate, storing_fault, unrenewed

_FILE = "templates.sqlite3"
_DATABASE = PrivateDatabase(
    about="box voices",
    tables="""
CREATE TABLE template (
    voice TEXT NOT NULL,
    bundle TEXT NOT NULL,
    slot TEXT NOT NULL,
    person TEXT NOT NULL,
    at TEXT NOT NULL,
    version INTEGER NOT NULL,
    revoked INTEGER NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (voice, bundle));
CREATE INDEX template_person ON template (slot, person);
CREATE TABLE entry (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    event TEXT NOT NULL,
    slot TEXT NOT NULL,
    voice TEXT NOT NULL,
    version INTEGER,
    bundle TEXT NOT NULL,
    by TEXT NOT NULL,
    reason TEXT NOT NULL)
""",
    format=1,
    repair="if it is damaged, restore the folder .elp/voices from a copy, or delete it: all voices are enrolled again",
)


@dataclass(frozen=True)
class VoiceEntry:
    """A change of the enrolled voices of a box."""

    at: str
    """UTC, ISO 8601."""
    event: str
    """``voice enrolled`` or ``voice revoked``."""
    slot: str
    voice: str
    version: int | None
    """Of a template that was stored."""
    bundle: str
    by: str
    """Name that was given, or of the user; that of the API key for an enrolment over HTTP."""
    reason: str
    """Of a revocation."""


@dataclass(frozen=True)
class BoxTemplates:
    """The templates of a box. Several processes may use them at once."""

    box: Path
    path: Path
    """Of the database, which is made with the first template."""

    def templates(self, slot: Slot, person: str = "", *, revoked: bool = False) -> list[VoiceTemplate]:
        """Return the templates of a slot, or of one person in it, oldest first."""
        if not self.path.exists():
            return []
        with _DATABASE.opened(self.path) as db:
            found = _selected(db, "slot = ? AND (? = '' OR person = ?)", str(slot), person, person)
        return [one for one in found if revoked or not one.revoked_at]

    def live_voices(self) -> frozenset[str]:
        """Return the ids of all voices that have a template."""
        if not self.path.exists():
            return frozenset()
        with _DATABASE.opened(self.path) as db:
            return frozenset(voice for (voice,) in db.execute("SELECT voice FROM template WHERE NOT revoked"))

    def add(self, template: VoiceTemplate, by: str = "") -> None:
        """Store a template of an adapter that the box has; raises GateRefused with the reason if it is not stored."""
        given = VoiceTemplate.from_json(template.to_json())
        if not self._has_adapter(given):
            raise GateRefused(
                f"the box {self.box} has no {given.slot} v{given.version} with the bundle {given.bundle}; it may have "
                "pulled another one since: try again"
            )
        with self._changing() as db:
            of_person = _selected(db, "slot = ? AND person = ?", given.slot, given.person)
            if fault := storing_fault(given, of_person, _selected(db, "voice = ?", given.voice)):
                raise GateRefused(fault)
            row = (given.voice, given.bundle, given.slot, given.person, given.at, given.version, False, _text(given))
            db.execute("INSERT INTO template VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            _note(db, "voice enrolled", given, by)

    def revoke(self, voice: str, reason: str, by: str = "") -> int:
        """Delete the sealed bytes of all templates of a voice; return how many there were."""
        if not reason.strip():
            raise GateRefused("say why the voice is revoked: --reason TEXT")
        with self._changing() as db:
            found = [one for one in _selected(db, "voice = ?", voice) if not one.revoked_at]
            if not found:
                raise GateRefused(f"there is no enrolled voice {voice[:32]}; list them: elp enrol list SITE/asv")
            for one in found:
                gone = dataclasses.replace(one, sealed="", revoked_at=utc_now())
                db.execute(
                    "UPDATE template SET revoked = TRUE, content = ? WHERE voice = ? AND bundle = ?",
                    (_text(gone), voice, one.bundle),
                )
            _note(db, "voice revoked", dataclasses.replace(found[0], bundle=""), by, reason.strip())
        return len(found)

    def unrenewed(self) -> dict[str, int]:
        """Return, by slot of the active set, how many voices have no template for its adapter, if there are any."""
        found, active = dict[str, int](), active_set(self.box)
        for adapter in active.site_set.adapters if active else ():
            if left := len(unrenewed(self.templates(Slot.parse(adapter.slot)), adapter.bundle)):
                found[adapter.slot] = left
        return found

    def entries(self) -> list[VoiceEntry]:
        """Return the record of all changes, oldest first."""
        if not self.path.exists():
            return []
        with _DATABASE.opened(self.path) as db:
            wanted = ", ".join(field.name for field in dataclasses.fields(VoiceEntry))
            return [VoiceEntry(*row) for row in db.execute(f"SELECT {wanted} FROM entry ORDER BY number")]

    @contextlib.contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with _DATABASE.opened(self.path, create=True) as db, _DATABASE.transaction(db):
            yield db

    def _has_adapter(self, given: VoiceTemplate) -> bool:
        # it raises if it is damaged; a damaged set before is as good as none
        active_set(self.box)
        sets = readable_sets(self.box).values()
        adapters = [adapter for one in sets if (adapter := one.site_set.find(given.slot))]
        return (given.version, given.bundle) in [(one.version, one.bundle) for one in adapters]


def voices_at(box: Path) -> Path:
    """Return the folder of a box's enrolled voices."""
    return box / ".elp" / "voices"


def box_templates(box: Path) -> BoxTemplates:
    """Return the templates of a box."""
    return BoxTemplates(box, voices_at(box) / _FILE)


def _selected(db: sqlite3.Connection, where: str, *values: str) -> list[VoiceTemplate]:
    rows = db.execute(f"SELECT content FROM template WHERE {where} ORDER BY at, voice, version", values)
    return [VoiceTemplate.from_json(json.loads(content)) for (content,) in rows.fetchall()]


def _text(template: VoiceTemplate) -> str:
    return json.dumps(template.to_json(), sort_keys=True)


def _note(db: sqlite3.Connection, event: str, of: VoiceTemplate, by: str, reason: str = "") -> None:
    version = of.version if of.bundle else None
    row = (utc_now(), event, of.slot, of.voice, version, of.bundle, by or current_user(), reason)
    db.execute(
        "INSERT INTO entry (at, event, slot, voice, version, bundle, by, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row
    )

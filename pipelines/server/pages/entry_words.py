"""A ledger entry as a sentence in the reader's language."""

from __future__ import annotations

from collections.abc import Callable

from markupsafe import Markup, escape

from pipelines.registry.ledger.entry import Event, LedgerEntry
from pipelines.server.pages.counted_words import counted
from pipelines.texts.english_records import in_english
from pipelines.texts.message_catalogue import Texts


def entry_words(said: Texts, entry: LedgerEntry) -> str:
    """Return who did what, without the reason."""
    return _ACTIONS[entry.event](said, entry, entry.principal.name)


def _version(said: Texts, number: int | None) -> str:
    return said.say("no version") if number is None else f"v{number}"


def _promoted(said: Texts, entry: LedgerEntry, name: str) -> str:
    after, before = _version(said, entry.after), entry.before
    if before is None:
        return said.say("%(name)s made %(version)s the champion", name=name, version=after)
    return said.say(
        "%(name)s made %(version)s the champion in place of v%(before)s", name=name, version=after, before=before
    )


def _refused(said: Texts, entry: LedgerEntry, name: str) -> str:
    what, about = str(entry.detail.get("what") or ""), f" (v{entry.after})" if entry.after else ""
    if said.language == "en":
        what = what or said.say("a request")
        return said.say("%(name)s was refused: %(what)s%(about)s", name=name, what=what, about=about)
    # what was tried is part of the record
    shown = escape(in_english(said, what) or said.say("a request"))
    text = said.say("%(name)s was refused: %(what)s%(about)s", name=escape(name), what=shown, about=about)
    return Markup(text)


def _ended(said: Texts, entry: LedgerEntry, name: str) -> str:
    before = _version(said, entry.before)
    if not entry.after:
        return said.say("%(name)s ended the override of %(version)s: nothing serves", name=name, version=before)
    return said.say(
        "%(name)s ended the override of %(version)s: v%(after)s serves again",
        name=name, version=before, after=entry.after,
    )  # fmt: skip


def _deleted(said: Texts, entry: LedgerEntry, name: str) -> str:
    what = _version(said, entry.after) if entry.after else said.say("the slot's model")
    if entry.detail.get("policy"):
        return said.say("%(name)s deleted %(what)s by the retention policy", name=name, what=what)
    return said.say("%(name)s deleted %(what)s", name=name, what=what)


def _held(said: Texts, entry: LedgerEntry, name: str) -> str:
    subject = str(entry.detail.get("subject", ""))
    # the digest of a speaker's name says nothing to a reader
    shown = said.say("a speaker") if subject.startswith("speaker:") else subject
    day = str(entry.detail.get("until", ""))[:10]
    return said.say("%(name)s put a hold on %(subject)s until %(day)s", name=name, subject=shown, day=day)


def _restored(said: Texts, entry: LedgerEntry, name: str) -> str:
    what = _version(said, entry.after) if entry.after else _files(said, entry)
    return said.say("%(name)s restored %(what)s", name=name, what=what)


def _files(said: Texts, entry: LedgerEntry) -> str:
    return counted(said, len(entry.detail.get("files", ())), "data file")


def _emptied(said: Texts, entry: LedgerEntry, name: str) -> str:
    number = sum(len(entry.detail.get(part, ())) for part in ("removed", "runs", "models"))
    return said.say("%(name)s emptied the trash: %(items)s", name=name, items=counted(said, number, "item"))


def _moved(said: Texts, entry: LedgerEntry) -> str:
    """Return the slots of a site, or the one slot that the entry was reduced to."""
    if entry.slot:
        return said.say("%(slot)s from %(version)s", slot=entry.slot, version=_version(said, entry.before))
    slots = counted(said, len(entry.detail.get("moves", ())), "slot")
    return said.say("%(slots)s of %(site)s", slots=slots, site=entry.detail.get("site"))


def _migrated(said: Texts, entry: LedgerEntry, name: str) -> str:
    return said.say(
        "%(name)s changed %(what)s to the backbone %(backbone)s",
        name=name, what=_moved(said, entry), backbone=entry.detail.get("backbone"),
    )  # fmt: skip


def _stated(said: Texts, entry: LedgerEntry, name: str) -> str:
    return said.say(
        "%(name)s stated that %(site)s may change to the backbone %(backbone)s",
        name=name, site=entry.detail.get("site"), backbone=entry.detail.get("backbone"),
    )  # fmt: skip


_ACTIONS: dict[Event, Callable[[Texts, LedgerEntry, str], str]] = {
    "registered": lambda said, entry, name: said.say(
        "%(name)s registered %(version)s", name=name, version=_version(said, entry.after)
    ),
    "gated": lambda said, entry, name: said.say(
        "%(name)s recorded the gate's verdict on %(version)s", name=name, version=_version(said, entry.after)
    ),
    "promoted": _promoted,
    "refused": _refused,
    "rolled back": lambda said, entry, name: said.say(
        "%(name)s rolled back from %(before)s to %(after)s",
        name=name, before=_version(said, entry.before), after=_version(said, entry.after),
    ),
    "retired": lambda said, entry, name: said.say(
        "%(name)s retired %(version)s: nothing serves", name=name, version=_version(said, entry.before)
    ),
    "override asked": lambda said, entry, name: said.say(
        "%(name)s asked for an override for %(version)s", name=name, version=_version(said, entry.after)
    ),
    "overridden": lambda said, entry, name: said.say(
        "%(name)s let %(version)s serve without a passed verdict", name=name, version=_version(said, entry.after)
    ),
    "override expired": _ended,
    "override withdrawn": lambda said, entry, name: said.say(
        "%(name)s withdrew the request for an override of %(version)s", name=name, version=_version(said, entry.after)
    ),
    "deleted": _deleted,
    "keys changed": lambda said, _, name: said.say("%(name)s changed the trusted keys", name=name),
    "users changed": lambda said, _, name: said.say("%(name)s changed users or their rights", name=name),
    "held": _held,
    "hold ended": lambda said, entry, name: said.say(
        "%(name)s ended hold %(hold)s", name=name, hold=entry.detail.get("hold", "")
    ),
    "restored": _restored,
    "data deleted": lambda said, entry, name: said.say(
        "%(name)s deleted %(what)s by the retention policy", name=name, what=_files(said, entry)
    ),
    "voice enrolled": lambda said, entry, name: said.say(
        "%(name)s stored the template of a voice for %(version)s", name=name, version=_version(said, entry.after)
    ),
    "voice revoked": lambda said, _, name: said.say(
        "%(name)s revoked an enrolled voice: its templates are deleted", name=name
    ),
    "migration stated": _stated,
    "migrated": _migrated,
    "migrated back": lambda said, entry, name: said.say(
        "%(name)s brought %(what)s back to the champions before the migration", name=name, what=_moved(said, entry)
    ),
    "trash emptied": _emptied,
}  # fmt: skip

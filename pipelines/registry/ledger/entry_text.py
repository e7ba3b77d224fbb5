"""A ledger entry as a sentence: who did what."""

from collections.abc import Callable

from pipelines.number_text import count
from pipelines.registry.ledger.entry import Event, LedgerEntry


def entry_sentence(entry: LedgerEntry) -> str:
    """Return who did what, such as ``ann made v2 the champion in place of v1``, without the reason."""
    return f"{entry.principal.name} {_ACTIONS[entry.event](entry)}"


def _version(number: int | None) -> str:
    return "no version" if number is None else f"v{number}"


def _promoted(entry: LedgerEntry) -> str:
    instead = "" if entry.before is None else f" in place of {_version(entry.before)}"
    return f"made {_version(entry.after)} the champion{instead}"


def _ended(entry: LedgerEntry) -> str:
    follows = f"{_version(entry.after)} serves again" if entry.after else "nothing serves"
    return f"ended the override of {_version(entry.before)}: {follows}"


def _refused(entry: LedgerEntry) -> str:
    about = f" ({_version(entry.after)})" if entry.after else ""
    return f"was refused: {entry.detail.get('what') or 'a request'}{about}"


def _deleted(entry: LedgerEntry) -> str:
    what = _version(entry.after) if entry.after else "the slot's model"
    return f"deleted {what}" + (" by the retention policy" if entry.detail.get("policy") else "")


def _held(entry: LedgerEntry) -> str:
    subject = str(entry.detail.get("subject", ""))
    # the digest of a speaker's name says nothing to a reader
    name = "a speaker" if subject.startswith("speaker:") else subject
    return f"put a hold on {name} until {str(entry.detail.get('until', ''))[:10]}"


def _restored(entry: LedgerEntry) -> str:
    files = len(entry.detail.get("files", ()))
    return f"restored {_version(entry.after)}" if entry.after else f"restored {count(files, 'data file')}"


def _removed(entry: LedgerEntry) -> int:
    return sum(len(entry.detail.get(name, ())) for name in ("removed", "runs", "models"))


def _data_deleted(entry: LedgerEntry) -> str:
    return f"deleted {count(len(entry.detail.get('files', ())), 'data file')} by the retention policy"


def _migrated(entry: LedgerEntry) -> str:
    """Return the slots of a site, or the one slot that the entry was reduced to."""
    slots = count(len(entry.detail.get("moves", ())), "slot")
    return f"{slots} of {entry.detail.get('site')}" if not entry.slot else f"{entry.slot} from {_version(entry.before)}"


_ACTIONS: dict[Event, Callable[[LedgerEntry], str]] = {
    "registered": lambda entry: f"registered {_version(entry.after)}",
    "gated": lambda entry: f"recorded the gate's verdict on {_version(entry.after)}",
    "promoted": _promoted,
    "refused": _refused,
    "rolled back": lambda entry: f"rolled back from {_version(entry.before)} to {_version(entry.after)}",
    "retired": lambda entry: f"retired {_version(entry.before)}: nothing serves",
    "override asked": lambda entry: f"asked for an override for {_version(entry.after)}",
    "overridden": lambda entry: f"let {_version(entry.after)} serve without a passed verdict",
    "override expired": _ended,
    "override withdrawn": lambda entry: f"withdrew the request for an override of {_version(entry.after)}",
    "deleted": _deleted,
    "keys changed": lambda _: "changed the trusted keys",
    "users changed": lambda _: "changed users or their rights",
    "held": _held,
    "hold ended": lambda entry: f"ended hold {entry.detail.get('hold', '')}",
    "restored": _restored,
    "data deleted": _data_deleted,
    "voice enrolled": lambda entry: f"stored the template of a voice for {_version(entry.after)}",
    "voice revoked": lambda _: "revoked an enrolled voice: its templates are deleted",
    "migration stated": lambda entry: (
        f"stated that {entry.detail.get('site')} may change to the backbone {entry.detail.get('backbone')}"
    ),
    "migrated": lambda entry: f"changed {_migrated(entry)} to the backbone {entry.detail.get('backbone')}",
    "migrated back": lambda entry: f"brought {_migrated(entry)} back to the champions before the migration",
    "trash emptied": lambda entry: f"emptied the trash: {count(_removed(entry), 'item')}",
}

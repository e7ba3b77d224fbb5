"""Holds: what must not be deleted until a date, whatever the retention says. The ledger is their only record.

A hold is the ledger entry ``held``, and its number is the number of the entry. It ends at its date, or with an entry
``hold ended``. A speaker is named by a digest: the ledger is never rewritten, and a name in it could not be erased.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from pipelines.errors import UsageError
from pipelines.registry.ledger.entry import LedgerEntry
from pipelines.registry.names import normal_name
from pipelines.registry.signing.canonical_json import moment
from pipelines.registry.slot import Slot

SPEAKER = "speaker:"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_VERSION = re.compile(r"(?P<slot>[^@]+)@v(?P<number>[1-9][0-9]{0,8})")
_DATASET = re.compile(r"data/(?P<slot>[^/]+/[^/]+)/v(?P<number>[1-9][0-9]{0,8})")


@dataclass(frozen=True)
class HeldSubject:
    """A slot, one of its adapter versions or dataset versions, or a speaker of any slot."""

    slot: Slot | None = None
    """None for a speaker."""
    version: int | None = None
    """An adapter version of the slot."""
    dataset: int | None = None
    """A dataset version of the slot."""
    speaker: str = ""
    """``sha256:…`` of the speaker's name, as `speaker_digest` returns it."""

    @classmethod
    def parse(cls, text: str) -> "HeldSubject":
        """Read ``SITE/TASK``, ``SITE/TASK@v3``, ``data/SITE/TASK/v3``, ``speaker:NAME`` or ``speaker:sha256:…``.

        Raise UsageError for any other text.
        """
        if text.startswith(SPEAKER):
            name = text.removeprefix(SPEAKER)
            if not normal_name(name):
                raise UsageError("speaker: needs a name, such as speaker:anna")
            return cls(speaker=name if _DIGEST.fullmatch(name) else speaker_digest(name))
        if found := _VERSION.fullmatch(text):
            return cls(Slot.parse(found["slot"]), version=int(found["number"]))
        if found := _DATASET.fullmatch(text):
            return cls(Slot.parse(found["slot"]), dataset=int(found["number"]))
        if "@" in text or text.count("/") > 1:
            raise UsageError(
                f"{text[:120]!r} is nothing to hold; expected SITE/TASK, SITE/TASK@v3 (an adapter), data/SITE/TASK/v3 "
                "(a dataset version) or speaker:NAME"
            )
        return cls(Slot.parse(text))

    def __str__(self) -> str:
        if self.speaker:
            return SPEAKER + self.speaker
        if self.dataset is not None:
            return f"data/{self.slot}/v{self.dataset}"
        return f"{self.slot}" if self.version is None else f"{self.slot}@v{self.version}"

    def covers_adapter(self, slot: str, version: int | None) -> bool:
        """Return whether an adapter version (None: any version of the slot) is held."""
        if self.slot is None or str(self.slot) != slot or self.dataset is not None:
            return False
        return None in (version, self.version) or self.version == version

    def covers_dataset(self, tag: str) -> bool:
        """Return whether the dataset version of this tag is held, by itself or with its whole slot."""
        if self.slot is None or self.version is not None:
            return False
        return str(self) == tag if self.dataset is not None else tag.startswith(f"data/{self.slot}/v")


@dataclass(frozen=True)
class Hold:
    """A hold in force."""

    number: int
    """Number of its ledger entry."""
    subject: str
    """`HeldSubject` as text."""
    until: str
    """UTC, ISO 8601."""
    by: str
    at: str
    """When it was made: UTC, ISO 8601."""
    reason: str

    @property
    def held(self) -> HeldSubject:
        """Return what it holds."""
        return HeldSubject.parse(self.subject)

    @property
    def summary(self) -> str:
        """Return for people: number, holder, until when, why."""
        return f"hold {self.number} by {self.by} until {self.until[:10]}: {self.reason}"


def speaker_digest(name: str) -> str:
    """Return the digest by which the ledger names a speaker, equal for every spelling of the name."""
    return "sha256:" + hashlib.sha256(f"{SPEAKER}{normal_name(name)}".encode()).hexdigest()


def holds_in_force(entries: Iterable[LedgerEntry], now: datetime | None = None) -> list[Hold]:
    """Return the holds that have not ended, oldest first, from ledger entries in their order."""
    now, found = now or datetime.now(UTC), dict[int, Hold]()
    for entry in entries:
        if entry.event == "held":
            subject, until = str(entry.detail["subject"]), str(entry.detail["until"])
            found[entry.seq] = Hold(entry.seq, subject, until, entry.principal.name, entry.at, entry.reason)
        elif entry.event == "hold ended":
            found.pop(int(entry.detail["hold"]), None)
    return [hold for hold in found.values() if moment(hold.until, "until") > now]

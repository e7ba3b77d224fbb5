"""What the server reports: every adapter that was ever registered, the times when it was champion, and a change."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from pipelines.registry.lineage import LearnedFrom, read_known


@dataclass(frozen=True)
class ChampionPeriod:
    """A time for which one version was its slot's champion, as the ledger says."""

    seq: int
    """Number of the ledger entry that began it."""
    slot: str
    version: int
    bundle: str
    since: str
    """UTC, ISO 8601."""
    until: str | None
    """None while it lasts."""
    event: str
    by: str
    """Name of the principal who made the change."""
    reason: str


@dataclass(frozen=True)
class RegisteredAdapter:
    """An adapter version that the ledger recorded. Nothing is verified: `elp audit --verify` does that."""

    slot: str
    version: int
    bundle: str
    registered: str
    """UTC, ISO 8601."""
    deleted: str
    """When the version or its model was deleted; empty while it exists."""
    statement: str
    """Digest of its lineage statement; empty if the server has none. The fields below are then empty, too."""
    backbone: str = ""
    fingerprint: str = ""
    dataset: str = ""
    """Tag of the dataset version."""
    revision: str = ""
    """Git commit of the dataset version."""
    clips_digest: str = ""
    """``sha256:…`` of the ids of the clips that the training used."""
    champion_periods: tuple[ChampionPeriod, ...] = ()
    """Oldest first; the server sends them separately."""
    key: str = ""
    """Training key."""
    inputs: str = ""
    """Training key of the same inputs with a fresh start."""
    learned: tuple[LearnedFrom, ...] = ()
    """The adapters that it learned from; the API leaves it out if there is none."""

    @property
    def name(self) -> str:
        """``SITE/TASK v3``."""
        return f"{self.slot} v{self.version}"

    @property
    def is_champion(self) -> bool:
        """Whether it is its slot's champion now."""
        return any(period.until is None for period in self.champion_periods)

    @property
    def status(self) -> str:
        """``champion``, ``was champion``, ``deleted`` or ``never champion``."""
        if self.is_champion:
            return "champion"
        return "deleted" if self.deleted else "was champion" if self.champion_periods else "never champion"

    def to_json(self) -> dict[str, Any]:
        """Return what the API sends: everything but the champion periods."""
        values = {name: value for name, value in vars(self).items() if name not in ("champion_periods", "learned")}
        return {**values, "learned": [vars(one) for one in self.learned]} if self.learned else values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_json` gave, here or on a server of another release, which may send other fields, too."""
        known = {f.name: values[f.name] for f in fields(cls) if f.name in values}
        learned = tuple(read_known(LearnedFrom, one, "learned") for one in known.pop("learned", ()))
        return cls(**known, learned=learned)

    def with_periods(self, periods: Iterable[ChampionPeriod]) -> Self:
        """Return the adapter with its own of these champion periods.

        A model that was deleted and made again counts its versions from 1: the bundle distinguishes them.
        """
        mine = (self.slot, self.version, self.bundle)
        own = tuple(one for one in periods if (one.slot, one.version, one.bundle) == mine)
        return replace(self, champion_periods=own)


@dataclass(frozen=True)
class ChampionChange:
    """What a champion transition did to a slot."""

    slot: str
    """``SITE/TASK``."""
    version: int | None
    """The champion now; None after a retirement."""
    previous: int | None
    """The champion before; None if there was none."""
    changed: bool
    """False if `version` was the champion already."""
    event: str
    """promoted, rolled back or retired; empty if nothing changed."""
    seq: int
    """Number of the ledger entry; 0 if nothing changed."""
    by: str
    """The principal: the login, else the name that the caller claimed."""

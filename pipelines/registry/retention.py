"""Retention of adapters: what is reachable, and what the policy removes. Pure: facts in, a decision for each out.

Reachable, and never removed: champions, former champions, challengers, what an override may bring back, what is held,
and the parents of all of these. Then the policy counts: the newest versions of each slot, and what is younger than the
grace. The server decides with the same function, whatever a client asks for.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self

from elp_core.errors import ConfigError
from pipelines.registry.signing.canonical_json import moment

POLICY_VARIABLE = "ELP_RETENTION"
"""Environment variable of the server: the policy as JSON."""
AdapterKey = tuple[str, int]
"""Slot (``SITE/TASK``) and version."""


@dataclass(frozen=True)
class RetentionPolicy:
    """`retention` in `elp.yaml`: what `elp gc` removes."""

    grace_days: float = 14.0
    """How long everything stays after the last thing that happened to it."""
    trash_days: float = 14.0
    """How long the trash keeps what was removed. `elp gc undo` brings it back until then."""
    keep_last: int = 3
    """Newest adapter versions of each slot that stay, whatever became of them."""
    shared_with: tuple[str, ...] | None = None
    """The other Git repositories (folders or addresses) that use the same DVC remote. An empty list declares that there
    is none. Without it data is removed only from a remote inside the workspace's folder."""

    runs_days: float = 90.0
    """How long Prefect keeps a run that has ended, with its tasks and its log; and MLflow a run or a logged model that
    no version is based on, such as those of a training that failed."""

    def __post_init__(self) -> None:
        least = {"grace_days": 0, "trash_days": 0, "runs_days": 1}
        faults = [
            f"retention.{name}: expected {low} to 36,500, got {getattr(self, name)}"
            for name, low in least.items()
            if not low <= getattr(self, name) <= 36_500
        ]
        if self.keep_last < 0:
            faults.append(f"retention.keep_last: expected 0 or more, got {self.keep_last}")
        if faults:
            raise ConfigError("elp.yaml", faults)

    @property
    def grace(self) -> timedelta:
        """Return `grace_days`."""
        return timedelta(days=self.grace_days)

    @property
    def runs(self) -> timedelta:
        """Return `runs_days`."""
        return timedelta(days=self.runs_days)

    @property
    def trash(self) -> timedelta:
        """Return `trash_days`."""
        return timedelta(days=self.trash_days)


@dataclass(frozen=True)
class StoredAdapter:
    """What the server knows of one registered version."""

    slot: str
    """``SITE/TASK``."""
    version: int
    bundle: str
    """``sha256:…``; empty if it is not known."""
    since: str
    """When the last thing happened to it: registered, gated, champion no more. UTC, ISO 8601."""
    run: str
    """MLflow run that trained it."""
    model: str
    """Id of the logged model; empty if it is none."""
    champion: bool = False
    former: bool = False
    """Whether it was champion before."""
    challenger: bool = False
    override: bool = False
    """Whether an override is asked for it, or brings it back when it ends."""
    hold: str = ""
    """The hold that keeps it, for people; empty if none does."""
    outcome: str = ""
    """Of the newest verdict; empty if the gate has not judged it."""
    parent: str = ""
    """Bundle that it learned from, such as the one that its training started from; empty without one."""
    dataset: str = ""
    """Tag of the dataset version; empty if it is not known."""
    bytes: int = 0
    learned: tuple[str, ...] = ()
    """Further bundles that it learned from."""

    @property
    def key(self) -> AdapterKey:
        """Return slot and version."""
        return self.slot, self.version

    def to_json(self) -> dict[str, Any]:
        """Return what the API sends; a field that an earlier release did not have is left out if it is empty."""
        return {name: value for name, value in vars(self).items() if value or name != "learned"}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_json` gave."""
        return cls(**{**values, "learned": tuple(values.get("learned", ()))})


@dataclass(frozen=True)
class KeepDecision:
    """Whether something is kept, and why."""

    keep: bool
    reason: str


@dataclass
class _Marks:
    """The progress of the marking: the first reason that keeps each version."""

    kept: dict[AdapterKey, str] = field(default_factory=dict)
    by_bundle: dict[str, list[StoredAdapter]] = field(default_factory=dict)

    def keep(self, adapter: StoredAdapter, reason: str) -> None:
        """Keep a version, and its parents up to the first one that is kept already."""
        waiting = [(adapter, reason)]
        while waiting:
            one, why = waiting.pop()
            if one.key in self.kept:
                continue
            self.kept[one.key] = why
            # their dataset versions stay with them, so that the trace of a person stays complete
            for bundle in (one.parent, *one.learned):
                parents = self.by_bundle.get(bundle, []) if bundle else []
                waiting += [(parent, f"parent of {one.slot} v{one.version}") for parent in parents]


def decide_retention(
    adapters: Iterable[StoredAdapter], policy: RetentionPolicy, now: datetime
) -> Mapping[AdapterKey, KeepDecision]:
    """Return for each version whether the policy keeps it, and the reason."""
    every = sorted(adapters, key=lambda one: (one.slot, -one.version))
    marks, place = _Marks(), defaultdict[str, int](int)
    for one in every:
        if one.bundle:
            marks.by_bundle.setdefault(one.bundle, []).append(one)
    # the strongest reason first, for every version: a parent is then named by its child only without one of its own
    for one in every:
        if reason := _root(one):
            marks.keep(one, reason)
    for one in every:
        place[one.slot] += 1
        age = now - moment(one.since, "since")
        if place[one.slot] <= policy.keep_last:
            marks.keep(one, f"among the newest {policy.keep_last} of the slot")
        elif age < policy.grace:
            left = policy.grace - age
            marks.keep(one, f"{_state(one)}, in its grace for {left.total_seconds() / 86_400:.1f} more days")
    return {
        one.key: KeepDecision(True, marks.kept[one.key])
        if one.key in marks.kept
        else KeepDecision(False, f"{_state(one)}, nothing since {one.since[:10]}")
        for one in every
    }


def learned_bundles(bundles: Iterable[str], learned: Mapping[str, Iterable[str]]) -> set[str]:
    """Return the bundles that these learned from, up to the first ones; `learned` has the parents of a bundle."""
    found, waiting = set[str](), list(bundles)
    while waiting:
        new = set(learned.get(waiting.pop(), ())) - found
        found |= new
        waiting += new
    return found


def _root(one: StoredAdapter) -> str:
    if one.champion:
        return "champion"
    if one.challenger:
        return "challenger"
    if one.former:
        return "former champion: a rollback may bring it back"
    if one.override:
        return "an override needs it"
    return one.hold


def _state(one: StoredAdapter) -> str:
    return {
        "failed": "rejected by the gate",
        "undecided": "undecided by the gate",
        "passed": "passed and superseded",
    }.get(one.outcome, "never gated")

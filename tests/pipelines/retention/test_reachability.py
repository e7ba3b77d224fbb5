"""No sequence of operations and gc removes what is reachable: adapters, their data, golden sets, what is held."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipelines.registry.holds import HeldSubject
from pipelines.registry.retention import AdapterKey, RetentionPolicy, StoredAdapter, decide_retention, learned_bundles
from pipelines.registry.slot import Slot
from pipelines.retention.data_plan import RemoteFile, decide_files, decide_versions
from pipelines.retention.named_data import TaggedData

SLOTS = (Slot("a", "asr"), Slot("b", "asr"))
POLICY = RetentionPolicy(grace_days=14, trash_days=14, keep_last=1)
DAYS = st.sampled_from([1, 10, 20])
PICK = st.integers(0, 10**6)


@dataclass
class World:
    """What is stored, as the operations of a user leave it."""

    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    adapters: dict[AdapterKey, StoredAdapter] = field(default_factory=dict)
    trashed: dict[AdapterKey, tuple[StoredAdapter, datetime]] = field(default_factory=dict)
    tagged: list[TaggedData] = field(default_factory=list)
    content: dict[str, frozenset[str]] = field(default_factory=dict)
    """Files of each dataset version and golden set, by tag."""
    remote: dict[str, RemoteFile] = field(default_factory=dict)
    trash: dict[str, tuple[RemoteFile, datetime]] = field(default_factory=dict)
    learned: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The parents of each bundle that was ever made."""
    holds: list[HeldSubject] = field(default_factory=list)
    erased: set[str] = field(default_factory=set)
    """Files that an erasure removed: nothing brings them back."""
    made: int = 0

    def number(self) -> int:
        self.made += 1
        return self.made

    def at(self) -> str:
        return self.now.isoformat(timespec="microseconds")


class Sequences(RuleBasedStateMachine):
    """Operations in any order, and a gc between any two of them."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    def _pick(self, pick: int) -> StoredAdapter:
        every = sorted(self.world.adapters)
        return self.world.adapters[every[pick % len(every)]]

    def _set(self, adapter: StoredAdapter, **over: object) -> None:
        changed = replace(adapter, since=self.world.at(), **over)
        self.world.adapters[adapter.key] = changed

    def _push(self, files: frozenset[str]) -> None:
        for md5 in files:
            # a file that the remote has is not sent again
            self.world.remote.setdefault(md5, RemoteFile(md5, 10, self.world.now))

    def _tag(self, slot: Slot, kind: str, files: frozenset[str]) -> None:
        number = 1 + sum((one.slot, one.kind) == (slot, kind) for one in self.world.tagged)
        tag = slot.tag(number, kind)
        self.world.tagged.append(TaggedData(tag, slot, kind, number, self.world.now.isoformat(), ()))
        self.world.content[tag] = files

    @rule(slot=st.sampled_from(SLOTS), drop=st.booleans())
    def deliver(self, slot: Slot, drop: bool) -> None:
        """A new version: the files before and a new one, or, after a drop, one of them less."""
        mine = [one.tag for one in self.world.tagged if (one.slot, one.kind) == (slot, "data")]
        files = self.world.content[mine[-1]] if mine else frozenset()
        files = files - {min(files)} if drop and files else files
        files |= {f"f{self.world.number():05d}"}
        self._push(files)
        self._tag(slot, "data", files)

    @precondition(lambda self: self.world.tagged)
    @rule(pick=PICK)
    def pin_golden(self, pick: int) -> None:
        one = self.world.tagged[pick % len(self.world.tagged)]
        files = frozenset({f"g{self.world.number():05d}"})
        self._push(files)
        self._tag(one.slot, "golden", files)

    @precondition(lambda self: any(one.kind == "data" for one in self.world.tagged))
    @rule(pick=PICK, grown=st.booleans())
    def train(self, pick: int, grown: bool) -> None:
        able = sorted(self.world.adapters) if grown else []
        self._train(pick, self.world.adapters[able[pick % len(able)]].bundle if able else "")

    @precondition(lambda self: self.world.trashed)
    @rule(pick=PICK)
    def train_from_the_trash(self, pick: int) -> None:
        """A training ends whose start went to the trash meanwhile, and the time of the trash is over."""
        able = sorted(self.world.trashed)
        self._train(pick, self.world.trashed[able[pick % len(able)]][0].bundle)
        self.time_passes(20)
        self.collect()

    def _train(self, pick: int, parent: str) -> None:
        """On the newest version of a slot: an older one may be gone."""
        data = [one for one in self.world.tagged if one.kind == "data"]
        slot = data[pick % len(data)].slot
        newest = [one.tag for one in data if one.slot == slot][-1]
        version = self.world.number()
        made = StoredAdapter(str(slot), version, f"sha256:{version}", self.world.at(), "", "", parent=parent)
        self.world.adapters[made.key] = replace(made, dataset=newest)
        self.world.learned[made.bundle] = (parent,) if parent else ()

    @precondition(lambda self: self.world.adapters)
    @rule(pick=PICK, outcome=st.sampled_from(["passed", "failed", "undecided"]))
    def gate(self, pick: int, outcome: str) -> None:
        one = self._pick(pick)
        passed = outcome == "passed" and not one.champion
        if passed:
            for other in [o for o in self.world.adapters.values() if o.slot == one.slot and o.challenger]:
                self.world.adapters[other.key] = replace(other, challenger=False)
        self._set(one, outcome=outcome, challenger=passed)

    @precondition(lambda self: any(one.challenger or one.former for one in self.world.adapters.values()))
    @rule(pick=PICK)
    def promote_or_roll_back(self, pick: int) -> None:
        able = sorted(key for key, one in self.world.adapters.items() if one.challenger or one.former)
        one = self.world.adapters[able[pick % len(able)]]
        for other in [o for o in self.world.adapters.values() if o.slot == one.slot and o.champion]:
            self._set(other, champion=False)
        self._set(one, champion=True, former=True, challenger=False)

    @precondition(lambda self: self.world.adapters)
    @rule(pick=PICK, what=st.sampled_from(["slot", "version", "dataset"]))
    def hold(self, pick: int, what: str) -> None:
        one = self._pick(pick)
        held = HeldSubject(Slot.parse(one.slot), version=one.version if what == "version" else None)
        if what == "dataset":
            kept = [tag for tag in self.world.content if tag.startswith("data/") and self._whole(tag)]
            held = HeldSubject.parse(kept[pick % len(kept)]) if kept else held
        if all(self._whole(tag) for tag in self.world.content if held.covers_dataset(tag)):
            self.world.holds.append(held)

    @precondition(lambda self: self.world.holds)
    @rule(pick=PICK)
    def end_hold(self, pick: int) -> None:
        self.world.holds.pop(pick % len(self.world.holds))

    @rule(days=DAYS)
    def time_passes(self, days: int) -> None:
        self.world.now += timedelta(days=days)

    @precondition(lambda self: self.world.remote or self.world.trash)
    @rule(pick=PICK)
    def erase(self, pick: int) -> None:
        """A file with recordings of a person, in the remote or in the trash; dropped before, and not held."""
        world = self.world
        newest = {(str(one.slot), one.kind): one.tag for one in world.tagged}.values()
        golden = [one.tag for one in world.tagged if one.kind == "golden"]
        needed = set[str]().union(*(world.content[tag] for tag in (*newest, *golden)))
        needed |= {md5 for tag, files in world.content.items() for md5 in files if self._held(tag)}
        able = sorted((world.remote.keys() | world.trash.keys()) - needed)
        if able:
            world.erased.add(able[pick % len(able)])
            self.collect()

    def _held(self, tag: str) -> bool:
        return any(held.covers_dataset(tag) for held in self.world.holds)

    @rule()
    def collect(self) -> None:
        """What `elp gc --yes` does."""
        world = self.world
        facts = [
            replace(one, hold="held" if any(h.covers_adapter(*one.key) for h in world.holds) else "")
            for one in world.adapters.values()
        ]
        decided = decide_retention(facts, POLICY, world.now)
        # of those that go to the trash, too: undo may bring them back
        reasons = {one.dataset: "trained" for one in facts}
        reasons |= {one.dataset: "trash" for one, _ in world.trashed.values()}
        reasons |= {tag: "held" for tag in world.content if any(h.covers_dataset(tag) for h in world.holds)}
        versions = decide_versions(world.tagged, reasons, POLICY, world.now)
        none = frozenset[str]()
        erased = frozenset(world.erased)
        plan = decide_files(world.remote, versions, world.content, none, none, erased, POLICY, world.now)
        for md5 in [md5 for md5 in world.trash if md5 in plan.kept]:
            world.remote.setdefault(md5, world.trash.pop(md5)[0])
            world.trash.pop(md5, None)
        for md5 in plan.removed:
            world.trash[md5] = (world.remote.pop(md5), world.now)
        for md5 in [md5 for md5, (_, at) in world.trash.items() if world.now - at >= POLICY.trash]:
            del world.trash[md5]
        for key, decision in decided.items():
            if not decision.keep:
                world.trashed[key] = (world.adapters.pop(key), world.now)
        over = {key for key, (_, at) in world.trashed.items() if world.now - at >= POLICY.trash}
        over -= {key for key in over if any(held.covers_adapter(*key) for held in world.holds)}
        staying = [one.bundle for key, (one, _) in world.trashed.items() if key not in over]
        needed = learned_bundles([*staying, *(one.bundle for one in world.adapters.values())], world.learned)
        for key in over:
            if world.trashed[key][0].bundle not in needed:
                del world.trashed[key]

    @precondition(lambda self: self.world.trash or self.world.trashed)
    @rule(pick=PICK, every=st.booleans())
    def undo(self, pick: int, every: bool) -> None:
        """All adapters, or one of them; always all data."""
        world = self.world
        for md5 in world.trash.keys() - world.erased:
            world.remote.setdefault(md5, world.trash.pop(md5)[0])
        keys = sorted(world.trashed)
        for key in keys if every or not keys else [keys[pick % len(keys)]]:
            world.adapters[key] = replace(world.trashed.pop(key)[0], since=world.at())

    def _whole(self, tag: str) -> bool:
        return self.world.content[tag] - self.world.erased <= self.world.remote.keys()

    @invariant()
    def what_was_erased_stays_erased(self) -> None:
        assert not self.world.erased & self.world.remote.keys()

    @invariant()
    def what_is_reachable_is_there(self) -> None:
        world = self.world
        # of a version in the trash, the bytes are still there
        bundles = {one.bundle for one in [*world.adapters.values(), *(one for one, _ in world.trashed.values())]}
        for one in world.adapters.values():
            if one.champion or one.former or one.challenger:
                assert self._whole(one.dataset), f"{one} lost {one.dataset}"
        needed = learned_bundles([one.bundle for one in world.adapters.values()], world.learned)
        assert needed <= bundles, f"{needed - bundles} are parents and are gone"
        # a champion is in the registry, and one of each slot that ever had one
        newest = {(str(one.slot), one.kind): one.tag for one in world.tagged}
        for tag in [*newest.values(), *(one.tag for one in world.tagged if one.kind == "golden")]:
            assert self._whole(tag), f"lost {tag}"
        for held in world.holds:
            for tag in world.content:
                assert not held.covers_dataset(tag) or self._whole(tag), f"{held} lost {tag}"

    @invariant()
    def what_was_trashed_was_not_reachable(self) -> None:
        for one, _ in self.world.trashed.values():
            reachable = one.champion or one.former or one.challenger
            assert not reachable, f"{one} is in the trash"


TestSequences = Sequences.TestCase
TestSequences.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

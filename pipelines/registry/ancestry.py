"""The adapters that an adapter learned from, directly and through others: the trace of a person closes over them.

A training learns from its clips, from the adapters that its tensors started from, and from those that labelled clips.
Each signed lineage names these adapters by the digests of their bundles, so the records of all adapters are a graph.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from pipelines.registry.lineage import LearnedFrom
from pipelines.registry.registered_adapter import RegisteredAdapter

TENSOR_ROLES = ("init", "average", "units")
"""Roles of the adapters that gave a training tensors; a ``teacher`` gave it labels."""
_STARTS = ("init", "average")
"""Roles of the adapters that a training started from as a whole: rows of a head that grew are no start."""


@dataclass(frozen=True)
class Ancestor:
    """An adapter that another one learned from, and the way to it."""

    adapter: RegisteredAdapter | None
    """None if the server has no record of it."""
    path: tuple[LearnedFrom, ...]
    """From the first parent down to this one."""

    @property
    def learned(self) -> LearnedFrom:
        """How its child names it."""
        return self.path[-1]

    def chain(self, slot: str, version: int) -> str:
        """Return the way from an adapter to this ancestor, such as ``v7 ← v6 ← plant-b/asr v3``."""
        return chain_text(slot, version, self.path)


def by_bundle(adapters: Iterable[RegisteredAdapter]) -> dict[str, RegisteredAdapter]:
    """Return adapters by the digest of their bundle; of two records of one bundle, the one with a statement."""
    found: dict[str, RegisteredAdapter] = {}
    for one in adapters:
        if one.bundle and (one.bundle not in found or (one.statement and not found[one.bundle].statement)):
            found[one.bundle] = one
    return found


def ancestors(
    learned: Iterable[LearnedFrom], known: Mapping[str, RegisteredAdapter], roles: Collection[str] = ()
) -> list[Ancestor]:
    """Return every adapter that was learned from, through any number of others; each once, by its shortest way.

    With `roles` only ways through these count: an adapter that is also reached by another role is still found.
    """

    def followed(parents: Iterable[LearnedFrom]) -> list[LearnedFrom]:
        return [one for one in parents if not roles or one.role in roles]

    found: dict[str, Ancestor] = {}
    waiting: list[tuple[LearnedFrom, ...]] = [(one,) for one in followed(learned)]
    # breadth first, and each bundle once: a record that names its own child must not loop
    for path in waiting:
        last = path[-1]
        if last.bundle not in found:
            adapter = known.get(last.bundle)
            if adapter and not last.version:
                # a teacher, and the champion that gave a head its rows, are named by their bundle alone
                path = (*path[:-1], replace(last, slot=adapter.slot, version=adapter.version))
            found[last.bundle] = Ancestor(adapter, path)
            waiting += [(*path, one) for one in followed(adapter.learned if adapter else ())]
    return list(found.values())


def generation(slot: str, learned: Iterable[LearnedFrom], known: Mapping[str, RegisteredAdapter]) -> int:
    """Return how many trainings of a slot are in the longest line of starts behind a training of it.

    Only adapters of the slot count: the first training of a new site has none, wherever it starts.
    """
    depth: dict[str, int] = {}

    def deep(one: LearnedFrom) -> int:
        if one.bundle not in depth:
            # a record that names its own child counts once
            depth[one.bundle] = 0
            adapter = known.get(one.bundle)
            before = [deep(parent) for parent in (adapter.learned if adapter else ()) if parent.role in _STARTS]
            own = (adapter.slot if adapter else one.slot) == slot
            depth[one.bundle] = own + max(before, default=0)
        return depth[one.bundle]

    return max((deep(one) for one in learned if one.role in _STARTS), default=0)


def chain_text(slot: str, version: int, path: Iterable[LearnedFrom]) -> str:
    """Return an adapter and those that it learned from in their order, such as ``v7 ← v6 ← plant-b/asr v3``."""
    shown, before = [f"v{version}"], slot
    for one in path:
        shown.append(f"v{one.version}" if one.slot == before and one.version else one.name)
        before = one.slot or before
    return " ← ".join(shown)

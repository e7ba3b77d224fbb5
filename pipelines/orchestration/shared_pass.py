"""One pass of training for several flow runs of one process: each waits for the others, then one trains all.

Each run has a thread, and only one of them works at a time: the one whose turn it is. A thread gives its turn away
while it waits for the pass, and when it ends. So a run needs no code that is safe for threads, and its intake and its
gate do what they do in a process of their own. A run that is taken out of the pass does not wait for its turn: all that
it still does is to report its end.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from elp_core.errors import ElpError
from pipelines.errors import ServiceError
from pipelines.local.workspace import Workspace
from pipelines.progress_text import Report
from pipelines.registry.slot import Slot
from pipelines.training.register import Registered


@dataclass(frozen=True)
class PassPart:
    """What one flow run wants trained."""

    run: str
    """Id of the flow run."""
    workspace: Workspace
    slot: Slot
    tag: str
    """Dataset version."""
    log: Callable[[str], None]
    progress: Report | None = None

    def trains_with(self, other: PassPart) -> bool:
        """Return whether both can be trained in one pass: the workspace's settings may have changed in between."""
        mine, theirs = self.workspace, other.workspace
        return (mine.root, mine.settings, mine.home) == (theirs.root, theirs.settings, theirs.home)


TrainParts = Callable[[Sequence[PassPart]], Mapping[Slot, Registered | ElpError]]
"""Train some parts in one pass; return for each slot its version, or why it has none."""


@dataclass
class SharedPass:
    """The flow runs of one process that are trained together. The leader trains; the others have joined it."""

    leader: str
    train_parts: TrainParts
    _present: set[str] = field(default_factory=set)
    """Runs that have not left."""
    _waiting: dict[str, PassPart] = field(default_factory=dict)
    _ends: dict[str, Registered | Exception] = field(default_factory=dict)
    _taken_out: dict[str, ElpError] = field(default_factory=dict)
    _turn: str = ""
    """The run that works now."""
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self._present.add(self.leader)
        self._turn = self.leader

    def expect(self, run: str) -> None:
        """Let the pass wait for a run, until it asks for its training or leaves."""
        with self._changed:
            self._present.add(run)

    @contextlib.contextmanager
    def taking_turns(self, run: str) -> Iterator[None]:
        """Wait for the turn of a run; the run has left when the block ends in any way."""
        try:
            self._take_turn(run)
            yield
        finally:
            self.leave(run)

    def leave(self, run: str) -> None:
        """Take a run out: the pass does not wait for it any more."""
        with self._changed:
            self._present.discard(run)
            self._waiting.pop(run, None)
            self._turn = "" if self._turn == run else self._turn
            self._changed.notify_all()

    def take_out(self, run: str, error: ElpError) -> None:
        """Raise an error in a run that waits for the pass, at once: it ends while the others are trained."""
        with self._changed:
            self._taken_out[run] = error
            self._changed.notify_all()

    def check(self, run: str) -> None:
        """Raise the error of a run that was taken out."""
        if error := self._taken_out.get(run):
            raise error

    def train(self, part: PassPart) -> Registered:
        """Wait until every run that is present waits here, and return what the pass made of this one.

        Raises the error of the part. A ServiceError is that of all parts, each of which may come again.
        """
        with self._changed:
            self._waiting[part.run] = part
            self._turn = ""
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._may_continue(part.run))
            # without its turn: another run works now, and this one only ends
            self.check(part.run)
            self._turn = part.run
        while part.run not in self._ends:
            self._train_alike(part)
        end = self._ends.pop(part.run)
        if isinstance(end, Exception):
            raise end
        return end

    def _take_turn(self, run: str) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._turn)
            self._turn = run

    def _may_continue(self, run: str) -> bool:
        return run in self._taken_out or (not self._turn and (run in self._ends or self._is_my_pass(run)))

    def _is_my_pass(self, run: str) -> bool:
        """Return whether all have come, and this run has to train them: the leader, which can be interrupted."""
        return self._waiting.keys() == self._present and (run == self.leader or self.leader not in self._present)

    def _train_alike(self, mine: PassPart) -> None:
        """Train everything that waits: what fits to `mine` in one pass, the rest in passes of their own."""
        parts = list(self._waiting.values())
        self._waiting.clear()
        # the leader's own pass is the first
        parts.sort(key=lambda part: part.run != mine.run)
        while parts:
            alike = [part for part in parts if part.trains_with(parts[0])]
            parts = [part for part in parts if part not in alike]
            self._ends |= self._train_pass(alike)

    def _train_pass(self, parts: Sequence[PassPart]) -> dict[str, Registered | Exception]:
        try:
            ends = self.train_parts(parts)
        except ServiceError as error:
            return dict.fromkeys((part.run for part in parts), error)
        # of any kind: the others would wait for ever
        except Exception as error:
            if len(parts) == 1:
                return {parts[0].run: error}
            for part in parts:
                part.log(f"not all slots could be trained in one pass, so each is trained alone: {error}")
            return {run: end for part in parts for run, end in self._train_pass([part]).items()}
        return {part.run: ends[part.slot] for part in parts}

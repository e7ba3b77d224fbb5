"""One look of the monitor at new clips of a slot: which scores moved, by how much, and whether that is an alarm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipelines.errors import UsageError
from pipelines.monitoring.block_scores import BlockScores, ScoredClip
from pipelines.monitoring.change_detector import DetectorState, begin_day, observe
from pipelines.monitoring.error_estimate import ErrorEstimate, estimate_error
from pipelines.monitoring.fleet_alarms import alarm_level, share_of_level, slot_e_value
from pipelines.monitoring.reference_record import FEW_BLOCKS, ReferenceRecord
from pipelines.monitoring.slot_state import RECENT, SlotState
from pipelines.monitoring.uncounted_blocks import uncounted_blocks

_SHOWN = 20
"""Blocks whose median is reported as the present value."""
_NORMAL = 1.4826
"""Median absolute deviation to standard deviation of a normal distribution."""


@dataclass(frozen=True)
class ScoreMove:
    """One score at a look."""

    name: str
    usual: float
    """Median of the reference."""
    now: float
    """Median of the last 20 blocks."""
    deviations: float
    """The difference in robust standard deviations of the reference; negative if the score fell."""
    evidence: float
    """Share of the way to an alarm, 0 to 1 and more, on a logarithmic scale."""
    alarm: bool


@dataclass(frozen=True)
class AudioLook:
    """What one look found."""

    slot: str
    number: int
    at: str
    """Moment, UTC."""
    day: str
    reference: str
    """Key of the reference."""
    version: int
    """Version of the champion that measured."""
    golden: str
    reference_blocks: int
    clips: int
    blocks: int
    """New blocks that were counted."""
    known: int
    """Blocks that an earlier look counted; in a request log, days of a session or speaker."""
    short: Mapping[str, int]
    """Clips of each block that has too few."""
    moves: tuple[ScoreMove, ...]
    """Every score, the one with most evidence first."""
    e_value: float
    """Evidence of the slot for the decision over a fleet; 1 on average at most without a change."""
    alarm_since: str
    """Moment of the look that raised the alarm; empty without an alarm."""
    estimate: ErrorEstimate
    """The champion's error on the last blocks, without references."""
    last_counted: str = ""
    """Day of the last look that counted a block; empty if none did."""

    @property
    def moved(self) -> tuple[str, ...]:
        """Return the scores that reached the alarm at this look."""
        return tuple(move.name for move in self.moves if move.alarm)

    @property
    def few_blocks(self) -> bool:
        """Return whether the reference is so small that many changes are found late."""
        return self.reference_blocks < FEW_BLOCKS


def take_look(
    record: ReferenceRecord, state: SlotState, clips: Sequence[ScoredClip], *, day: str, at: str, rate: float
) -> tuple[AudioLook, SlotState]:
    """Return what new clips say, and the state after them. `day` is the day of the look, `at` its moment.

    Blocks that were counted before do not count again. Capital begins to bet once a day.

    Raises:
        UsageError: `day` is before the day of the last look.
    """
    if day < state.day:
        raise UsageError(f"the last look was on {state.day}, got {day}; give the day of the look or a later one")
    uncounted = uncounted_blocks(clips, state.counted, record.source.block_clips)
    new, short = record.scored(uncounted.clips)
    detectors = dict(state.detectors)
    for name in record.names:
        detectors[name] = _fed(record, name, detectors[name], new, new_day=day > state.day)
    recent = {
        name: (*state.recent.get(name, ()), *(block.scores[name] for block in new))[-RECENT:] for name in record.names
    }
    moves = [_move(record, name, detectors[name], recent[name], rate) for name in record.names]
    moves.sort(key=lambda move: (-move.evidence, -abs(move.deviations), move.name))
    since = state.alarm_since or (at if any(move.alarm for move in moves) else "")
    after = replace(
        state,
        detectors=detectors,
        # without new blocks the day has not begun to bet
        day=day if new else state.day,
        counted=(*state.counted, *(sign for block in new for sign in uncounted.signs[block.block])),
        recent=recent,
        alarm_since=since,
        looks=state.looks + 1,
    )
    found = AudioLook(
        slot=record.source.slot,
        number=after.looks,
        at=at,
        day=day,
        reference=record.source.key,
        version=record.source.version,
        golden=record.source.golden,
        reference_blocks=len(record.blocks),
        clips=len(clips),
        blocks=len(new),
        known=uncounted.known,
        short=short,
        moves=tuple(moves),
        e_value=slot_e_value(detectors),
        alarm_since=since,
        estimate=estimate_error(record.blocks, record.errors, recent),
        last_counted=after.day,
    )
    return found, after


def _fed(
    record: ReferenceRecord, name: str, detector: DetectorState, blocks: Sequence[BlockScores], *, new_day: bool
) -> DetectorState:
    reference = record.score(name)
    if new_day and blocks:
        detector = begin_day(detector)
    for block in blocks:
        detector = observe(detector, reference.rank(block.scores[name], f"{block.block}\0{block.clips[0]}"))
    return detector


def _move(
    record: ReferenceRecord, name: str, detector: DetectorState, recent: Sequence[float], rate: float
) -> ScoreMove:
    usual = np.array([block.scores[name] for block in record.blocks])
    middle = float(np.median(usual))
    spread = _NORMAL * float(np.median(np.abs(usual - middle))) or float(usual.std()) or 1.0
    now = float(np.median(recent[-_SHOWN:])) if recent else middle
    scores = len(record.names)
    return ScoreMove(
        name=name,
        usual=middle,
        now=now,
        deviations=(now - middle) / spread,
        evidence=share_of_level(detector, scores, rate),
        alarm=bool(detector.evidence >= alarm_level(scores, rate)),
    )

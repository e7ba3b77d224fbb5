"""A part of a golden set that is chosen by hash: the same clips on each machine and for each version."""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import chain, zip_longest

from elp_core.data.trials import TrialList
from elp_core.types import Clip
from pipelines.datasets.dataset_version import GoldenSet
from pipelines.errors import GateRefused
from pipelines.number_text import count

_LEAST = 4
"""Clips that a trial of one speaker and a trial of two may need."""


def golden_part(golden: GoldenSet, most: int, pairs: bool) -> GoldenSet:
    """Return at most `most` clips of a golden set (0: all) in the order of their ids, and the trials between them.

    The clips are the first by their hash. For a task that is judged on `pairs`, these would share few trials or none,
    so whole trials are chosen by hash, of one speaker and of two in turn. Raises GateRefused if one kind of trial is
    missing in the part.
    """
    clips = sorted(golden.clips, key=lambda clip: clip.id)
    if 0 < most < len(clips):
        groups = [[clip.id] for clip in clips]
        if pairs:
            groups = _trials_in_turn(golden.trials) if golden.trials else _pairs_of_speakers(clips)
        chosen = _within(groups, most)
        clips = [clip for clip in clips if clip.id in chosen]
    trials = golden.trials.between({clip.id for clip in clips}) if golden.trials else None
    if pairs and not _both_kinds(clips, trials):
        raise GateRefused(
            f"{count(len(clips), 'clip')} of {golden.tag} have no trials of one speaker and of two, which a comparison "
            f"under simulated conditions needs; allow more clips ({_LEAST} or more, 0 for all): "
            "gate.robustness.clips in elp.yaml for the gate, --clips for elp sweep"
        )
    return replace(golden, clips=clips, trials=trials)


def _within(groups: Sequence[Collection[str]], most: int) -> set[str]:
    """Return the clips of the first groups; one that does not fit any more is left out as a whole."""
    chosen = set[str]()
    for group in groups:
        new = set(group) - chosen
        if len(chosen) + len(new) <= most:
            chosen |= new
        if len(chosen) == most:
            break
    return chosen


def _trials_in_turn(trials: TrialList) -> list[list[str]]:
    """Return the clips of each trial, by the trial's hash, one of one speaker and one of two in turn."""
    kinds: tuple[list[list[str]], list[list[str]]] = ([], [])
    for first, second, target in zip(trials.first, trials.second, trials.targets, strict=True):
        kinds[not target].append([first, second])
    ranked = [sorted(kind, key=lambda pair: hashlib.sha256(" ".join(pair).encode()).digest()) for kind in kinds]
    return [pair for pair in chain.from_iterable(zip_longest(*ranked)) if pair]


def _pairs_of_speakers(clips: Sequence[Clip]) -> list[list[str]]:
    """Return two clips of each speaker, then two more; clips without a second one are last.

    The second group is of another speaker than the first one, so that there is a trial of two.
    """
    by_speaker: dict[str, list[str]] = {}
    for clip in clips:
        by_speaker.setdefault(clip.speaker, []).append(clip.id)

    def ranked() -> Iterator[tuple[tuple[bool, int, str], str, list[str]]]:
        for speaker, ids in by_speaker.items():
            for place in range(0, len(ids), 2):
                group = ids[place : place + 2]
                yield (len(group) == 1, place, group[0]), speaker, group

    groups = [(speaker, group) for _, speaker, group in sorted(ranked())]
    other = next((place for place, (speaker, _) in enumerate(groups) if speaker != groups[0][0]), 0)
    groups.insert(min(1, other), groups.pop(other))
    return [group for _, group in groups]


def _both_kinds(clips: Sequence[Clip], trials: TrialList | None) -> bool:
    if trials is not None:
        return len(set(trials.targets)) == 2
    speakers = {clip.speaker for clip in clips}
    return 1 < len(speakers) < len(clips)

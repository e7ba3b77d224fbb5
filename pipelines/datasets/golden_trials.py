"""The trials of a golden set: a published list, applied to the clips that are pinned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from elp_core.data.trials import TrialList
from pipelines.datasets.dataset_version import PinnedTrials
from pipelines.datasets.shard_columns import read_columns
from pipelines.datasets.trial_files import TrialNames, write_positions
from pipelines.errors import IntakeError
from pipelines.number_text import count
from pipelines.registry.slot import Slot


@dataclass(frozen=True)
class GoldenTrials:
    """The trials of a new golden set: their record, and the text of their file."""

    record: PinnedTrials
    text: str


def apply_list(names: TrialNames, shards: Sequence[Path], copies: Mapping[str, str] | None = None) -> GoldenTrials:
    """Return the trials of a published list between the clips in `shards`, those of the new golden set.

    A list names the ends of paths: ``id10270/x/00001.wav`` is the clip ``wav/id10270/x/00001.wav``. `copies` are paths
    of further deliveries of the same clips, with their ids. Trials whose clips are not in the set, such as those in
    quarantine, are left out and counted. Raise IntakeError if a name fits several clips, a trial contradicts the
    speakers of its clips, or one kind of trial is missing.
    """
    speakers: dict[str, str] = {}
    paths: dict[str, str] = {}
    for shard in shards:
        table = read_columns(shard, ["id", "audio.path", "speaker"])
        for clip, path, speaker in zip(*(table[name].to_pylist() for name in ("id", "path", "speaker")), strict=True):
            speakers[clip], paths[path] = speaker, clip
    paths |= {path: clip for path, clip in (copies or {}).items() if clip in speakers}
    found = _clips_of(names, paths)
    kept = [(target, found[a], found[b]) for target, a, b in names.pairs if a in found and b in found]
    wrong = [(target, a, b) for target, a, b in kept if target != (speakers[a] == speakers[b])]
    if wrong:
        target, a, b = wrong[0]
        says = "one speaker" if target else "two speakers"
        raise IntakeError(
            f"{names.name}: the speakers of the clips contradict {count(len(wrong), 'trial')}; the first says {says} "
            f"of {speakers[a]} and {speakers[b]}; use the list of this corpus"
        )
    if {target for target, *_ in kept} != {True, False}:
        raise IntakeError(
            f"{names.name}: {len(kept)} of its {len(names.pairs)} trials are between the clips of the golden set; "
            "expected some of one speaker and some of two"
        )
    first, second = tuple(a for _, a, _ in kept), tuple(b for *_, b in kept)
    trials = TrialList(names.name, first, second, tuple(target for target, *_ in kept))
    return pin_trials(trials, list(speakers), len(names.pairs) - len(kept))


def judges_pairs(slot: Slot) -> bool:
    """Return whether a slot's task is judged on pairs of recordings."""
    return "speaker" in slot.task_spec.needs


def pin_trials(trials: TrialList, clips: Sequence[str], left_out: int) -> GoldenTrials:
    """Return the trials of a golden set with these `clips` (ids); `left_out` trials of the list are missing."""
    record = PinnedTrials(trials.name, trials.digest, len(trials), left_out)
    return GoldenTrials(record, write_positions(trials, clips))


def remaining_trials(trials: TrialList, before: PinnedTrials, clips: Sequence[str]) -> GoldenTrials | None:
    """Return what is left of a golden set's trials if only these `clips` (ids) stay; None if a kind is missing then."""
    kept = trials.between(set(clips))
    if len(set(kept.targets)) < 2:
        return None
    return pin_trials(kept, clips, before.left_out + len(trials) - len(kept))


def _clips_of(names: TrialNames, paths: Mapping[str, str]) -> dict[str, str]:
    """Return the id of each file that a list names and that is among `paths`."""
    files = {file for _, *pair in names.pairs for file in pair}
    depths = {file.count("/") for file in files}
    ends: dict[str, set[str]] = {}
    for path, clip in paths.items():
        parts = path.split("/")
        for depth in depths:
            ends.setdefault("/".join(parts[-depth - 1 :]), set()).add(clip)
    several = sorted(file for file in files if len(ends.get(file, ())) > 1)
    if several:
        raise IntakeError(f"{names.name}: {several[0]} is the end of several clips' paths; name more of their paths")
    return {file: next(iter(ends[file])) for file in files if file in ends}

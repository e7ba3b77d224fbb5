"""Golden sets: a slot's pinned evaluation data, made once from the first test clips and changed only on request."""

from pathlib import Path

from pipelines.datasets import file_cache
from pipelines.datasets.dataset_version import GOLDEN, SHARDS, GoldenRef
from pipelines.datasets.golden_trials import GoldenTrials, apply_list, judges_pairs, pin_trials
from pipelines.datasets.shard_totals import count_shards
from pipelines.datasets.shared_branch import on_newest_state
from pipelines.datasets.slot_change import SlotChange, require_space, slot_transaction, store_change
from pipelines.datasets.slot_shards import next_golden_ref, only_split, pinned_golden, slot_shards
from pipelines.datasets.trial_files import read_trial_list
from pipelines.datasets.versions import golden_ref, pinned_trials, version_at
from pipelines.errors import DataRefused, UsageError
from pipelines.local.workspace import Workspace
from pipelines.number_text import count
from pipelines.registry.slot import Slot


@on_newest_state
def pin_golden(workspace: Workspace, slot: Slot, source_tag: str, trials: Path | None = None) -> GoldenRef:
    """Make the test split of a dataset version the slot's golden set, as a new version of it.

    The version is named as in `version_at`. If the golden set in force holds the same clips and trials already, it is
    returned. `trials` is a file with a published list of trials, for verification; without it, the list in force stays
    if the new set holds all its clips. Raise DataRefused if that version has no test clip, UsageError if the task is
    not judged on trials, IntakeError if the list does not fit the clips.
    """
    if trials and not judges_pairs(slot):
        raise UsageError(f"{slot} is not judged on trials; leave --trials out")
    root = workspace.root
    with slot_transaction(workspace, slot) as stage:
        source = version_at(workspace, source_tag, slot)
        fetched = file_cache.fetch_folder(str(root), source.revision, slot.folder / SHARDS, workspace.cache)
        require_space(root, sum(path.stat().st_size for path in fetched))
        chosen = only_split(fetched, "test", stage / GOLDEN)
        if not chosen:
            raise DataRefused(str(slot), [f"{source.tag} has no test clip to make a golden set of"], "the golden set")
        pinned = golden_ref(workspace, "latest", slot) if pinned_golden(workspace, slot) else None
        listed = apply_list(read_trial_list(trials), chosen) if trials else _kept_trials(workspace, pinned, chosen)
        golden = next_golden_ref(
            workspace,
            slot,
            chosen,
            source.tag,
            source.deliveries,
            listed.record if listed else None,
            closed_set=source.closed_set,
            language=source.language,
            corrected=source.corrected,
        )
        same = (golden.digest, golden.words, golden.trials, golden.language)
        if pinned and (pinned.digest, pinned.words, pinned.trials, pinned.language) == same:
            return pinned
        names = {path.name for path in chosen}
        leaving = [path for path in slot_shards(workspace, slot, GOLDEN) if path.name not in names]
        subject = f"Pin the golden set of {slot} from {source.tag} (v{golden.version}, {count(golden.clips, 'clip')})"
        text = listed.text if listed else ""
        arriving = {GOLDEN: chosen}
        change = SlotChange(slot, subject, golden=golden, arriving=arriving, leaving={GOLDEN: leaving}, trials=text)
        stored = store_change(workspace, change).golden
    assert stored is not None
    return stored


def _kept_trials(workspace: Workspace, pinned: GoldenRef | None, chosen: list[Path]) -> GoldenTrials | None:
    """Return the trials of the golden set in force if all their clips are among the chosen ones, else None."""
    if pinned is None or pinned.trials is None:
        return None
    trials = pinned_trials(str(workspace.root), pinned, pinned.slot, workspace.cache)
    clips = count_shards(chosen).ids
    if trials is None or not {*trials.first, *trials.second} <= set(clips):
        return None
    return pin_trials(trials, clips, pinned.trials.left_out)

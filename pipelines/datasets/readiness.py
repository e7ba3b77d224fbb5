"""What a slot's data lacks for a training and a decision of the gate; asked at intake and when a training starts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from elp_core.types import Clip
from pipelines.number_text import count
from pipelines.registry.slot import Slot


@dataclass(frozen=True)
class SplitContent:
    """What one split holds."""

    clips: int = 0
    speakers: int = 0
    """Named ones."""
    labels: int = 0
    """Classes."""

    @classmethod
    def of(cls, clips: Iterable[Clip]) -> "SplitContent":
        """Count clips."""
        found = [*clips]
        return cls(len(found), len({one.speaker for one in found} - {""}), len({one.label for one in found} - {""}))

    @property
    def compares(self) -> bool:
        """Whether there are trials of both kinds: two clips of one speaker, and two speakers."""
        return self.clips > self.speakers > 1


def least_speakers(slot: Slot) -> int:
    """Return how many speakers each split of a slot needs: two for the impostor trials of verification."""
    return 2 if "speaker" in slot.task_spec.needs else 1


def split_contents(
    splits: Mapping[str, int], speakers: Mapping[str, int], classes: Mapping[str, Mapping[str, int]]
) -> dict[str, SplitContent]:
    """Return the content of each split from counts by split: clips, speakers, and clips by class."""
    return {
        split: SplitContent(clips, speakers.get(split, 0), len(classes.get(split, ())))
        for split, clips in splits.items()
    }


def training_needs(slot: Slot, train: SplitContent, validation: SplitContent) -> list[str]:
    """Return what training would refuse, as sentences; an empty list means that it can start."""
    needs, faults = slot.task_spec.needs, []
    if not train.clips:
        faults.append("no clip is in the training split")
    elif "speaker" in needs and train.speakers < 2:
        faults.append(f"the training split has {count(train.speakers, 'speaker')}, expected 2 or more")
    elif "label" in needs and train.labels < 2:
        faults.append(f"the number of classes in the training split is {train.labels}, expected 2 or more")
    if not validation.clips:
        faults.append("no clip is in the validation split, which decides when training has learned enough")
    elif "speaker" in needs and not validation.compares:
        faults.append(_one_kind("validation split", validation))
    return faults


def golden_needs(slot: Slot, golden: SplitContent, *, closed_set: bool) -> list[str]:
    """Return why the gate could decide nothing on a golden set, or on the test split that becomes one."""
    if not golden.clips:
        return ["no clip is in the test split, so there is no golden set to judge an adapter on"]
    if "speaker" in slot.task_spec.needs and not golden.compares:
        return [_one_kind("golden set", golden)]
    if golden.speakers == 1 and not closed_set:
        return ["the golden set has 1 speaker: the gate resamples speakers, and its verdict stays undecided"]
    return []


def _one_kind(what: str, content: SplitContent) -> str:
    return (
        f"the {what} has {count(content.clips, 'clip')} of {count(content.speakers, 'speaker')}; an equal error rate "
        "needs two clips of one speaker, and two speakers"
    )


def remedy(slot: Slot, speakers: int, nameless: int, *, by_clip: bool) -> str:
    """Return what to do about the sentences of this module.

    `speakers` are all named speakers of the slot, `nameless` its clips without one; `by_clip` is whether clips are
    divided (`split_by`).
    """
    least = least_speakers(slot)
    if by_clip or speakers + nameless >= 3 * least:
        return f"divide them again with: elp data resplit {slot} (add --golden to choose the golden set again, too)"
    more = 3 * least - speakers - nameless
    setting = f"slots: {{{slot}: {{data: {{closed_set: true, split_by: clip}}}}}}"
    return (
        f"each split needs {count(least, 'speaker')}, and no speaker is in two: add recordings of {more} or more "
        f"others; or, if the adapter will serve the same people only, set {setting} in elp.yaml and run: "
        f"elp data resplit {slot}"
    )


def needs_text(needs: Sequence[str]) -> str:
    """Return what is missing, the remedy last, as one text; empty if nothing is."""
    return f"not trainable yet: {'; '.join(needs[:-1])}.\nNext: {needs[-1]}" if needs else ""

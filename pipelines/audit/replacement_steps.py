"""The steps of an erasure for the adapters of a slot: stop and replace a champion that was trained on the subject."""

from collections.abc import Collection
from dataclasses import dataclass

from pipelines.audit.server_records import ServerRecords
from pipelines.audit.trained_on import TrainedAdapter
from pipelines.texts.english_phrases import phrase


@dataclass(frozen=True)
class Step:
    """One thing to do."""

    what: str
    commands: tuple[str, ...] = ()
    """To be typed one after the other."""


def adapter_steps(
    records: ServerRecords,
    tags: frozenset[str],
    champion: TrainedAdapter | None,
    trained: tuple[TrainedAdapter, ...],
    unknown: tuple[TrainedAdapter, ...],
) -> tuple[Step, ...]:
    """Return what to do with the adapters of a slot; `champion` is the present one if it was trained on them.

    `tags` are the versions that this workspace has.
    """
    if champion is not None:
        return _replace_champion(records, tags, champion, {one.version for one in (*trained, *unknown)})
    if doubtful := next((one for one in unknown if one.is_champion), None):
        what = phrase(
            "it is unknown whether the champion, v%(version)s, was trained on them (%(reason)s): train its successor, "
            "unless you know that it was not",
            version=doubtful.version,
            reason=doubtful.note,
        )
        return (Step(what, _successor(doubtful, tags)),)
    if trained:
        kept = ", ".join(f"v{one.version}" for one in (*trained, *unknown))
        what = phrase(
            "the champion was not trained on them: nothing to retrain; do not promote or roll back to %(kept)s",
            kept=kept,
        )
        return (Step(what),)
    return ()


def _successor(champion: TrainedAdapter, tags: frozenset[str]) -> tuple[str, ...]:
    """Return the commands that train a champion's successor; empty if its data is in another workspace."""
    slot, data = champion.slot, champion.dataset
    here = data in tags if data else any(tag.startswith(f"data/{slot}/v") for tag in tags)
    return (f"elp retrain {slot}", f"elp promote {slot}") if here else ()


def _replace_champion(
    records: ServerRecords, tags: frozenset[str], champion: TrainedAdapter, doubtful: Collection[int]
) -> tuple[Step, ...]:
    """Return how a champion that was trained on them is stopped and replaced.

    `doubtful` are the versions of its slot that were trained on them, or may have been.
    """
    slot = champion.slot
    existing = records.with_periods((adapter for adapter in records.adapters(slot) if not adapter.deleted), [slot])
    ended = [period for adapter in existing for period in adapter.champion_periods if period.until]
    before = max(ended, key=lambda period: period.seq).version if ended else None
    if before is not None and before not in doubtful:
        way, command = (
            phrase("v%(version)s, the champion before it, was not trained on them", version=before),
            "rollback",
        )
    else:
        way, command = phrase("leave the slot without a champion"), "retire"
    at_once = phrase("if v%(version)s must stop at once: %(way)s", version=champion.version, way=way)
    stop = Step(at_once, (f"elp {command} {slot} --reason erasure",))
    again = phrase(
        "v%(version)s was trained on %(clips)s of the clips: train its successor on the other clips",
        version=champion.version,
        clips=champion.clips,
    )
    if not champion.clips:
        again = phrase(
            "it learned from them through another adapter (%(chain)s): train its successor", chain=champion.chain
        )
    if champion.learned or champion.chain:
        again = phrase(
            "%(step)s. After the drops in all slots, a warm start uses no adapter that learned from dropped clips: it "
            "starts from others, or fresh. A version that train.init names is refused then: set train.init: fresh",
            step=again,
        )
    commands = _successor(champion, tags)
    if not commands:
        again = phrase("in the workspace that it was trained from: %(step)s", step=again)
    return stop, Step(again, commands)

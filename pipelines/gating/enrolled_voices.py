"""What a promotion does to enrolled voices: how many templates it invalidates, and the false rejects to expect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from elp_core.errors import CorpusError
from elp_core.tasks import Comparing
from pipelines.number_text import count, percent
from pipelines.registry.adapter_version import AdapterVersion
from pipelines.registry.client.voices import list_templates
from pipelines.registry.verdict import GateCheck
from pipelines.registry.voice_template import unrenewed

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from elp_core.types import Clip
    from pipelines.gating.scored_versions import ScoredVersion


def voice_checks(
    client: MlflowClient,
    version: AdapterVersion,
    challenger: ScoredVersion,
    champion: ScoredVersion,
    golden: Sequence[Clip],
) -> tuple[GateCheck, ...]:
    """Report the enrolled voices of a slot; nothing if it has none. The check passes always: the server counts again.

    The false rejects are those of golden clips at the challenger's threshold: each is compared with the speaker's other
    clips, embedded by the challenger (a renewed template), or by the champion (a template that is not renewed).
    """
    task, threshold = challenger.model.task, challenger.threshold
    if not isinstance(task, Comparing):
        return ()
    templates = list_templates(client.tracking_uri, version.slot)
    if not templates:
        return ()
    voices, left = len({one.voice for one in templates}), len(unrenewed(templates, version.bundle_digest))
    detail = (
        f"a promotion invalidates {left} of {count(voices, 'enrolled voice')}: their templates are of other bundles; "
        f"renew them: elp enrol migrate {version.slot} --version {version.version}"
    )
    if threshold is not None:
        new, old, head = challenger.answers, champion.answers, challenger.model.head
        renewed = false_rejects(task, head, threshold, new, new, golden)
        # embeddings of two backbones are never compared
        migrates = challenger.model.backbone.fingerprint != champion.model.backbone.fingerprint
        kept = None if migrates else false_rejects(task, head, threshold, old, new, golden)
        detail += (
            f"; expected false rejects: {_rate(renewed)} renewed, {_rate(kept)} with the templates of the champion"
        )
    return (GateCheck("enrolled voices", True, detail),)


def false_rejects(
    task: Comparing,
    head: Any,
    threshold: float,
    enrolled: Mapping[str, Any],
    tests: Mapping[str, Any],
    clips: Sequence[Clip],
) -> float | None:
    """Return the share of clips that are rejected at the threshold, each enrolled by its speaker's other clips.

    `enrolled` and `tests` are embeddings by clip id. None if no speaker has two clips, or if the embeddings of both
    cannot be compared.
    """
    by_speaker: dict[str, list[str]] = {}
    for clip in clips:
        by_speaker.setdefault(clip.speaker, []).append(clip.id)
    decided = []
    for clip in clips:
        others = [enrolled[name] for name in by_speaker[clip.speaker] if name != clip.id]
        if clip.speaker and others:
            try:
                decided.append(task.compare(head, others, tests[clip.id]).score >= threshold)
            except CorpusError:
                # another width
                return None
    return decided.count(False) / len(decided) if decided else None


def _rate(value: float | None) -> str:
    return "not known" if value is None else percent(value)

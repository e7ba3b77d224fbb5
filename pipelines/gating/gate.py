"""Judge a version against the champion on the golden set, and record the signed verdict on the version."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.chunk_map import ChunkMap
from pipelines.datasets.dataset_version import GoldenRef
from pipelines.errors import GateRefused, RegistryError
from pipelines.gating.decide import decide_verdict
from pipelines.gating.evidence import Evidence, EvidenceContext, read_evidence
from pipelines.gating.gate_case import GateCase
from pipelines.gating.report import write_evidence_folder
from pipelines.gating.verdict_record import find_recorded, publish_verdict
from pipelines.local.settings import Settings
from pipelines.number_text import count
from pipelines.progress_text import Report
from pipelines.registry.client import model_registry
from pipelines.registry.client.connection import connect
from pipelines.registry.signing.canonical_json import sha256
from pipelines.registry.signing.keys import key_folder, load_signing_keys
from pipelines.registry.slot import Slot
from pipelines.registry.verdict import GateCheck, Measured, Verdict

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from elp_core.backbones import Backbone
    from pipelines.gating.scored_versions import ScoredVersion

Log = Callable[[str], None]


@dataclass(frozen=True)
class GateOutcome:
    """A verdict, the versions that it is about, and its evidence."""

    verdict: Verdict
    evidence: Path
    """Folder with evidence.json, report.html and the plots."""
    version: int
    """The version that was judged."""
    champion: int | None
    """Version that it was compared with; None if the slot had no champion."""
    reused: bool
    """The same comparison was made before, and its verdict is returned."""
    dry_run: bool
    serving: bool = False
    """The version that was judged is the champion already."""


def gate_version(
    repository: str,
    slot: Slot,
    settings: Settings,
    version: int | None = None,
    dry_run: bool = False,
    *,
    mlflow_uri: str,
    cache: Path,
    keys: Path | None = None,
    log: Log = print,
    progress: Report | None = None,
    chunk_map: ChunkMap | None = None,
    backbone: str = "",
) -> GateOutcome:
    """Judge a version of the slot's adapter, by default the newest candidate; raises GateRefused if it is not accepted.

    A version that was judged against the same champion, golden set and policy keeps its verdict. The present champion
    keeps the verdict with which it was promoted. A version that passes becomes the challenger; promotion is another
    step. A dry run keeps the evidence in `cache` and changes nothing in the registry. `keys` is the folder of the key
    that signs the verdict; None selects ELP_KEYS, or else the present workspace's folder. `progress` is called with the
    clips that are answered. A large golden set is answered by `chunk_map`; None selects the processes of this machine
    that `compute` of the slot allows. `backbone` is the challenger's; empty selects that of the slot's settings. A
    champion on another one is judged on its own, and only if the ledger states the migration of the site.
    """
    client, keys = connect(mlflow_uri), keys or key_folder()
    if not dry_run:
        # a machine without a key is refused before minutes of judging
        load_signing_keys(keys, "verdict")
    case = _prepare(client, repository, slot, settings, version, cache, backbone)
    found = find_recorded(client, case.challenger, case.record, case.folder, keep=case.serving)
    if found is None:
        folder, evidence = _judged(client, case, log, progress, chunk_map)
        log(f"{case.challenger.name}: {evidence.verdict.outcome}; {evidence.verdict.reasons[0]}")
        if not dry_run:
            found = _publish(client, keys, case, evidence, folder)
    if found is not None:
        folder, evidence = found, read_evidence(found)
        log(f"{case.challenger.name} was already judged on exactly these inputs: {evidence.verdict.outcome}")
    return GateOutcome(
        verdict=evidence.verdict,
        evidence=folder,
        version=case.challenger.version,
        champion=case.champion.version if case.champion else None,
        reused=found is not None,
        dry_run=dry_run,
        serving=case.serving,
    )


def _judged(
    client: MlflowClient, case: GateCase, log: Log, progress: Report | None, chunk_map: ChunkMap | None
) -> tuple[Path, Evidence]:
    """Return the evidence and its folder: of a judgement that this machine made and did not record, or of a new one."""
    if (folder := case.judged_here()) is not None:
        log("this machine has already judged exactly these inputs; recording the verdict")
        return folder, read_evidence(folder)
    evidence = _judge(client, case, log, progress, chunk_map)
    folder = case.evidence_folder(sha256(evidence.to_bytes()))
    write_evidence_folder(folder, evidence)
    return folder, evidence


def _publish(client: MlflowClient, keys: Path, case: GateCase, evidence: Evidence, folder: Path) -> Path | None:
    """Record the verdict of this evidence; return the folder of the verdict that another gate recorded before.

    Two gates may have judged the same at the same time: the verdict that is recorded first counts.
    """

    def meanwhile() -> Path | None:
        present = model_registry.get(client, case.slot, case.challenger.version)
        same = present.gate_record == case.challenger.gate_record
        return None if same else find_recorded(client, present, case.record, case.folder, keep=case.serving)

    if (other := meanwhile()) is not None:
        return other
    record = replace(case.record, evidence=f"gate/{folder.name}")
    try:
        publish_verdict(client, keys, case.challenger, record, evidence, folder)
    except (GateRefused, RegistryError):
        if (other := meanwhile()) is None:
            raise
        return other
    return None


def _prepare(
    client: MlflowClient,
    repository: str,
    slot: Slot,
    settings: Settings,
    version: int | None,
    cache: Path,
    backbone: str,
) -> GateCase:
    from pipelines.datasets.versions import golden_ref

    if version is None:
        challenger = model_registry.candidate(client, slot)
    else:
        challenger = model_registry.get(client, slot, version)
    if challenger is None:
        raise RegistryError(f"{slot} has no candidate to judge; train one first: elp train {slot}")
    champion = model_registry.find_champion(client, slot)
    serving = champion is not None and champion.version == challenger.version
    against, golden = None if serving else champion, golden_ref(repository, "latest", slot)
    named = backbone or settings.backbone_of(slot)
    return GateCase(
        slot, settings.for_slot(slot), settings, named, repository, cache, challenger, against, golden, serving
    )


def _judge(
    client: MlflowClient, case: GateCase, log: Log, progress: Report | None, chunk_map: ChunkMap | None
) -> Evidence:
    """Evaluate both versions, each on its backbone, measure the challenger, and decide."""
    from elp_core.backbones import Backbone
    from pipelines.datasets.golden_trials import judges_pairs
    from pipelines.datasets.versions import load_golden
    from pipelines.gating.enrolled_voices import voice_checks
    from pipelines.gating.interference import check_interference
    from pipelines.gating.measure import measure_speed, memory_digest, overlap_checks
    from pipelines.gating.migrated_slot import backbone_check, champion_backbone
    from pipelines.gating.normalisers import common_normaliser
    from pipelines.gating.scored_versions import open_versions, score_versions
    from pipelines.gating.simulated_conditions import simulate_conditions, simulated_part

    cache, closed_set = case.cache, case.golden.closed_set
    golden = load_golden(case.repository, case.golden.tag, case.slot, cache)
    part = simulated_part(golden, case.settings.gate, judges_pairs(case.slot))
    backbone = Backbone.from_pretrained(case.backbone)
    before = memory_digest(backbone)
    systems = open_versions(client, [case.challenger], backbone, case.settings.gate, cache)
    former = champion_backbone(client, case, backbone)
    if case.champion:
        systems += open_versions(client, [case.champion], former, case.settings.gate, cache)
    for system in systems:
        log(f"evaluating {system.name} on {count(len(golden.clips), 'clip')} of {golden.tag}")
    challenger, *others = score_versions(systems, golden, case.settings, chunk_map, progress)
    champion = others[0] if others else None
    against = champion.normalisers if champion else None
    normaliser = common_normaliser(case.slot, case.golden.language.normaliser, challenger.normalisers, against)
    checks = (
        GateCheck("bundle intact", True, f"all files are as registered in {case.challenger.bundle_digest}"),
        backbone_check(backbone, former),
        *overlap_checks(
            case.repository, case.challenger, challenger.bundle, golden.clips, closed_set, cache, client.tracking_uri
        ),
        *_protocol_checks(case.golden),
    )
    if champion:
        checks += voice_checks(client, case.challenger, challenger, champion, golden.clips)
    policy = case.settings.gate
    simulated = simulate_conditions(systems, golden, part, case.settings, log, chunk_map)
    speed = measure_speed(challenger.model, golden.clips)
    interference = check_interference(client, case.challenger, backbone, policy.safety, case.repository, cache, log)
    measured = Measured(
        subject=f"{case.slot} {case.challenger.version}",
        bundle_bytes=sum(path.stat().st_size for path in challenger.bundle.iterdir()),
        parameters=challenger.model.parameter_count(),
        speed=speed,
        backbone_before=before,
        # last: each of the measurements above may have changed a tensor
        backbone_after=memory_digest(backbone),
        interference=interference,
        challenger_threshold=challenger.threshold,
        champion_threshold=champion.threshold if champion else None,
    )
    scores, before_scores = challenger.scores, champion.scores if champion else None
    verdict = decide_verdict(
        scores,
        before_scores,
        policy,
        checks,
        closed_set=closed_set,
        measured=measured,
        normaliser=normaliser,
        simulated=simulated,
    )
    return Evidence(verdict, scores, before_scores, _context(case, backbone, challenger, champion), simulated)


def _context(
    case: GateCase, backbone: Backbone, challenger: ScoredVersion, champion: ScoredVersion | None
) -> EvidenceContext:
    """Return what an evidence is about."""
    return EvidenceContext(
        slot=str(case.slot),
        challenger=f"v{case.challenger.version}",
        champion=f"v{case.champion.version}" if case.champion else "",
        challenger_bundle=case.challenger.bundle_digest,
        champion_bundle=case.champion.bundle_digest if case.champion else "",
        golden=_named_golden(case.golden),
        backbone={"id": backbone.id, "fingerprint": backbone.fingerprint},
        policy_digest=case.record.policy,
        challenger_also=challenger.also,
        champion_also=champion.also if champion else {},
    )


def _protocol_checks(golden: GoldenRef) -> tuple[GateCheck, ...]:
    """Return the published protocol and the list of trials that both systems were judged on, if there is one."""
    return (GateCheck("evaluation protocol", True, golden.evaluation),) if golden.evaluation else ()


def _named_golden(golden: GoldenRef) -> dict[str, str]:
    named = {"tag": golden.tag, "digest": golden.digest, "revision": golden.revision}
    if golden.trials:
        named["trials"] = golden.trials.digest
    return named | ({"protocol": golden.evaluation} if golden.evaluation else {})

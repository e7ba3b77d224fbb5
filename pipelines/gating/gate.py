"""Judge a version against the champion on the golden set, keep the evidence, and write the verdict on the version."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.datasets.dataset_version import GoldenRef
from pipelines.errors import RegistryError
from pipelines.gating.decide import decide
from pipelines.gating.evidence import EVIDENCE_FILE, read_evidence
from pipelines.gating.evidence_folder import write_evidence
from pipelines.gating.verdict_record import publish, recorded
from pipelines.local.settings import Settings, SlotSettings
from pipelines.registry.adapter_version import AdapterVersion, GateRecord, policy_digest
from pipelines.registry.client import bundle_models as models
from pipelines.registry.client import model_registry as registry
from pipelines.registry.signing.keys import key_folder, signing_ring
from pipelines.registry.slot import Slot
from pipelines.registry.verdict import Check, Measured, Verdict

if TYPE_CHECKING:
    from elp_core.metrics.scores import Evaluation
    from elp_core.model import ElpModel
    from elp_core.types import Clip

Log = Callable[[str], None]


@dataclass(frozen=True)
class GateOutcome:
    """A verdict and where it lies."""

    verdict: Verdict
    evidence: Path
    """Folder with evidence.json, report.html and the plots."""
    version: int
    champion: int | None
    """Version it was compared with; None where there was none."""
    reused: bool
    """The same comparison was made before; its verdict stands."""
    dry_run: bool


@dataclass(frozen=True)
class Case:
    """What is judged: two versions, one golden set, one policy."""

    slot: Slot
    settings: SlotSettings
    backbone: str
    repository: str
    cache: Path
    challenger: AdapterVersion
    champion: AdapterVersion | None
    golden: GoldenRef

    @property
    def record(self) -> GateRecord:
        """What the verdict is about; verdict and time are filled in when there is one."""
        content = asdict(
            GateRecord(
                verdict="",
                bundle=self.challenger.bundle_digest,
                golden=self.golden.tag,
                golden_digest=self.golden.digest,
                champion=self.champion.version if self.champion else None,
                champion_bundle=self.champion.bundle_digest if self.champion else "",
                policy=policy_digest(self.settings.gate),
            )
        )
        key = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
        return GateRecord(**{**content, "evidence": f"gate/v{self.challenger.version}-{key}"})

    @property
    def folder(self) -> Path:
        """Where the evidence lies on this machine."""
        return self.cache / self.slot.site / self.slot.task / self.record.evidence


def gate(
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
) -> GateOutcome:
    """Judge a version of the slot's adapter.

    A version that was judged against the same champion, golden set and policy keeps its verdict; one that is the
    champion keeps the verdict that made it so. A pass makes it the challenger; promotion is another step.

    Args:
        repository: Path or URL of the workspace's Git repository.
        slot: The slot.
        settings: Of the workspace; the slot's policy and the backbone are taken from them.
        version: Version to judge; None takes the newest candidate.
        dry_run: Judge and leave the evidence in `cache`, but change nothing in the registry.
        mlflow_uri: Address of the MLflow server.
        cache: Folder for fetched data, bundles and evidence.
        keys: Folder of the key that signs the verdict; None takes ELP_KEYS, else that of the workspace worked in.
        log: Takes one line of progress at a time.

    Raises:
        AttestationError: at once, where this machine has no key to sign a verdict with.
        GateRefused: where the server does not take the verdict, such as from a key that it does not trust.
        RegistryError: where there is nothing to judge, or a bundle is not what was registered.
        VersioningError: where the slot has no golden set, or the data cannot be fetched.
        FingerprintMismatch: where a bundle belongs to another backbone than the workspace's.
        CorpusError: where the metric cannot be computed on the golden set.
    """
    from pipelines.datasets.versions import golden_ref

    client = registry.connect(mlflow_uri)
    if not dry_run:
        signing_ring(keys or key_folder(), "verdict")
    challenger = registry.candidate(client, slot) if version is None else registry.get(client, slot, version)
    if challenger is None:
        raise RegistryError(f"{slot} has no candidate to judge; train one first: elp train {slot}")
    champion = registry.find_champion(client, slot)
    serving = champion is not None and champion.version == challenger.version
    case = Case(
        slot,
        settings.for_slot(slot),
        settings.backbone,
        repository,
        cache / "verdicts",
        challenger,
        None if serving else champion,
        golden_ref(repository, "latest", slot),
    )
    against = case.champion.version if case.champion else None
    found = recorded(client, case.challenger, case.record, case.folder, keep=serving)
    if found is not None:
        verdict = read_evidence(found).verdict
        log(f"{challenger.name} was judged on exactly this before: {verdict.outcome}")
        return GateOutcome(verdict, found, challenger.version, against, True, dry_run)
    if not (case.folder / EVIDENCE_FILE).is_file():
        _judge(client, case, cache, log)
    else:
        log("this machine has judged exactly this already; writing the verdict down")
    verdict = read_evidence(case.folder).verdict
    log(f"{challenger.name}: {verdict.outcome}; {verdict.reasons[0]}")
    if not dry_run:
        publish(client, keys or key_folder(), challenger, case.record, case.folder)
    return GateOutcome(verdict, case.folder, challenger.version, against, False, dry_run)


@dataclass(frozen=True)
class _Scored:
    """A version on the golden set."""

    model: ElpModel
    bundle: Path
    evaluation: Evaluation

    @property
    def threshold(self) -> float | None:
        """At which it decides once it serves."""
        from elp_core.bundle import deployed_threshold

        return deployed_threshold(self.model.task, self.bundle)


def _judge(client: Any, case: Case, cache: Path, log: Log) -> None:
    """Evaluate both on one backbone, measure the challenger, decide, and leave the evidence in the case's folder."""
    from elp_core.assemble import evaluate
    from elp_core.backbones import Backbone
    from elp_core.bundle import load_bundle
    from pipelines.datasets.versions import load_golden
    from pipelines.gating.measure import memory_digest
    from pipelines.gating.overlap import overlap_checks

    golden = load_golden(case.repository, case.golden.tag, case.slot, cache)
    backbone, train = Backbone.from_pretrained(case.backbone), case.settings.train
    before = memory_digest(backbone)

    def score(version: AdapterVersion) -> _Scored:
        bundle = models.download_bundle(client, version, cache)
        model = load_bundle(bundle, backbone)
        log(f"evaluating {version.name} on {len(golden.clips)} clips of {golden.tag}")
        return _Scored(model, bundle, evaluate(model, golden.clips, train.batch_seconds, train.device))

    challenger = score(case.challenger)
    champion = score(case.champion) if case.champion else None
    checks = (
        Check("bundle intact", True, f"every file is what was registered as {case.challenger.bundle_digest}"),
        Check("same backbone", True, f"both systems ran on {backbone.id}, {backbone.fingerprint}"),
        *overlap_checks(
            case.repository, case.challenger, challenger.bundle, golden.clips, case.golden.closed_set, cache
        ),
    )
    measured = _measure(client, case, challenger, champion, golden.clips, before, cache, log)
    mine, theirs = challenger.evaluation, champion.evaluation if champion else None
    before_scores = theirs.scores if theirs else None
    verdict = decide(
        mine.scores,
        before_scores,
        case.settings.gate,
        checks,
        closed_set=case.golden.closed_set,
        measured=measured,
    )
    context = _context(case, backbone.id, backbone.fingerprint, mine, theirs)
    write_evidence(case.folder, verdict, mine.scores, before_scores, context)


def _measure(
    client: Any,
    case: Case,
    challenger: _Scored,
    champion: _Scored | None,
    golden: Sequence[Clip],
    before: str,
    cache: Path,
    log: Log,
) -> Measured:
    """What the safety checks need beside the scores; `before` is the backbone's digest when it was loaded."""
    from pipelines.gating.interference import compare_neighbours
    from pipelines.gating.measure import bundle_bytes, measure_speed, memory_digest

    backbone, policy = challenger.model.backbone, case.settings.gate.safety
    speed = measure_speed(challenger.model, golden)
    neighbourhood = compare_neighbours(client, case.challenger, backbone, policy, case.repository, cache, log)
    return Measured(
        subject=f"{case.slot} {case.challenger.version}",
        bundle_bytes=bundle_bytes(challenger.bundle),
        parameters=challenger.model.parameter_count(),
        speed=speed,
        backbone_before=before,
        backbone_after=memory_digest(backbone),
        neighbourhood=neighbourhood,
        challenger_threshold=challenger.threshold,
        champion_threshold=champion.threshold if champion else None,
    )


def _context(
    case: Case, backbone: str, fingerprint: str, challenger: Evaluation, champion: Evaluation | None
) -> dict[str, Any]:
    """Names for the reader of the evidence; nothing is decided from them."""
    context: dict[str, Any] = {
        "slot": str(case.slot),
        "challenger": f"v{case.challenger.version}",
        "champion": f"v{case.champion.version}" if case.champion else "",
        "challenger_bundle": case.challenger.bundle_digest,
        "champion_bundle": case.champion.bundle_digest if case.champion else "",
        "golden": {"tag": case.golden.tag, "digest": case.golden.digest, "revision": case.golden.revision},
        "backbone": {"id": backbone, "fingerprint": fingerprint},
        "policy_digest": case.record.policy,
        "challenger_also": {name: round(value, 6) for name, value in challenger.extra.items()},
    }
    if champion:
        context["champion_also"] = {name: round(value, 6) for name, value in champion.extra.items()}
    return context

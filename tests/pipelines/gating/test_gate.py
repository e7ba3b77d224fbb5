from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from elp_core.assemble import evaluate
from elp_core.backbones import Backbone
from elp_core.errors import FingerprintMismatch
from elp_core.testing import save_tiny
from pipelines.datasets.golden_set import pin_golden
from pipelines.datasets.versions import load_split
from pipelines.errors import AttestationError, GateRefused, RegistryError
from pipelines.gating.evidence import read_evidence
from pipelines.gating.gate import GateOutcome, gate_version
from pipelines.local.settings import Settings
from pipelines.registry.adapter_version import AdapterVersion, Tags
from pipelines.registry.client import model_registry as registry
from pipelines.registry.client import server_api as guard
from pipelines.registry.client.connection import connect
from pipelines.registry.client.server_api import promote_version
from pipelines.registry.client.voices import send_template
from pipelines.registry.lineage import ids_digest
from pipelines.registry.policies import policy_digest
from pipelines.registry.signing.canonical_json import sha256
from pipelines.registry.signing.envelope import read_envelope, verify
from pipelines.registry.signing.key_folder import rotate_key
from pipelines.registry.signing.keys import key_folder, load_trusted_keys
from pipelines.registry.slot import Slot
from pipelines.registry.statements import parse_statement
from pipelines.registry.verdict_statement import VerdictStatement
from tests.support import bundles, proof
from tests.support.versions import make_champion
from tests.support.voices import sealed_template
from tests.support.workspaces import Site, own_slot

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = pytest.mark.integration

Judge = Callable[..., GateOutcome]
EASY, STRICT = {"limit": 1.5}, {"limit": 0.01}


@pytest.fixture
def client(mlflow_uri: str) -> MlflowClient:
    return connect(mlflow_uri)


@pytest.fixture
def slot(site: Site, request: pytest.FixtureRequest) -> Slot:
    """A slot of the test's own with the site's data: registries are shared between tests, slots are not."""
    case = getattr(request.node, "callspec", None)
    # each case of a test has its own, unless the case is the task
    case = f"{case.id}-" if case and "slot" not in case.params else ""
    name = (case + request.node.name.split("[")[0].removeprefix("test_").replace("_", "-"))[:36].strip("-")
    return own_slot(site, Slot(name, getattr(request, "param", "asr")))


@pytest.fixture
def judge(site: Site, slot: Slot, mlflow_uri: str, cache: Path) -> Judge:
    def call(policy: dict[str, Any], version: int | None = None, **over: Any) -> GateOutcome:
        options = {"mlflow_uri": mlflow_uri, "cache": cache, "log": lambda line: None}
        return gate_version(site.repository, slot, settings(site, slot, policy), version, **{**options, **over})

    return call


def settings(site: Site, slot: Slot, policy: dict[str, Any]) -> Settings:
    # a busy machine can take five times as long for one of the two by chance; a test of the limit sets it
    safety = {"max_slowdown": None, **policy.get("safety", {})}
    return replace(site.settings, slots={str(slot): {"gate": {"resamples": 500, **policy, "safety": safety}}})


@pytest.fixture
def add(
    client: MlflowClient, site: Site, slot: Slot, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], AdapterVersion]:
    """Registers an untrained adapter whose lineage tells what it would have heard."""
    heard = load_split(site.repository, "v1", slot, ("train", "validation"), cache, "meta")
    plain = bundles.lineage

    def lineage(*arguments: str) -> dict[str, Any]:
        made = plain(*arguments)
        made["training"]["ids"] = ids_digest([clip.id for clip in heard])
        return made

    monkeypatch.setattr(bundles, "lineage", lineage)
    return lambda key: bundles.add_bundle(client, slot, key, tmp_path, silent=True)


Add = Callable[[str], AdapterVersion]


def test_a_first_version_that_passes_becomes_challenger(
    client: MlflowClient, slot: Slot, add: Add, judge: Judge
) -> None:
    add("k1")
    done = judge(EASY)
    version = registry.get(client, slot, 1)
    assert (done.verdict.outcome, done.verdict.first_version, done.champion) == ("passed", True, None)
    assert (version.status, version.tags[Tags.VERDICT], "challenger" in version.aliases) == (
        "challenger",
        "passed",
        True,
    )
    assert version.description.startswith("Passed the gate: WER ")
    shown = {Path(f.path).name for f in client.list_artifacts(version.run_id, version.gate_record.evidence)}
    assert shown == {"evidence.json", "report.html", "report.ja.html", "bootstrap.png", "by-condition.png"}
    assert read_evidence(done.evidence).recompute() == done.verdict


def test_after_a_retirement_a_first_version_is_judged_to_count_again(
    client: MlflowClient, slot: Slot, add: Add, judge: Judge, mlflow_uri: str
) -> None:
    add("k1")
    judge(EASY)
    guard.change_champion(mlflow_uri, "promote", slot, version=1, by="ann", reason="first")
    guard.change_champion(mlflow_uri, "retire", slot, by="ann", reason="the line was closed")
    with pytest.raises(GateRefused, match="had a champion since; gate it again"):
        guard.change_champion(mlflow_uri, "promote", slot, version=1, by="ann", reason="open again")
    again = judge(EASY, 1)
    assert (again.reused, again.verdict.first_version) == (False, True)
    assert guard.change_champion(mlflow_uri, "promote", slot, version=1, by="ann", reason="open again").version == 1


def test_what_was_decided_is_signed(
    client: MlflowClient, site: Site, slot: Slot, add: Add, judge: Judge, mlflow_uri: str
) -> None:
    version = add("k1")
    done = judge(EASY)
    (row,) = guard.list_statements(mlflow_uri, model=slot.model_name, version=1, kind="verdict")
    envelope = read_envelope(row.envelope)
    statement = parse_statement(envelope.payload)
    assert verify(envelope, load_trusted_keys(key_folder()), "verdict").name == "verdict"
    assert isinstance(statement, VerdictStatement)
    assert (statement.outcome, statement.bundle, statement.against) == ("passed", version.bundle_digest, None)
    assert statement.fingerprint == Backbone.from_pretrained(site.settings.backbone).fingerprint
    assert statement.evidence.sha256 == sha256((done.evidence / "evidence.json").read_bytes())
    assert (statement.metric, statement.challenger) == (done.verdict.metric, done.verdict.challenger)


def test_a_key_that_is_replaced_while_it_judges_costs_no_verdict(
    client: MlflowClient, slot: Slot, add: Add, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    add("k1")
    replaced = []

    def evaluate_while_replacing(*arguments: Any, **named: Any) -> Any:
        replaced.extend(rotate_key(key_folder(), "verdict"))
        return evaluate(*arguments, **named)

    monkeypatch.setattr("elp_core.assemble.evaluate", evaluate_while_replacing)
    judge(EASY)
    (row,) = guard.list_statements(client.tracking_uri, model=slot.model_name, version=1, kind="verdict")
    assert read_envelope(row.envelope).keyid == replaced[1].keyid
    assert registry.get(client, slot, 1).status == "challenger"


def test_without_a_key_nothing_is_judged_but_a_dry_run(add: Add, judge: Judge, tmp_path: Path) -> None:
    add("k1")
    with pytest.raises(AttestationError, match="make keys with: elp keys new"):
        judge(EASY, keys=tmp_path / "none")
    assert judge(EASY, keys=tmp_path / "none", dry_run=True).verdict.passed


def test_a_gate_that_the_server_does_not_trust_is_told_how_to_be(add: Add, judge: Judge, tmp_path: Path) -> None:
    add("k1")
    with pytest.raises(GateRefused, match=r"is not trusted here; .*elp keys export.*elp keys add"):
        judge(EASY, keys=proof.ring(tmp_path).folder)


def test_a_verdict_is_not_made_twice_and_outlives_its_cache(
    add: Add, judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add("k1")
    first = judge(EASY)
    monkeypatch.setattr("elp_core.assemble.evaluate", lambda *_: pytest.fail("evaluated again"))
    assert judge(EASY) == replace(first, reused=True)
    elsewhere = judge(EASY, cache=tmp_path / "other")
    assert (elsewhere.reused, elsewhere.verdict) == (True, first.verdict)


def test_what_was_judged_but_not_recorded_is_recorded(
    client: MlflowClient, slot: Slot, add: Add, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    add("k1")
    with monkeypatch.context() as cut:
        cut.setattr("pipelines.gating.gate.publish_verdict", _interrupt)
        with pytest.raises(KeyboardInterrupt, match="cut off"):
            judge(EASY)
    monkeypatch.setattr("elp_core.assemble.evaluate", lambda *_: pytest.fail("evaluated again"))
    assert judge(EASY).verdict.passed
    assert registry.get(client, slot, 1).gate_record.verdict == "passed"


@pytest.mark.parametrize(
    ("at", "verdicts"),
    [
        # before the second one looks again, before its upload, and before it hands its verdict in
        pytest.param("pipelines.gating.gate.write_evidence_folder", 1, marks=pytest.mark.slow),
        ("pipelines.gating.gate.publish_verdict", 2),
        pytest.param("pipelines.registry.client.server_api.submit_statement", 1, marks=pytest.mark.slow),
    ],
    ids=["judged", "uploads", "signed"],
)
def test_two_gates_at_once_keep_their_evidence_apart(
    client: MlflowClient,
    slot: Slot,
    add: Add,
    judge: Judge,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at: str,
    verdicts: int,
) -> None:
    version, others = add("k1"), list[GateOutcome]()
    module, name = at.rsplit(".", 1)
    real = getattr(importlib.import_module(module), name)

    def while_another_gate_runs(*given: Any, **named: Any) -> Any:
        monkeypatch.setattr(at, real)
        others.append(judge(EASY, cache=tmp_path / "another machine"))
        return real(*given, **named)

    monkeypatch.setattr(at, while_another_gate_runs)
    done = judge(EASY)
    rows = list(guard.list_statements(client.tracking_uri, model=slot.model_name, version=1, kind="verdict"))
    assert (len(rows), len(others)) == (verdicts, 1)
    for row in rows:
        signed = parse_statement(read_envelope(row.envelope).payload)
        assert isinstance(signed, VerdictStatement)
        stored = Path(client.download_artifacts(version.run_id, signed.evidence.path, str(tmp_path)))
        assert sha256(stored.read_bytes()) == signed.evidence.sha256
        assert signed.evidence.sha256[:16] in signed.evidence.path
    # what each of them returns is the evidence of a verdict that the server has
    for outcome in (done, *others):
        digest = sha256((outcome.evidence / "evidence.json").read_bytes())
        assert digest in {parse_statement(read_envelope(row.envelope).payload).evidence.sha256 for row in rows}
    assert judge(EASY).reused


def test_a_dry_run_changes_nothing_in_the_registry(client: MlflowClient, slot: Slot, add: Add, judge: Judge) -> None:
    before = add("k1")
    done = judge(EASY, dry_run=True)
    after = registry.get(client, slot, 1)
    assert (done.verdict.outcome, done.dry_run, (done.evidence / "report.html").is_file()) == ("passed", True, True)
    assert (after.tags, after.aliases, after.description) == (before.tags, before.aliases, before.description)
    assert client.list_artifacts(before.run_id, "gate") == []


def test_a_version_beyond_the_limit_is_rejected(client: MlflowClient, slot: Slot, add: Add, judge: Judge) -> None:
    add("k1")
    assert judge(STRICT).verdict.outcome == "failed"
    version = registry.get(client, slot, 1)
    assert (version.status, version.tags[Tags.VERDICT], version.aliases) == ("rejected", "failed", ())


def test_the_second_version_meets_the_champion(
    client: MlflowClient, site: Site, slot: Slot, add: Add, judge: Judge, mlflow_uri: str, cache: Path
) -> None:
    add("k1")
    judge(EASY)
    limits = policy_digest(settings(site, slot, EASY).for_slot(slot).gate)
    promote_version(slot, policy=limits, mlflow_uri=mlflow_uri, by="ann", log=lambda line: None)
    assert judge(EASY, 1).reused, "the champion keeps the verdict that made it so"
    add("k2")
    second = judge(EASY)
    assert (second.version, second.champion, second.verdict.delta) == (2, 1, 0.0)
    assert second.verdict.outcome == "undecided", "sixteen clips of two speakers do not show two points"
    assert second.verdict.needed > 0
    assert registry.get(client, slot, 2).status == "candidate"
    robust = judge({**EASY, "min_slice": 1, "robustness": {"families": ["talker", "bursts"], "clips": 6}}, 2)
    evidence = read_evidence(robust.evidence)
    assert [(one.family, len(one.challenger.ids)) for one in evidence.simulated] == [("talker", 6), ("bursts", 6)]
    assert all(one.champion is not None for one in evidence.simulated)
    assert [found.name for found in robust.verdict.slices if found.name not in set(evidence.challenger.conditions)] == [
        "talker (simulated, severity 2)",
        "bursts (simulated, severity 2)",
    ]
    assert evidence.recompute() == robust.verdict


def test_another_metric_is_another_verdict_and_scores_the_champion_too(
    client: MlflowClient, site: Site, slot: Slot, add: Add, judge: Judge, mlflow_uri: str
) -> None:
    add("k1")
    assert judge(EASY).verdict.metric == "wer"
    cer = {**EASY, "metric": "cer"}
    first = judge(cer)
    assert (first.reused, first.verdict.metric, first.verdict.policy.metric) == (False, "cer", "cer")
    assert registry.get(client, slot, 1).tags[Tags.METRIC] == "cer"
    evidence = read_evidence(first.evidence)
    assert (evidence.recompute(), evidence.challenger.counted) == (first.verdict, "character")
    assert "wer" in evidence.context.challenger_also
    limits = policy_digest(settings(site, slot, cer).for_slot(slot).gate)
    promote_version(slot, policy=limits, mlflow_uri=mlflow_uri, by="ann", log=lambda line: None)
    add("k2")
    back = judge(EASY)
    assert (back.champion, back.verdict.metric, back.verdict.delta) == (1, "wer", 0.0)


def test_training_on_golden_clips_fails_the_gate(
    client: MlflowClient, add: Add, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "pipelines.gating.measure.load_split",
        lambda where, tag, slot, splits, cache, columns="all": load_split(where, tag, slot, None, cache, columns),
    )
    add("k1")
    checks = {check.name: check for check in judge(EASY).verdict.checks}
    assert not checks["no clip in training"].passed
    assert not checks["speakers"].passed


@pytest.mark.parametrize("slot", ["asv"], indirect=True)
def test_verification_is_judged_on_trials(add: Add, judge: Judge) -> None:
    add("k1")
    done = judge({"limit": 0.01})
    found = read_evidence(done.evidence)
    assert (done.verdict.metric, done.verdict.unit, done.verdict.blocks) == ("eer", "speakers", 2)
    assert len(found.challenger) == 16 * 15 / 2
    assert (done.evidence / "det.png").is_file()
    assert json.loads((done.evidence / "evidence.json").read_text())["context"]["slot"].endswith("/asv")


@pytest.mark.parametrize("slot", ["asv"], indirect=True)
def test_a_pinned_list_of_trials_decides_and_is_named(
    site: Site, slot: Slot, client: MlflowClient, add: Add, judge: Judge, mlflow_uri: str, tmp_path: Path
) -> None:
    add("k1")
    every = judge({"limit": 0.01})
    listed = tmp_path / "published.txt"
    listed.write_text(
        "1 eve-one-0.wav eve-two-0.wav\n1 fay-one-0.wav fay-two-1.wav\n0 eve-one-0.wav fay-one-0.wav\n"
        "0 fay-two-0.wav eve-two-1.wav\n0 eve-four-1.wav gone.wav\n"
    )
    ref = pin_golden(site.workspace, slot, "v1", listed)
    done = judge({"limit": 0.01})
    # the clips are the same, so only the list makes it another golden set
    assert (done.reused, ref.version) == (False, 2)
    found = read_evidence(done.evidence)
    assert len(found.challenger) == 4
    assert ref.trials is not None
    assert found.context.golden["trials"] == ref.trials.digest
    check = next(check for check in done.verdict.checks if check.name == "evaluation protocol")
    assert (check.passed, check.detail) == (True, "published.txt: 4 trials, 1 left out")
    assert all(check.name != "evaluation protocol" for check in every.verdict.checks)
    assert found.recompute() == done.verdict
    rows = guard.list_statements(mlflow_uri, model=slot.model_name, version=1, kind="verdict")
    signed = {}
    for statement in (parse_statement(read_envelope(row.envelope).payload) for row in rows):
        assert isinstance(statement, VerdictStatement)
        assert statement.details is not None
        signed[statement.golden.tag] = "evaluation protocol" in [check.name for check in statement.details.checks]
    assert signed == {slot.tag(1, "golden"): False, slot.tag(2, "golden"): True}


@pytest.mark.parametrize("slot", ["asv"], indirect=True)
def test_enrolled_voices_are_counted_and_the_policy_is_signed(
    slot: Slot, client: MlflowClient, add: Add, judge: Judge, mlflow_uri: str
) -> None:
    first = make_champion(client, add("k1"))
    add("k2")
    send_template(mlflow_uri, sealed_template(first))
    done = judge({**EASY, "voices": "wait"}, 2)
    check = next(check for check in done.verdict.checks if check.name == "enrolled voices")
    assert check.passed
    assert "invalidates 1 of 1 enrolled voice: their templates are of other bundles" in check.detail
    assert f"renew them: elp enrol migrate {slot} --version 2" in check.detail
    # both adapters are untrained and equal, so old templates are as good as renewed ones
    rates = re.search(r"false rejects: (\S+ %) renewed, (\S+ %) with the templates of the champion", check.detail)
    assert rates
    assert rates[1] == rates[2]
    (row,) = (one for one in guard.list_statements(mlflow_uri, model=slot.model_name, version=2, kind="verdict"))
    signed = parse_statement(read_envelope(row.envelope).payload)
    assert isinstance(signed, VerdictStatement)
    assert signed.voices == "wait"
    assert read_evidence(done.evidence).recompute() == done.verdict


def test_nothing_to_judge_is_said(judge: Judge) -> None:
    with pytest.raises(RegistryError, match=r"has no candidate to judge; train one first: elp train"):
        judge(EASY)


def test_a_bundle_of_another_backbone_is_refused(
    site: Site, add: Add, slot: Slot, tmp_path: Path, mlflow_uri: str, cache: Path
) -> None:
    add("k1")
    save_tiny(tmp_path / "other", "wavlm")
    other = replace(site.settings, backbone=str(tmp_path / "other"))
    with pytest.raises(FingerprintMismatch, match="the adapter belongs to a backbone with fingerprint sha256:"):
        gate_version(site.repository, slot, other, mlflow_uri=mlflow_uri, cache=cache, log=lambda line: None)


def test_the_champions_of_other_slots_answer_as_before(
    client: MlflowClient, site: Site, slot: Slot, add: Add, judge: Judge, tmp_path: Path
) -> None:
    other = own_slot(site, Slot(f"{slot.site[:30]}-next", "asv"))
    make_champion(client, bundles.add_bundle(client, other, "n1", tmp_path))
    add("k1")
    done = judge({**EASY, "safety": {"interference_slots": 1_000, "interference_clips": 3}})
    found = done.verdict.measured.interference
    mine = next(outputs for outputs in found.compared if outputs.slot == str(other))
    assert (mine.version, mine.clips, mine.unchanged, found.repeatable) == (1, 3, True, True)
    assert next(check for check in done.verdict.checks if check.name == "interference").passed
    assert str(other) in (done.evidence / "report.html").read_text()
    assert read_evidence(done.evidence).recompute() == done.verdict


def test_a_bundle_over_its_budgets_is_rejected(client: MlflowClient, slot: Slot, add: Add, judge: Judge) -> None:
    add("k1")
    done = judge({**EASY, "safety": {"max_megabytes": 1.0, "max_parameters": 10, "max_slowdown": 0.1}})
    assert (done.verdict.outcome, registry.get(client, slot, 1).status) == ("failed", "rejected")
    failed = [check.name for check in done.verdict.checks if not check.passed]
    assert failed == ["bundle size", "parameters", "slowdown"]
    assert re.match(r"check bundle size failed: \d\.\d\d MB, at most 1.00 MB", done.verdict.reasons[0])


def _interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt("cut off")

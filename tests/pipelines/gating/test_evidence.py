from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from elp_core.errors import CorpusError, OpsError
from pipelines.gating.decide import decide_verdict
from pipelines.gating.evidence import Evidence, EvidenceContext, read_evidence, same_decision
from pipelines.gating.report import write_evidence_folder
from pipelines.registry.evidence_scores import Scores, pack_scores, unpack_scores
from pipelines.registry.policies import GatePolicy
from pipelines.registry.signing.canonical_json import sha256
from pipelines.registry.verdict import GateCheck, Verdict
from tests.support.both_languages import compare_languages
from tests.support.measured import MEASURED
from tests.support.scores import classes, clips, trials

POLICY = GatePolicy(resamples=300)
GOLDENS = Path(__file__).resolve().parents[2] / "goldens" / "evidence"
CLIPS = clips(np.random.default_rng(0).binomial(5, 0.2, 80), 8, conditions=("clean", "noisy"))
TRIALS = trials(8, 4, 0.9)
CONTEXT = EvidenceContext("plant-a/asr", "v2", golden={"tag": "golden/plant-a/asr/v1"})
CLASSES = classes(120, 0.3, conditions=("clean", "noisy"))
PAIRS = [
    (CLIPS, CLIPS),
    (CLIPS, None),
    (TRIALS, TRIALS),
    (TRIALS, None),
    (CLASSES, CLASSES),
    (CLASSES, None),
    (clips([0]), None),
]
NAMES = ["clips", "first clips", "trials", "first trials", "classes", "first classes", "one clip"]
PLOTS = {"wer": {"by-condition.png"}, "eer": {"det.png"}, "error_rate": {"by-condition.png", "confusion.png"}}


def write(folder: Path, challenger: Scores = CLIPS, champion: Scores | None = CLIPS) -> tuple[Path, Verdict]:
    verdict = decide_verdict(challenger, champion, POLICY, [GateCheck("intact", True, "yes")], closed_set=True)
    return write_folder(folder, Evidence(verdict, challenger, champion, CONTEXT)), verdict


def write_folder(parent: Path, evidence: Evidence) -> Path:
    folder = parent / "evidence"
    assert write_evidence_folder(folder, evidence) == sha256((folder / "evidence.json").read_bytes())
    return folder


@pytest.mark.parametrize(("challenger", "champion"), PAIRS, ids=NAMES)
def test_the_file_alone_gives_the_verdict_again(tmp_path: Path, challenger: Scores, champion: Scores | None) -> None:
    folder, verdict = write(tmp_path, challenger, champion)
    assert read_evidence(folder).recompute() == verdict == read_evidence(folder / "evidence.json").verdict
    plots = PLOTS[verdict.metric]
    assert {p.name for p in folder.iterdir()} == {
        "evidence.json",
        "report.html",
        "report.ja.html",
        "bootstrap.png",
        *plots,
    }
    compare_languages(folder, "report.html")


@pytest.mark.parametrize(("challenger", "champion"), PAIRS, ids=NAMES)
def test_measurements_are_decided_on_again_too(tmp_path: Path, challenger: Scores, champion: Scores | None) -> None:
    facts = [GateCheck("intact", True, "yes")]
    verdict = decide_verdict(challenger, champion, POLICY, facts, closed_set=True, measured=MEASURED)
    folder = write_folder(tmp_path, Evidence(verdict, challenger, champion, CONTEXT))
    assert read_evidence(folder).recompute() == verdict == read_evidence(folder).verdict
    page = (folder / "report.html").read_text()
    assert all(check.name in page for check in verdict.checks)
    compare_languages(folder, "report.html")
    assert "max_megabytes 256.0" in page
    assert "plant-b/asr" in page


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [("measured", "bundle_bytes", 10**9), ("policy", "safety", {"max_megabytes": 1.0})],
    ids=["measurement", "limit"],
)
def test_an_altered_measurement_or_limit_changes_what_is_decided(
    tmp_path: Path, part: str, key: str, value: object
) -> None:
    verdict = decide_verdict(CLIPS, CLIPS, POLICY, measured=MEASURED)
    folder = write_folder(tmp_path, Evidence(verdict, CLIPS, CLIPS, CONTEXT))
    values = json.loads((folder / "evidence.json").read_text())
    values["verdict"][part][key] = value
    (folder / "evidence.json").write_text(json.dumps(values))
    assert read_evidence(folder).recompute().outcome == "failed" != verdict.outcome


def test_evidence_of_the_first_format_is_decided_as_it_was(tmp_path: Path) -> None:
    folder, verdict = write(tmp_path)
    values = json.loads((folder / "evidence.json").read_text())
    values["format"] = 1
    del values["verdict"]["measured"], values["verdict"]["policy"]["safety"]
    for check in values["verdict"]["checks"]:
        del check["undecided"], check["derived"]
    (folder / "evidence.json").write_text(json.dumps(values))
    assert read_evidence(folder).recompute() == read_evidence(folder).verdict == verdict


@pytest.mark.parametrize("name", ["format-2-clips", "format-2-trials"])
def test_evidence_of_release_0_1_is_decided_again_the_same(name: str) -> None:
    evidence = read_evidence(GOLDENS / f"{name}.json")
    again = evidence.recompute()
    assert same_decision(again, evidence.verdict)
    assert again.reasons != evidence.verdict.reasons, "the wording has changed since"
    found = evidence.verdict.measured.interference.compared[0]
    assert (found.with_stand_in, found.with_challenger) == ("b", "b")
    assert (again.policy.safety.interference_slots, again.policy.safety.interference_clips) == (3, 1)
    assert evidence.context.golden["tag"] == "golden/plant-a/asr/v1"


def test_two_verdicts_with_another_number_are_not_the_same_decision() -> None:
    verdict = decide_verdict(CLIPS, CLIPS, POLICY, [GateCheck("intact", True, "yes")], measured=MEASURED)
    reworded = replace(verdict, reasons=(), checks=tuple(replace(check, detail="-") for check in verdict.checks))
    assert same_decision(verdict, reworded)
    for other in (
        replace(verdict, delta=0.1),
        replace(verdict, checks=verdict.checks[1:]),
        replace(verdict, slices=tuple(replace(part, outcome="failed") for part in verdict.slices)),
        replace(verdict, checks=(replace(verdict.checks[0], passed=False), *verdict.checks[1:])),
    ):
        assert not same_decision(verdict, other)


def test_an_altered_score_changes_what_is_decided(tmp_path: Path) -> None:
    folder, verdict = write(tmp_path)
    values = json.loads((folder / "evidence.json").read_text())
    values["challenger"] = pack_scores(clips(CLIPS.errors + 1, 8, conditions=("clean", "noisy")))
    (folder / "evidence.json").write_text(json.dumps(values))
    assert read_evidence(folder).recompute().outcome == "failed" != verdict.outcome


@pytest.mark.parametrize("scores", [CLIPS, TRIALS, CLASSES], ids=["clips", "trials", "classes"])
def test_packed_scores_come_back_bit_for_bit(scores: Scores) -> None:
    packed = json.loads(json.dumps(pack_scores(scores)))
    assert pack_scores(unpack_scores(packed)) == pack_scores(scores)


def test_scores_that_were_packed_before_classes_came_are_of_words() -> None:
    packed = pack_scores(CLIPS)
    del packed["metric"]
    assert pack_scores(unpack_scores(packed)) == pack_scores(CLIPS)


def test_the_page_shows_what_was_confused(tmp_path: Path) -> None:
    folder, _ = write(tmp_path, CLASSES, CLASSES)
    page = (folder / "report.html").read_text()
    assert "error rate of the challenger v2" in page
    assert "Which classes are confused" in page
    assert "Error rate by recording condition" in page


def test_the_page_says_the_verdict_first_and_stands_alone(tmp_path: Path) -> None:
    folder, verdict = write(tmp_path)
    page = (folder / "report.html").read_text()
    body = page[page.index("<body>") :]
    assert body.index(verdict.outcome) < body.index("WER of the challenger v2") < body.index("Reasons")
    assert "said &lt;b&gt;" in page, "transcripts are text, not markup"
    assert "golden/plant-a/asr/v1" in page
    assert "Closed set" in page
    assert not [word for word in ("http://", "https://", "<script", "file:") if word in page]


def test_the_page_says_that_a_check_is_undecided(tmp_path: Path) -> None:
    silent = clips(np.zeros(400, int), 20)
    champion = clips(np.ones(400, int), 20)
    verdict = decide_verdict(silent, champion, POLICY, measured=MEASURED)
    folder = write_folder(tmp_path, Evidence(verdict, silent, champion, CONTEXT))
    page = (folder / "report.html").read_text()
    assert "A check is undecided; the adapter is not promoted." in page
    assert "elp audit plant-a/asr 2" in page


def test_evidence_cut_off_while_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("elp_core.files.os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "is not gate evidence"), ("[]", "is not gate evidence"), ('{"format": 99}', "has format 99, this program")],
)
def test_what_is_no_evidence_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "evidence.json").write_text(text)
    with pytest.raises(OpsError, match=message):
        read_evidence(tmp_path)
    with pytest.raises(OpsError, match="is not gate evidence"):
        read_evidence(tmp_path / "nothing.json")


@pytest.mark.parametrize("change", [{"errors": "x"}, {"kind": "other"}, {"ids": None}])
def test_damaged_scores_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(CorpusError, match="not packed scores"):
        unpack_scores({**pack_scores(CLIPS), **change})

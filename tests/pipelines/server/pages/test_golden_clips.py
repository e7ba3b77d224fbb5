"""The pages with golden clips: every task, filters and pages, and evidence that is not the signed one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from pipelines.errors import RegistryError
from pipelines.gating.evidence import Evidence, EvidenceContext
from pipelines.registry.evidence_scores import Scores
from pipelines.registry.policies import GatePolicy
from pipelines.registry.signing.canonical_json import sha256
from pipelines.registry.slot import Slot
from pipelines.registry.verdict_statement import EvidenceFile, VerdictStatement
from pipelines.server.pages import golden_clips
from pipelines.server.read_models import answers, gate_evidence
from pipelines.server.read_models.gate_evidence import GoldenScores, read_golden_scores
from tests.support import proof
from tests.support.html import faults, read_html
from tests.support.scores import classes, clips, trials

CLIPS = "/elp/slots/plant-a/asr/v4/clips"


def show(patch: pytest.MonkeyPatch, champion: Scores | None, challenger: Scores) -> None:
    """Let the evidence of every verdict have these scores."""
    found = GoldenScores(challenger, champion, None, None)
    patch.setattr(golden_clips, "read_golden_scores", lambda run, verdict: found)


PAIRS = {
    "words": (clips([0, 1] * 60, 3, conditions=("quiet", "")), clips([1, 0] * 60, 3, conditions=("quiet", ""))),
    "trials": (trials(4, 4, 0.3), trials(4, 4, 0.6)),
    "labels": (classes(40, 0.1), classes(40, 0.3)),
    "first": (None, clips([1] * 5)),
}


@pytest.mark.parametrize("task", PAIRS)
def test_the_page_of_each_task_is_accessible(client: FlaskClient, monkeypatch: pytest.MonkeyPatch, task: str) -> None:
    show(monkeypatch, *PAIRS[task])
    answer = client.get(CLIPS)
    assert answer.status_code == 200
    page = read_html(answer.text)
    assert faults(page) == []
    assert len(page.all("tbody")[0].all("tr")) == min(100, len(PAIRS[task][1]))


def test_differing_words_are_marked_in_words_and_not_by_colour_alone(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = replace(clips([0]), references=("one two three",), hypotheses=("one two three",))
    after = replace(before, errors=[3], hypotheses=("too three and",))
    show(monkeypatch, before, after)
    row = read_html(client.get(CLIPS).text).all("tbody")[0].all("tr")[0]
    assert "one two three" in row.all("td")[2].text
    marked = row.all("td")[4]
    assert [(e.tag, e.text) for e in marked.all("del", "ins")] == [("del", "twomissing: "), ("ins", "andadded: ")]
    assert "in place of “one”: " in marked.text
    assert "0 → 3 of 5" in row.text
    assert "+3 worse" in row.text


@pytest.mark.parametrize(("task", "players"), [("words", 100), ("trials", 200), ("labels", 40)])
def test_each_clip_has_a_player_on_a_server_with_the_recordings(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, task: str, players: int
) -> None:
    show(monkeypatch, *PAIRS[task])
    assert read_html(client.get(CLIPS).text).all("audio") == []
    monkeypatch.setenv("ELP_DATA_ROOT", str(tmp_path))
    page = read_html(client.get(CLIPS).text)
    assert len(page.all("audio")) == players
    assert page.all("audio")[0].attributes["src"].startswith("/elp/data/plant-a/asr/clips/c")
    assert faults(page) == []


def test_the_filter_is_kept_from_page_to_page(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "PAGE_ROWS", 10)
    show(monkeypatch, *PAIRS["words"])
    page = read_html(client.get(f"{CLIPS}?condition=quiet&speaker=s1&clip=5").text)
    links = [a.attributes["href"] for a in page.all("nav")[-1].all("a")]
    assert links == ["?condition=quiet&speaker=s1#clips", "?condition=quiet&speaker=s1&clip=15#clips"]
    text = page.all("main")[0].text
    assert "20 clips" in text
    chosen = [o.text for o in page.all("option") if "selected" in o.attributes]
    assert chosen == ["quiet", "s1"]


@pytest.mark.parametrize("query", ["clip=-1", "clip=x", "clip=٣", "clip=" + "9" * 50, "condition=%00", "speaker=<b>"])
def test_an_odd_filter_is_answered_with_a_page(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    show(monkeypatch, *PAIRS["words"])
    answer = client.get(f"{CLIPS}?{query}")
    assert answer.status_code == 200
    assert faults(read_html(answer.text)) == []


def test_evidence_that_cannot_be_read_is_named(client: FlaskClient) -> None:
    text = client.get(CLIPS).text
    assert "Not shown: the evidence cannot be read: " in text
    assert faults(read_html(text)) == []


@pytest.mark.parametrize("version", ["v99", "v0"])
def test_a_version_that_is_not_there_has_no_clips(client: FlaskClient, version: str) -> None:
    assert client.get(f"/elp/slots/plant-a/asr/{version}/clips").status_code == 404
    assert client.get("/elp/slots/nowhere/asr/v1/clips").status_code == 404


class _Store:
    """An artifact store with one file."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def download_artifacts(self, path: str, folder: str) -> str:
        place = Path(folder) / "evidence.json"
        place.write_bytes(self.content)
        return str(place)


def _signed(patch: pytest.MonkeyPatch, content: bytes, stored: bytes | None = None) -> VerdictStatement:
    patch.setattr(gate_evidence, "run_location", lambda run: "mlflow-artifacts:/1/r/artifacts")
    patch.setattr(gate_evidence, "served_artifacts", lambda: _Store(content if stored is None else stored))
    return proof.verdict(slot=str(Slot("a", "asr")), evidence=EvidenceFile("gate/v3/evidence.json", sha256(content)))


def _evidence(challenger: Scores, champion: Scores | None) -> bytes:
    from pipelines.gating.decide import decide_verdict

    verdict = decide_verdict(challenger, champion, GatePolicy(resamples=100))
    return Evidence(verdict, challenger, champion, EvidenceContext()).to_bytes()


def test_the_signed_scores_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    content = _evidence(clips([1, 0]), clips([0, 0]))
    found = read_golden_scores("r", _signed(monkeypatch, content))
    assert found.champion is not None
    assert (found.challenger.ids, found.champion.ids) == (("c0", "c1"),) * 2
    assert (found.challenger_threshold, found.champion_threshold) == (None, None)


@pytest.mark.parametrize(
    ("content", "stored", "why"),
    [
        (b"{}", b'{"challenger": 1}', "not the one that was signed"),
        (b"{}", None, "cannot be read"),
        (b"[]", None, "cannot be read"),
        (b"null", None, "cannot be read"),
        (b"\xff\xfe", None, "cannot be read"),
        (b'{"challenger": {"kind": "clips"}}', None, "cannot be read: these are not packed scores"),
        (b'{"challenger": 5, "verdict": 7}', None, "cannot be read"),
    ],
)
def test_damaged_evidence_is_refused(
    monkeypatch: pytest.MonkeyPatch, content: bytes, stored: bytes | None, why: str
) -> None:
    with pytest.raises(RegistryError, match=why):
        read_golden_scores("r", _signed(monkeypatch, content, stored))

"""A champion on a backbone whose licence forbids commercial use: by tags, by routes, by other statements."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipelines.registry.signing.envelope import sign
from pipelines.registry.signing.key_folder import ensure_keys
from pipelines.registry.statements import LineageStatement, Material
from tests.support.contest import CHAMPION, PASSED, Contest
from tests.support.versions_by_hand import API, ELP, Made, gate, lineage_of, posted, register, state

FORBIDDEN = {"licence": "CC-BY-NC-4.0", "commercial": "forbidden", "source": "hub x/y", "pretraining": "speech (1 h)"}
SENTENCE = "its backbone models/speech is under CC-BY-NC-4.0, which forbids commercial use"


def _lineage(made: Made, **origin: str) -> LineageStatement:
    """The lineage of a version, on a backbone of this origin."""
    plain = lineage_of(made)
    backbone = Material("backbone", plain.material("backbone").digest, uri="models/speech", annotations=origin)
    others = (one for one in plain.materials if one.name != "backbone")
    return replace(plain, materials=(*others, backbone))


def test_no_tag_no_route_and_no_other_statement_lifts_a_licence(own_contest: Contest, tmp_path: Path) -> None:
    contest = own_contest
    made = register(contest.rest, contest.model, "non-commercial", lineage=None)
    signed = _lineage(made, **FORBIDDEN)
    state(contest.rest, made, signed.payload, contest.keys, "lineage")
    gate(contest.rest, made, "passed", contest.made[CHAMPION], contest.keys)
    contest.before = {}
    contest.begin()
    contest.refused(contest.ask("promote", version=made.version), SENTENCE, "--override --reason TEXT")
    contest.refused(contest.ask("rollback", version=made.version), SENTENCE)
    contest.refused(contest.alias(made.version), SENTENCE)
    version = {"name": contest.model, "version": str(made.version)}
    for key, value in (("elp.backbone", "elp:tiny"), ("elp.licence", "MIT"), ("elp.status", "champion")):
        # whether the tag is taken or not
        contest.rest("POST", f"{API}/model-versions/set-tag", {**version, "key": key, "value": value})
        contest.refused(contest.alias(made.version), SENTENCE)
        contest.rest("DELETE", f"{API}/model-versions/delete-tag", {**version, "key": key})
    free = _lineage(made, licence="MIT", commercial="allowed", source="hub x/y", pretraining="speech (1 h)")
    mine = sign(free.payload, ensure_keys(tmp_path), "lineage")
    contest.refused(contest.rest("POST", f"{ELP}/statements", posted(made, mine.text)), "is not trusted here")
    contest.refused(contest.alias(made.version), SENTENCE)
    assert contest.champion() == CHAMPION
    assert not contest.changed()
    # the others of the slot are as free as before
    assert contest.ask("promote", version=PASSED).status == 200

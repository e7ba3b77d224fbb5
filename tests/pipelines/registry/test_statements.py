from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from pipelines.errors import AttestationError
from pipelines.registry.in_toto import STATEMENT
from pipelines.registry.signing.canonical_json import canonical_json
from pipelines.registry.statements import (
    LINEAGE,
    LineageStatement,
    Material,
    Statement,
    parse_statement,
)
from pipelines.registry.verdict_statement import VERDICT, VERDICT_WITH_PAGE, EvidenceFile, VerdictStatement
from tests.support import proof

BOTH = [proof.lineage(), proof.verdict()]
PAGE: dict[str, Any] = {"headline": "Passed", "rows": []}
FIRST = {"against": None, "first_version": True, "champion": None, "delta": None, "interval": None}


@pytest.mark.parametrize("statement", [*BOTH, proof.verdict(**FIRST), proof.verdict(interval=(None, 0.1))])
def test_a_statement_is_read_as_it_was_written(statement: Statement) -> None:
    assert parse_statement(statement.payload) == statement


def test_a_lineage_is_slsa_provenance_on_the_bundle_and_its_files() -> None:
    values = json.loads(proof.lineage().payload)
    assert (values["_type"], values["predicateType"]) == (STATEMENT, LINEAGE)
    assert values["subject"][0] == {"name": "elp.plant-a.asr", "digest": {"elpBundle": "b" * 64}}
    assert values["subject"][1] == {"name": "adapter_model.safetensors", "digest": {"sha256": "1" * 64}}
    assert values["predicate"].keys() == {"buildDefinition", "runDetails"}
    assert values["predicate"]["runDetails"]["builder"]["id"].startswith("https://")


def test_a_verdict_names_what_it_is_about() -> None:
    statement = proof.verdict()
    values = json.loads(statement.payload)
    assert (values["predicateType"], len(values["subject"])) == (VERDICT, 1)
    assert values["predicate"]["against"] == {"version": 2, "bundle": "sha256:" + "a" * 64}
    assert (statement.fingerprint, statement.kind) == (proof.FINGERPRINT, "verdict")


def test_a_lineage_tells_backbone_and_dataset() -> None:
    statement = proof.lineage()
    assert (statement.fingerprint, statement.dataset) == (proof.FINGERPRINT, "data/plant-a/asr/v1")
    with pytest.raises(AttestationError, match="names no golden"):
        statement.material("golden")


def test_every_field_of_a_verdict_is_in_its_digest() -> None:
    changes: dict[str, Any] = {
        "bundle": "sha256:" + "0" * 64,
        "version": 4,
        "outcome": "failed",
        "against": None,
        "challenger": 0.081,
        "evidence": EvidenceFile("gate/v3-abc/evidence.json", "1" * 64),
        "details": replace(proof.DETAILS, reasons=("worse",)),
    }
    digests = {proof.verdict(**{name: value}).payload for name, value in changes.items()}
    assert len(digests | {proof.verdict().payload}) == len(changes) + 1


def _of(statement: Statement) -> Any:
    return json.loads(statement.payload)


def _predicate(values: Any) -> Any:
    return values["predicate"]


WRONG_VERDICTS: list[tuple[Callable[[Any], Any], str]] = [
    (lambda v: v.update(_type="https://in-toto.io/Statement/v0.1"), "not an in-toto Statement v1"),
    (lambda v: v.update(predicateType="https://example.org/v1"), "not an in-toto Statement v1"),
    (lambda v: v.pop("predicateType"), "not an in-toto Statement v1"),
    (lambda v: v.update(subject=[]), "lacks something"),
    (lambda v: v.update(predicate=[]), "lacks something"),
    (lambda v: v["subject"].append(v["subject"][0]), "does not have"),
    (lambda v: v["subject"][0].update(uri="x"), "does not have"),
    (lambda v: v["subject"][0].update(digest={"sha256": "b" * 64}), "lacks something"),
    (lambda v: v["subject"][0]["digest"].update(elpBundle="B" * 64), "is no sha256:<64"),
    (lambda v: v["subject"][0].update(name="elp.plant-b.asr"), "the predicate is about elp.plant-a.asr"),
    (lambda v: v.update(comment="x"), "does not have"),
    (lambda v: _predicate(v).update(comment="x"), "unknown key comment"),
    (lambda v: _predicate(v).update(bundle="sha256:" + "b" * 64), "does not have"),
    (lambda v: _predicate(v).pop("policy"), "missing key policy"),
    (lambda v: _predicate(v).update(policy="none"), "is no sha256:<64"),
    (lambda v: _predicate(v).update(outcome="Passed"), "outcome is 'Passed'"),
    (lambda v: _predicate(v).update(version="3"), "version"),
    (lambda v: _predicate(v).update(version=True), "version"),
    (lambda v: _predicate(v).update(details=None), "the verdict has no details"),
    (lambda v: _predicate(v).pop("details"), "lacks something"),
    (lambda v: _predicate(v)["details"].update(comment="x"), "unknown key details.comment"),
    (lambda v: _predicate(v).update(page=None), "does not have"),
    (lambda v: _predicate(v).update(page=PAGE), "does not have"),
    (lambda v: v.update(predicateType=VERDICT_WITH_PAGE), "lacks something"),
    (lambda v: v.update(predicateType=VERDICT_WITH_PAGE, predicate={**v["predicate"], **PAGE}), "does not have"),
    (lambda v: _predicate(v).update(challenger="0.08"), "does not have"),
    (lambda v: _predicate(v).update(challenger=1), "does not have"),
    (lambda v: _predicate(v)["against"].update(bundle=""), "is no sha256:<64"),
    (lambda v: _predicate(v)["backbone"].update(fingerprint="f" * 64), "is no sha256:<64"),
    (lambda v: _predicate(v).update(decided_at="yesterday"), "is no ISO 8601 moment"),
    (lambda v: _predicate(v).update(decided_at="2026-01-01T00:00:00"), "has no offset from UTC"),
]


@pytest.mark.parametrize(("change", "sentence"), WRONG_VERDICTS)
def test_a_malformed_verdict_is_refused(change: Callable[[Any], Any], sentence: str) -> None:
    values = _of(proof.verdict())
    change(values)
    with pytest.raises(AttestationError, match=sentence):
        parse_statement(canonical_json(values))


WRONG_LINEAGES: list[tuple[Callable[[Any], Any], str]] = [
    (lambda v: v["subject"].append(v["subject"][1]), "does not have"),
    (lambda v: v["subject"][1]["digest"].update(sha256="x"), "expected hexadecimal digits"),
    (lambda v: v["subject"][1]["digest"].update(sha256=1), "lacks something"),
    (lambda v: v["subject"][1]["digest"].update(md5="0"), "does not have"),
    (lambda v: _build(v)["resolvedDependencies"].append(_build(v)["resolvedDependencies"][0]), "a material twice"),
    (lambda v: _build(v)["resolvedDependencies"].pop(1), "names no backbone"),
    (lambda v: _build(v)["resolvedDependencies"][0].update(name=""), "does not have"),
    (lambda v: _build(v)["resolvedDependencies"][0].update(mediaType="x"), "unknown key mediaType"),
    (lambda v: _build(v)["resolvedDependencies"][0]["digest"].update(gitCommit="HEAD"), "expected hexadecimal digits"),
    (
        lambda v: _build(v)["resolvedDependencies"][1].update(digest={"elpFingerprint": "f"}),
        "is no sha256:<64",
    ),
    (lambda v: _build(v).update(buildType="https://example.org/other"), "does not have"),
    (lambda v: _build(v)["externalParameters"].pop("dataset"), "lacks something"),
    (lambda v: _build(v).update(internalParameters=None), "lacks something"),
    (lambda v: v["predicate"]["runDetails"]["builder"].update(id="https://example.org"), "does not have"),
    (lambda v: v["predicate"]["runDetails"]["metadata"].update(startedOn="x"), "does not have"),
]


def _build(values: Any) -> Any:
    return values["predicate"]["buildDefinition"]


@pytest.mark.parametrize(("change", "sentence"), WRONG_LINEAGES)
def test_a_malformed_lineage_is_refused(change: Callable[[Any], Any], sentence: str) -> None:
    values = _of(proof.lineage())
    change(values)
    with pytest.raises(AttestationError, match=sentence):
        parse_statement(canonical_json(values))


@pytest.mark.parametrize("statement", BOTH, ids=["lineage", "verdict"])
def test_another_spelling_of_the_same_statement_is_refused(statement: Statement) -> None:
    values = _of(statement)
    spaced = json.dumps(values, sort_keys=True).encode()
    unsorted = json.dumps(dict(reversed(values.items())), separators=(",", ":")).encode()
    twice = statement.payload.replace(b'{"_type":', b'{"_type":"x","_type":', 1)
    for payload, sentence in ((spaced, "not canonical"), (unsorted, "not canonical"), (twice, "occurs twice")):
        with pytest.raises(AttestationError, match=sentence):
            parse_statement(payload)


@pytest.mark.parametrize("payload", [b"", b"{}", b"null", b"\xff", b"[" * 100_000, b'{"a":' * 900 + b"1" + b"}" * 900])
def test_what_is_no_statement_is_refused(payload: bytes) -> None:
    with pytest.raises(AttestationError, match=r"no JSON|an object|not an in-toto"):
        parse_statement(payload)


def _nested(depth: int) -> bytes:
    return proof.lineage().payload.replace(b'"config":{}', b'"config":' + b'{"a":' * depth + b"1" + b"}" * depth)


@pytest.mark.parametrize("depth", [20, 330])
def test_a_nested_lineage_is_read(depth: int) -> None:
    payload = _nested(depth)
    assert parse_statement(payload).payload == payload


def test_a_lineage_nested_beyond_reason_is_refused_without_a_crash() -> None:
    payload = _nested(5000)
    with pytest.raises(AttestationError, match="recursion"):
        parse_statement(payload)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_nothing_but_a_refusal_comes_of_rubbish(payload: bytes) -> None:
    with pytest.raises(AttestationError, match=r".+"):
        parse_statement(payload)


LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
ANYTHING = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


@given(place=st.sampled_from(sorted(_of(proof.verdict())["predicate"])), value=ANYTHING)
def test_a_verdict_with_anything_in_a_field_is_read_whole_or_refused(place: str, value: Any) -> None:
    values = _of(proof.verdict())
    values["predicate"][place] = value
    try:
        payload = canonical_json(values)
        found = parse_statement(payload)
    except AttestationError:
        return
    assert found.payload == payload


@given(
    config=st.dictionaries(st.text(), ANYTHING, max_size=4),
    name=st.text(min_size=1).filter(lambda name: name not in ("dataset", "backbone")),
    number=st.floats(allow_nan=False, allow_infinity=False),
)
def test_whatever_a_configuration_holds_comes_back(config: dict[str, Any], name: str, number: float) -> None:
    base = proof.lineage()
    try:
        asked = {**base.asked, "config": config}
        made = proof.lineage(asked=asked, materials=(*base.materials, Material(name, {"sha256": "0"})))
        payload = made.payload
    except AttestationError:
        reject()  # half a surrogate pair, or infinity: has no JSON
    assert parse_statement(payload) == made
    assert isinstance(made, LineageStatement)
    verdict = parse_statement(proof.verdict(challenger=number).payload)
    assert isinstance(verdict, VerdictStatement)
    assert verdict.challenger == number

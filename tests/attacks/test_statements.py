"""Proof that proves nothing: forged, unsigned, replayed, signed by the wrong key."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.registry.signing import key_folder
from pipelines.registry.signing.canonical_json import canonical_json
from pipelines.registry.signing.envelope import ENTRY_TYPE, STATEMENT_TYPE, Envelope, sign
from pipelines.registry.signing.keys import KeyRing, load_trusted_keys
from tests.support.contest import CHAMPION, FAILED, FORMER, OUTDATED, PASSED, UNGATED, Contest
from tests.support.rest import Answer
from tests.support.versions_by_hand import ELP, gate, lineage_of, posted, verdict_on


def _passed(contest: Contest, version: int = UNGATED, **changes: Any) -> bytes:
    return replace(verdict_on(contest.made[version], "passed", contest.made[CHAMPION]), **changes).payload


def _post(contest: Contest, envelope: str | dict[str, Any], version: int = UNGATED) -> Answer:
    values = envelope if isinstance(envelope, dict) else json.loads(envelope)
    body = {"model": contest.model, "version": version, "envelope": values}
    return contest.rest("POST", f"{ELP}/statements", body)


def _useless(contest: Contest, answer: Answer, version: int = UNGATED) -> None:
    """Not taken, and the version is as far from the alias as before."""
    assert 400 <= answer.status < 500, f"{answer.status} {answer.text[:300]}"
    contest.refused(contest.alias(version))


def test_unsigned(contest: Contest) -> None:
    payload = base64.b64encode(_passed(contest)).decode()
    _useless(contest, _post(contest, {"payload": payload, "payloadType": STATEMENT_TYPE, "signatures": []}))


def test_signed_by_a_key_that_nobody_trusts(contest: Contest, tmp_path: Path) -> None:
    _useless(contest, _post(contest, sign(_passed(contest), key_folder.ensure_keys(tmp_path), "verdict").text))


def test_signed_by_another_key_under_a_trusted_name(contest: Contest, tmp_path: Path) -> None:
    mine = sign(_passed(contest), key_folder.ensure_keys(tmp_path), "verdict")
    trusted = contest.keys.active("verdict")[-1].keyid
    _useless(contest, _post(contest, replace(mine, keyid=trusted).text))


@pytest.mark.parametrize("role", ["lineage", "ledger"])
def test_a_verdict_signed_by_a_key_of_another_role(contest: Contest, role: Any) -> None:
    signed = sign(_passed(contest), contest.keys, role)
    _useless(contest, _post(contest, signed.text))
    _useless(contest, _post(contest, replace(signed, payload_type=STATEMENT_TYPE).text))


def test_an_entry_of_the_ledger_passed_off_as_a_statement(contest: Contest) -> None:
    signed = sign(_passed(contest), contest.keys, "ledger")
    assert signed.payload_type == ENTRY_TYPE
    _useless(contest, _post(contest, signed.text))


def _another_signature(envelope: Envelope, contest: Contest) -> dict[str, Any]:
    values = json.loads(envelope.text)
    values["signatures"] += json.loads(sign(envelope.payload, contest.keys, "lineage").text)["signatures"]
    return values


ALTERED: dict[str, Callable[[Envelope, Contest], str | dict[str, Any]]] = {
    "outcome": lambda e, c: replace(e, payload=e.payload.replace(b'"failed"', b'"passed"')).text,
    "a space": lambda e, c: replace(e, payload=e.payload.replace(b":", b": ", 1)).text,
    "payload type": lambda e, c: replace(e, payload_type="application/json").text,
    "signature cut": lambda e, c: replace(e, signature=e.signature[:-1]).text,
    "signature of zeros": lambda e, c: replace(e, signature=bytes(64)).text,
    "two signatures": _another_signature,
    "one signature twice": lambda e, c: {**json.loads(e.text), "signatures": json.loads(e.text)["signatures"] * 2},
    "a field more": lambda e, c: {**json.loads(e.text), "outcome": "passed"},
    "base64 with a line end": lambda e, c: {**json.loads(e.text), "payload": json.loads(e.text)["payload"] + "\n"},
    "no payload": lambda e, c: {key: value for key, value in json.loads(e.text).items() if key != "payload"},
}


@pytest.mark.parametrize("change", ALTERED)
def test_a_true_verdict_altered(contest: Contest, change: str) -> None:
    payload = verdict_on(contest.made[FAILED], "failed", contest.made[CHAMPION], "2026-02-02T00:00:00+00:00").payload
    altered = ALTERED[change](sign(payload, contest.keys, "verdict"), contest)
    _useless(contest, _post(contest, altered, FAILED), FAILED)


def _extra_subject(contest: Contest) -> bytes:
    values = json.loads(_passed(contest, PASSED))
    other = json.loads(_passed(contest, UNGATED))["subject"]
    return canonical_json({**values, "subject": [*other, *values["subject"]]})


def _twice(contest: Contest) -> bytes:
    return _passed(contest).replace(b'"outcome":"passed"', b'"outcome":"failed","outcome":"passed"')


SIGNED_NONSENSE: dict[str, Callable[[Contest], bytes]] = {
    "two subjects": _extra_subject,
    "no subject": lambda c: canonical_json({**json.loads(_passed(c)), "subject": []}),
    "a key twice": _twice,
    "another predicate": lambda c: _passed(c).replace(b"/verdict/v1", b"/verdict/v2"),
    "another type": lambda c: _passed(c).replace(b"Statement/v1", b"Statement/v0.1"),
    "a field more": lambda c: canonical_json(
        {**json.loads(_passed(c)), "predicate": {**json.loads(_passed(c))["predicate"], "force": True}}
    ),
    "not canonical": lambda c: json.dumps(json.loads(_passed(c)), indent=1).encode(),
    "no JSON": lambda c: b"passed",
    "nothing": lambda c: b"",
    "version as text": lambda c: _passed(c).replace(f'"version":{UNGATED}'.encode(), f'"version":"{UNGATED}"'.encode()),
    "version as a fraction": lambda c: _passed(c).replace(
        f'"version":{UNGATED}'.encode(), f'"version":{UNGATED}.0'.encode()
    ),
    "true for a version": lambda c: _passed(c).replace(f'"version":{UNGATED}'.encode(), b'"version":true'),
}


@pytest.mark.parametrize("nonsense", SIGNED_NONSENSE)
def test_signed_nonsense(contest: Contest, nonsense: str) -> None:
    payload = SIGNED_NONSENSE[nonsense](contest)
    _useless(contest, _post(contest, sign(payload, contest.keys, "verdict").text))


REPLAYED: dict[str, Callable[[Contest], dict[str, Any]]] = {
    "another version": lambda c: {"version": PASSED},
    "another bundle": lambda c: {"bundle": c.made[PASSED].bundle},
    "another slot": lambda c: {"model": "elp.elsewhere.asr", "slot": "elsewhere/asr"},
    "another slot's name only": lambda c: {"slot": "elsewhere/asr"},
    "another backbone": lambda c: {
        "backbone": replace(verdict_on(c.made[UNGATED], "passed", None).backbone, fingerprint="sha256:" + "0" * 64)
    },
    "an older champion": lambda c: {"against": verdict_on(c.made[OUTDATED], "passed", c.made[FORMER]).against},
    "no champion": lambda c: {"against": None, "first_version": True},
    "the champion's number, other bytes": lambda c: {
        "against": replace(verdict_on(c.made[PASSED], "passed", c.made[CHAMPION]).against, bundle=c.made[FORMER].bundle)
    },
    "a champion to come": lambda c: {
        "against": replace(verdict_on(c.made[PASSED], "passed", c.made[CHAMPION]).against, version=99)
    },
}


@pytest.mark.parametrize("replay", REPLAYED)
def test_a_good_signature_on_a_verdict_about_something_else(own_contest: Contest, replay: str) -> None:
    # whether it is taken as a record or not, it makes nothing champion
    contest = own_contest
    payload = _passed(contest, **REPLAYED[replay](contest))
    _post(contest, sign(payload, contest.keys, "verdict").text)
    contest.refused(contest.alias(UNGATED))
    assert contest.ask("promote", version=UNGATED).status == 403
    assert contest.champion() == CHAMPION


def test_a_true_verdict_posted_for_another_version(contest: Contest) -> None:
    signed = sign(_passed(contest, PASSED), contest.keys, "verdict")
    _useless(contest, _post(contest, signed.text, UNGATED))


def test_an_old_pass_posted_again_after_a_failure(own_contest: Contest) -> None:
    contest = own_contest
    payload = verdict_on(contest.made[PASSED], "passed", contest.made[CHAMPION]).payload
    failed = verdict_on(contest.made[PASSED], "failed", contest.made[CHAMPION], "2026-03-03T00:00:00+00:00").payload
    assert _post(contest, sign(failed, contest.keys, "verdict").text, PASSED).status == 200
    _post(contest, sign(payload, contest.keys, "verdict").text, PASSED)
    contest.refused(contest.alias(PASSED), "failed")
    again = verdict_on(contest.made[PASSED], "passed", contest.made[CHAMPION], "2026-02-02T00:00:00+00:00").payload
    contest.refused(_post(contest, sign(again, contest.keys, "verdict").text, PASSED), "newer")
    contest.refused(contest.alias(PASSED), "failed")


@pytest.mark.parametrize("end", [key_folder.retire_key, key_folder.revoke_key], ids=["retired", "revoked"])
def test_signed_by_a_key_that_has_ended(own_contest: Contest, tmp_path: Path, end: Callable[[Path, str], Any]) -> None:
    contest = own_contest
    thief = key_folder.new_key(tmp_path / "keys", f"gate-{contest.mark}", ("verdict",))
    stolen = load_trusted_keys(tmp_path / "keys")
    _trust(contest, stolen)
    end(contest.server.keys, thief.keyid)
    answer = _post(contest, sign(_passed(contest), stolen, "verdict").text)
    _useless(contest, answer)
    assert contest.champion() == CHAMPION


def test_a_verdict_recorded_before_its_key_was_revoked(own_contest: Contest, tmp_path: Path) -> None:
    contest = own_contest
    thief = key_folder.new_key(tmp_path / "keys", f"gate-{contest.mark}", ("verdict",))
    stolen = load_trusted_keys(tmp_path / "keys")
    _trust(contest, stolen)
    gate(contest.rest, contest.made[UNGATED], "passed", contest.made[CHAMPION], stolen)
    key_folder.revoke_key(contest.server.keys, thief.keyid)
    contest.refused(contest.alias(UNGATED), "revoked")
    assert contest.champion() == CHAMPION


@pytest.mark.parametrize("change", [{"bundle": "sha256:" + "0" * 64}, {"model": "elp.elsewhere.asr"}], ids=str)
def test_a_second_lineage_for_a_version(contest: Contest, change: dict[str, Any]) -> None:
    payload = replace(lineage_of(contest.made[PASSED]), **change).payload
    answer = _post(contest, sign(payload, contest.keys, "lineage").text, PASSED)
    assert 400 <= answer.status < 500, answer.text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b'{"model": 1, "version": "x", "envelope": []}',
        b"[" * 10_000,
        b"\xff\xfe",
        b'{"model": "elp.x.asr", "version": 99999999999999999999999, "envelope": {}}',
    ],
    ids=ascii,
)
def test_a_body_that_is_no_statement(contest: Contest, body: bytes) -> None:
    answer = contest.rest("POST", f"{ELP}/statements", body=body, headers={"Content-Type": "application/json"})
    assert 400 <= answer.status < 500, answer.text[:300]


def test_a_statement_of_a_hundred_megabytes(contest: Contest) -> None:
    body = b'{"model": "' + b"x" * 100_000_000 + b'"}'
    answer = contest.rest("POST", f"{ELP}/statements", body=body, headers={"Content-Type": "application/json"})
    assert answer.status in (400, 413)


def _trust(contest: Contest, ring: KeyRing) -> None:
    from pipelines.registry.signing.keys import write_keys

    key_folder.add_keys(contest.server.keys, write_keys(ring.keys), "a thief's key, trusted until it was found out")


def test_posted_in_the_name_of_a_version_that_is_not_there(contest: Contest) -> None:
    ghost = replace(contest.made[UNGATED], version=99)
    body = posted(
        ghost, sign(verdict_on(ghost, "passed", contest.made[CHAMPION]).payload, contest.keys, "verdict").text
    )
    assert 400 <= contest.rest("POST", f"{ELP}/statements", body).status < 500

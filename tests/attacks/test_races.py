"""Many at once, and death in the middle: one champion, one chain, nothing lost that was acknowledged."""

from __future__ import annotations

import http.client
import os
import posixpath
import random
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.contest import CHAMPION, FORMER, PASSED, Contest, prepare
from tests.support.database_snapshot import agree
from tests.support.guarded_server import GuardedServer, guarded_server
from tests.support.movers import STEPS, MoverProcess, Movers, mover_process
from tests.support.rest import Rest


@pytest.fixture(scope="module")
def movers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MoverProcess]:
    """One process that forks the movers on every database."""
    with mover_process(tmp_path_factory.mktemp("movers")) as running:
        yield running


@pytest.fixture
def crowd(server: GuardedServer, movers: MoverProcess) -> Movers:
    """The movers on the test's server."""
    return Movers(movers, server)


@pytest.mark.both_databases
@pytest.mark.parametrize(("count", "moves"), [(6, 4), pytest.param(10, 0, marks=pytest.mark.slow)])
def test_many_processes_on_one_slot(short_contest: Contest, crowd: Movers, count: int, moves: int) -> None:
    crowd.start(short_contest.slot, 60, count=count, moves=moves)
    # the server answers requests at the same time
    ends, answers = time.monotonic() + 60, []
    while time.monotonic() < ends and not (moves and len(answers) == 10):
        verb, version = random.choice([("rollback", 1), ("rollback", CHAMPION), ("promote", PASSED)])
        answers.append(short_contest.ask(verb, version=version))
    assert crowd.wait() == [0] * count
    said = crowd.said()
    assert {answer.status for answer in answers} <= {200, 403}
    said += [
        {**answer.json, "to": answer.json["version"], "from": answer.json["previous"]}
        for answer in answers
        if answer.status == 200
    ]
    said += [{"refused": answer.message} for answer in answers if answer.status == 403]
    assert len({entry["seq"] for entry in said if entry.get("seq")}) > 20, "too few moves to mean anything"
    agree(short_contest, said, all_answered=True)


@pytest.mark.both_databases
def test_killed_at_each_step_of_a_promotion(short_contest: Contest, crowd: Movers) -> None:
    for step in STEPS:
        crowd.start(short_contest.slot, 30, kill_at=step)
        # the transitions of the next one, two until it kills itself, are not blocked
        assert crowd.wait() == [-signal.SIGKILL], step
        assert any(entry.get("seq") for entry in crowd.said()), step
        agree(short_contest, crowd.said(), all_answered=False)
    crowd.start(short_contest.slot, 0.2, seed=1)
    assert crowd.wait() == [0]
    agree(short_contest, crowd.said(), all_answered=False)


@pytest.mark.both_databases(slow=True)
@pytest.mark.parametrize("times", [3, pytest.param(100, marks=pytest.mark.slow)])
def test_killed_at_any_moment(short_contest: Contest, crowd: Movers, times: int) -> None:
    choose, answered = random.Random(times), []
    for number in range(times):
        (pid,) = crowd.start(short_contest.slot, 30, seed=number)
        _wait_for_a_move(crowd)
        time.sleep(choose.uniform(0, 0.1))
        os.kill(pid, signal.SIGKILL)
        assert crowd.wait() == [-signal.SIGKILL]
        answered += crowd.said()
        agree(short_contest, answered, all_answered=False)


def _wait_for_a_move(crowd: Movers) -> None:
    ends = time.monotonic() + 30
    while not any(entry.get("seq") for entry in crowd.said()):
        assert time.monotonic() < ends, "no move in 30 seconds"
        time.sleep(0.01)


@pytest.mark.both_stores
def test_promoted_while_the_bytes_are_replaced_on_disk(short_contest: Contest) -> None:
    """An attacker with the store itself: the bytes are hashed again at the moment of promotion."""
    contest, path = short_contest, short_contest.made[PASSED].tensors
    content = contest.server.stored(posixpath.dirname(path))[path]
    contest.server.replace(path, content[:-1] + b"\x00")
    contest.refused(contest.alias(PASSED), f"the bytes of {contest.slot} v3 were changed: they hash to")
    assert contest.champion() == CHAMPION


@pytest.mark.both_stores(slow=True)
@pytest.mark.parametrize("name", ["adapter.py", "MLmodel"])
def test_promoted_while_the_code_is_replaced_on_disk(short_contest: Contest, name: str) -> None:
    contest = short_contest
    contest.server.replace(f"{contest.made[PASSED].folder}/{name}", b"import os  # not what was trained\n")
    contest.refused(contest.alias(PASSED), "v3 cannot serve: the artifact store holds no intact bundle")
    assert contest.champion() == CHAMPION


@pytest.mark.parametrize(
    ("database", "times"),
    [
        ("sqlite", 1),
        pytest.param("postgresql", 1, marks=pytest.mark.slow),
        pytest.param("sqlite", 6, marks=pytest.mark.slow),
    ],
)
def test_the_whole_server_killed_in_the_middle_of_promotions(
    request: pytest.FixtureRequest, tmp_path: Path, database: str, times: int
) -> None:
    place = None if database == "sqlite" else request.getfixturevalue("postgres").database(f"killed-{times}")
    answered: list[dict[str, Any]] = []
    contest: Contest | None = None
    for _ in range(times):
        with guarded_server(tmp_path / "server", place) as server:
            contest = _again(contest, server, answered)
            answered += _promotions_until_killed(contest)
    with guarded_server(tmp_path / "server", place) as server:
        contest = _again(contest, server, answered)
        answer = contest.ask("rollback", version=FORMER)
        # the kill may have come while the former champion was champion again, which changes nothing
        answer.must_be(200, '"version":1')


def _again(contest: Contest | None, server: GuardedServer, answered: list[dict[str, Any]]) -> Contest:
    """The slot on a server that was started again, whose records agree with what callers were answered."""
    if contest is None:
        return prepare(server, "plant-k", last=PASSED)
    contest = replace(contest, server=server, rest=Rest(server.uri))
    agree(contest, answered, all_answered=False)
    return contest


def _promotions_until_killed(contest: Contest) -> list[dict[str, Any]]:
    """Move the champion back and forth, kill the server at some moment, and return the moves that were answered."""
    answered: list[dict[str, Any]] = []

    def move() -> None:
        while True:
            for verb, values in (("rollback", {"version": FORMER}), ("promote", {"version": CHAMPION, "again": True})):
                try:
                    answer = contest.ask(verb, **values)
                except (OSError, http.client.HTTPException):
                    return
                if answer.status == 200:
                    answered.append({**answer.json, "to": answer.json["version"], "from": answer.json["previous"]})

    mover = threading.Thread(target=move)
    mover.start()
    while len(answered) < 5:
        time.sleep(0.01)
    time.sleep(random.uniform(0, 0.3))
    os.killpg(contest.server.pid, signal.SIGKILL)
    mover.join(30)
    assert not mover.is_alive()
    return answered

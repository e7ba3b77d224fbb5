"""Many at once, and death in the middle: one champion, one chain, nothing lost that was acknowledged."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.books import check_books, read_books
from tests.support.contest import CHAMPION, PASSED, Contest
from tests.support.movers import STEPS, Movers, movers


@pytest.fixture(scope="module")
def crowd(server: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    with movers(server, tmp_path_factory.mktemp("movers")) as running:
        yield running


def _agree(contest: Contest, said: list[dict[str, Any]], *, all_told: bool) -> None:
    """Chain, alias and what the movers were told fit together.

    Args:
        contest: The slot.
        said: What the movers were told.
        all_told: Whether every change must have been told to somebody: nobody was killed.
    """
    books = read_books(contest.server)
    chain = check_books(contest.server, books)
    assert chain.whole, [str(fault) for fault in chain.faults]
    moves = books.moves(contest.slot)
    assert books.aliases.get((contest.model, "champion")) == moves[-1].after
    assert [move.before for move in moves[1:]] == [move.after for move in moves[:-1]], "a move from nowhere"
    told = {entry["seq"]: (entry["event"], entry["from"], entry["to"]) for entry in said if entry.get("seq")}
    written = {move.seq: (move.event, move.before, move.after) for move in moves if move.seq > contest.mark}
    assert {seq: written.get(seq) for seq in told} == told, "acknowledged and lost"
    if all_told:
        assert written == told, "written and told to nobody"
        refused = [e for e in books.entries if e.seq > contest.mark and (e.slot, e.event) == (contest.slot, "refused")]
        assert sorted(e.reason for e in refused) == sorted(e["refused"] for e in said if "refused" in e)


@pytest.mark.parametrize("seconds", [10, pytest.param(60, marks=pytest.mark.slow)])
def test_ten_processes_on_one_slot(own_contest: Contest, crowd: Movers, seconds: int) -> None:
    crowd.start(own_contest.slot, seconds, count=10)
    # the server goes on answering beside them
    ends, answers = time.monotonic() + seconds, []
    while time.monotonic() < ends:
        verb, version = random.choice([("rollback", 1), ("rollback", CHAMPION), ("promote", PASSED)])
        answers.append(own_contest.ask(verb, version=version))
    assert crowd.wait() == [0] * 10
    said = crowd.said()
    assert {answer.status for answer in answers} <= {200, 403}
    said += [
        {**answer.json, "to": answer.json["version"], "from": answer.json["previous"]}
        for answer in answers
        if answer.status == 200
    ]
    said += [{"refused": answer.message} for answer in answers if answer.status == 403]
    assert len({entry["seq"] for entry in said if entry.get("seq")}) > 20, "too few moves to mean anything"
    _agree(own_contest, said, all_told=True)


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_each_step_of_a_promotion(own_contest: Contest, crowd: Movers, step: str) -> None:
    crowd.start(own_contest.slot, 30, kill_at=step)
    assert crowd.wait() == [-signal.SIGKILL]
    _agree(own_contest, crowd.said(), all_told=False)
    # the next one finds the door open
    crowd.start(own_contest.slot, 0.5, seed=1)
    assert crowd.wait() == [0]
    _agree(own_contest, crowd.said(), all_told=False)


@pytest.mark.parametrize("times", [5, pytest.param(100, marks=pytest.mark.slow)])
def test_killed_at_any_moment(own_contest: Contest, crowd: Movers, times: int) -> None:
    choose, told = random.Random(times), []
    for number in range(times):
        (pid,) = crowd.start(own_contest.slot, 30, seed=number)
        _wait_for_a_move(crowd)
        time.sleep(choose.uniform(0, 0.1))
        os.kill(pid, signal.SIGKILL)
        assert crowd.wait() == [-signal.SIGKILL]
        told += crowd.said()
        _agree(own_contest, told, all_told=False)


def _wait_for_a_move(crowd: Movers) -> None:
    ends = time.monotonic() + 30
    while not any(entry.get("seq") for entry in crowd.said()):
        assert time.monotonic() < ends, "no move in 30 seconds"
        time.sleep(0.01)


def test_promoted_while_the_bytes_are_replaced_on_disk(own_contest: Contest) -> None:
    """Somebody with the folder itself: the bytes are hashed again at the moment of promotion."""
    contest = own_contest
    place: Path = contest.server.artifacts / contest.made[PASSED].tensors
    place.write_bytes(place.read_bytes()[:-1] + b"\x00")
    contest.refused(contest.alias(PASSED), "bytes")
    assert contest.champion() == CHAMPION


@pytest.mark.parametrize("name", ["adapter.py", "MLmodel"])
def test_promoted_while_the_code_is_replaced_on_disk(own_contest: Contest, name: str) -> None:
    contest = own_contest
    place: Path = contest.server.artifacts / contest.made[PASSED].folder / name
    place.write_bytes(b"import os  # not what was trained\n")
    contest.refused(contest.alias(PASSED))
    assert contest.champion() == CHAMPION

"""The meeting of several runs in one process: who waits for whom, and who trains."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from elp_core.errors import ElpError
from pipelines.errors import DataRefused, NotTrainable, RunCancelled, ServiceError
from pipelines.local.settings import Settings
from pipelines.local.workspace import Workspace
from pipelines.orchestration.shared_pass import PassPart, SharedPass
from pipelines.registry.slot import Slot
from pipelines.training.register import Registered
from tests.support.outcomes import REGISTERED

PLACE = Workspace(Path("/plant"), Settings())


def part(run: str, workspace: Workspace = PLACE) -> PassPart:
    return PassPart(run, workspace, Slot(run, "asr"), f"data/{run}/asr/v1", lambda line: None)


class Meeting:
    """A leader in this thread, and runs that join it in threads of their own."""

    def __init__(self) -> None:
        self.passes: list[str] = []
        self.work: list[str] = []
        self.failing: dict[str, Exception] = {}
        self.ends: dict[str, object] = {}
        self.threads: list[threading.Thread] = []
        self.trained_by: set[str] = set()
        self.during: Callable[[], object] = lambda: None
        self.shared = SharedPass("a", self.train)

    def train(self, parts: Sequence[PassPart]) -> dict[Slot, Registered | ElpError]:
        self.passes.append("".join(part.run for part in parts))
        self.trained_by.add(threading.current_thread().name)
        self.during()
        for name in (self.passes[-1], *(part.run for part in parts)):
            if error := self.failing.pop(f"raised {name}", None):
                raise error
        ends: dict[Slot, Registered | ElpError] = {part.slot: REGISTERED for part in parts}
        for one in parts:
            if isinstance(error := self.failing.get(one.run), ElpError):
                ends[one.slot] = error
        return ends

    def join(self, run: str, before: Callable[[], object] = lambda: None, workspace: Workspace = PLACE) -> None:
        def work() -> None:
            try:
                with self.shared.taking_turns(run):
                    self.work.append(f"{run} begins")
                    before()
                    try:
                        self.ends[run] = self.shared.train(part(run, workspace))
                    except ServiceError:
                        # as Prefect does with the task
                        self.ends[run] = self.shared.train(part(run, workspace))
                    self.work.append(f"{run} ends")
            except Exception as error:
                self.ends[run] = error

        self.shared.expect(run)
        thread = threading.Thread(target=work, name=f"thread of {run}", daemon=True)
        self.threads.append(thread)
        thread.start()

    def lead(self) -> object:
        try:
            self.ends["a"] = self.shared.train(part("a"))
        except Exception as error:
            self.ends["a"] = error
        return self.ends["a"]

    def wait(self) -> dict[str, object]:
        self.shared.leave("a")
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive()
        return self.ends


def test_all_are_trained_in_one_pass_by_the_leader_and_only_one_works_at_a_time() -> None:
    meeting = Meeting()
    at_work = threading.Lock()

    def work() -> None:
        assert at_work.acquire(blocking=False), "two at a time"
        threading.Event().wait(0.01)
        at_work.release()

    for run in "bcd":
        meeting.join(run, work)
    assert meeting.work == [], "it is the leader's turn"
    assert meeting.lead() is REGISTERED
    assert meeting.wait() == dict.fromkeys("abcd", REGISTERED)
    assert ["".join(sorted(one)) for one in meeting.passes] == ["abcd"]
    assert meeting.trained_by == {"MainThread"}


def test_a_run_that_is_taken_out_ends_while_the_others_are_trained() -> None:
    meeting, cancelled = Meeting(), RunCancelled("cancelled by a person")
    for run in "bc":
        meeting.join(run)

    def during() -> None:
        meeting.shared.check("b")
        meeting.shared.take_out("b", cancelled)
        meeting.threads[0].join(30)
        assert meeting.ends == {"b": cancelled}
        with pytest.raises(RunCancelled, match="by a person"):
            meeting.shared.check("b")
        meeting.shared.check("c")

    meeting.during = during
    assert meeting.lead() is REGISTERED
    assert meeting.wait() == {"a": REGISTERED, "b": cancelled, "c": REGISTERED}
    assert len(meeting.passes) == 1


def test_a_leader_without_others_trains_at_once() -> None:
    meeting = Meeting()
    assert meeting.lead() is REGISTERED
    assert meeting.passes == ["a"]


def test_a_run_that_ends_before_the_training_is_not_waited_for() -> None:
    meeting = Meeting()
    refused = DataRefused("b/asr", ["noise"])

    def fail() -> None:
        raise refused

    meeting.join("b", fail)
    meeting.join("c")
    assert meeting.lead() is REGISTERED
    assert meeting.wait() == {"a": REGISTERED, "b": refused, "c": REGISTERED}
    assert meeting.passes == ["ac"]


def test_the_error_of_one_slot_is_raised_in_its_run_only() -> None:
    meeting = Meeting()
    meeting.failing["b"] = NotTrainable("data/b/asr/v1", ["no validation"])
    meeting.join("b")
    meeting.join("c")
    assert meeting.lead() is REGISTERED
    assert meeting.wait() == {"a": REGISTERED, "b": meeting.failing["b"], "c": REGISTERED}
    assert len(meeting.passes) == 1


@pytest.mark.parametrize("error", [NotTrainable("data/b/asr/v1", ["no validation"]), RuntimeError("out of memory")])
def test_if_the_pass_fails_as_a_whole_each_is_trained_alone(error: Exception) -> None:
    meeting = Meeting()
    meeting.join("b")
    meeting.failing = {"raised ab": error, "raised b": error}
    meeting.lead()
    # the pass of both and that of b fail
    assert meeting.wait() == {"a": REGISTERED, "b": error}
    assert meeting.passes == ["ab", "a", "b"]


def test_a_server_that_is_gone_is_reported_to_all_and_all_may_come_again() -> None:
    meeting = Meeting()
    meeting.join("b")
    meeting.failing["raised ab"] = ServiceError("MLflow is gone")
    assert isinstance(meeting.lead(), ServiceError)
    assert meeting.lead() is REGISTERED
    assert meeting.wait() == {"a": REGISTERED, "b": REGISTERED}
    assert ["".join(sorted(one)) for one in meeting.passes] == ["ab", "ab"]


def test_a_run_trains_itself_when_the_leader_is_gone() -> None:
    meeting = Meeting()
    meeting.join("b")
    assert meeting.wait() == {"b": REGISTERED}
    assert meeting.trained_by == {"thread of b"}


def test_other_settings_are_trained_in_another_pass() -> None:
    meeting = Meeting()
    other = dataclasses.replace(PLACE, settings=Settings(backbone="another"))
    moved = dataclasses.replace(PLACE, revision="of the next commit")
    meeting.join("b", workspace=other)
    meeting.join("c", workspace=moved)
    assert meeting.lead() is REGISTERED
    assert set(meeting.wait()) == set("abc")
    assert ["".join(sorted(one)) for one in meeting.passes] == ["ac", "b"]

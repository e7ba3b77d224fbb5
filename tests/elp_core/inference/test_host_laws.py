"""Laws of `AdapterHost` over random histories, and under many threads."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elp_core.errors import HostError
from elp_core.inference import AdapterHost, HostedAdapter, Request
from elp_core.testing import tiny_backbone
from tests.support.hosting import SHAPES, WAVEFORMS, Adapter, all_same, same, write_adapters

BACKBONE = tiny_backbone("wavlm")
NAMES = "abc"
name, bundle = st.sampled_from(NAMES), st.integers(0, len(SHAPES) - 1)
asked = st.lists(st.tuples(name, st.integers(0, len(WAVEFORMS) - 1)), max_size=8)
ACTIONS = st.one_of(
    st.tuples(st.just("load"), name, bundle, st.booleans()),
    st.tuples(st.just("replace"), name, bundle),
    st.tuples(st.just("back"), name),
    st.tuples(st.just("remove"), name),
    st.tuples(st.just("answer"), asked),
)


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> list[Adapter]:
    return write_adapters(BACKBONE, tmp_path_factory.mktemp("bundles"))


class Truth:
    """What a host should do, as a dictionary: the number of the bundle by its name."""

    def __init__(self, host: AdapterHost, adapters: list[Adapter]) -> None:
        self.host, self.adapters = host, adapters
        self.serves: dict[str, int] = {}
        self.before: dict[str, tuple[HostedAdapter, int]] = {}

    def do(self, kind: str, *about: Any) -> None:
        expected = getattr(self, kind)
        needed = {given for given, _ in about[0]} if kind == "answer" else {about[0]}
        known = needed <= self.serves.keys()
        if known if kind == "load" else not known:
            with pytest.raises(HostError, match="is served"):
                expected(*about)
        else:
            expected(*about)

    def load(self, name: str, number: int, now: bool) -> None:
        self.host.load(name, self.adapters[number].folder, now)
        self.serves[name] = number

    def replace(self, name: str, number: int) -> None:
        given = self.host.replace(name, self.adapters[number].folder)
        self.before[name] = given, self.serves[name]
        self.serves[name] = number

    def back(self, name: str) -> None:
        hosted, number = self.before.get(name, (None, self.serves.get(name, 0)))
        given = self.host.replace(name, hosted or self.adapters[number].folder)
        self.before[name] = given, self.serves[name]
        self.serves[name] = number

    def remove(self, name: str) -> None:
        self.before[name] = self.host.remove(name), self.serves.pop(name)

    def answer(self, asked: list[tuple[str, int]]) -> None:
        answers = self.host.answer([Request(name, WAVEFORMS[place]) for name, place in asked])
        assert all_same(answers, [self.adapters[self.serves[name]].alone[place] for name, place in asked])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(ACTIONS, max_size=10), limit=st.sampled_from([0, 20_000, 60_000, None]))
def test_any_history_leaves_what_a_dictionary_would_hold(
    adapters: list[Adapter], history: list[tuple[Any, ...]], limit: int | None
) -> None:
    truth = Truth(AdapterHost(BACKBONE, limit, batch_seconds=0.8), adapters)
    for action in history:
        truth.do(*action)
        assert truth.host.names == tuple(sorted(truth.serves))
        assert limit is None or truth.host.resident_bytes <= limit
    truth.do("answer", [(name, place) for name in truth.serves for place in range(len(WAVEFORMS))])


def test_threads_see_whole_adapters_only(adapters: list[Adapter]) -> None:
    """Each name swings between two bundles while it is asked; a call's answers for a name are all of one of them."""
    host = AdapterHost(BACKBONE, memory_bytes=60_000)
    pairs = {"a": (0, 1), "b": (3, 0), "c": (2, 4)}
    for name, (first, _) in pairs.items():
        host.load(name, adapters[first].folder, now=False)
    end, faults, calls = time.monotonic() + 2.0, list[BaseException](), list[int]()

    def swing(name: str) -> None:
        numbers = pairs[name]
        before: HostedAdapter | Path = adapters[numbers[1]].folder
        while time.monotonic() < end:
            before = host.replace(name, before)

    def ask(offset: int) -> None:
        places = [(offset + step) % len(WAVEFORMS) for step in range(3)]
        while time.monotonic() < end:
            answers = host.answer([Request(name, WAVEFORMS[place]) for name in pairs for place in places])
            for number, (first, second) in enumerate(pairs.values()):
                mine = answers[3 * number : 3 * number + 3]
                wanted = [[adapters[one].alone[place] for place in places] for one in (first, second)]
                assert any(all(map(same, mine, each)) for each in wanted)
            calls.append(1)

    def guarded(work: Any, about: Any) -> None:
        try:
            work(about)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=guarded, args=(swing, name)) for name in pairs]
    threads += [threading.Thread(target=guarded, args=(ask, offset)) for offset in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert len(calls) > 4
    assert host.resident_bytes <= 60_000
    assert host.names == tuple(pairs)

"""Processes of `elp up` are killed at random moments of a run; it ends without a person, as an undisturbed one.

Only after an end of everything, as at a restart of the machine, `elp up` is started, which systemd or compose do.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator

import pytest

from tests.support.system_faults import FAULTS, begin_a_new_count
from tests.support.whole_system import BACK_WITHIN, System, running_system

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.timeout(7200)]

ROUNDS = int(os.environ.get("ELP_FAULT_ROUNDS", "10"))


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running_system(tmp_path_factory.mktemp("system")) as made:
        yield made


@pytest.mark.parametrize("what", FAULTS)
def test_the_run_ends_as_if_nothing_had_happened(system: System, what: str) -> None:
    seed = int(os.environ.get("ELP_FAULT_SEED") or time.time_ns() % 10**6)
    print(f"ELP_FAULT_SEED={seed}")
    pick = random.Random(seed)
    # a hang takes longer than a kill
    for number in range(ROUNDS if "hangs" not in what else min(ROUNDS, 3)):
        if number % 4 == 0:
            begin_a_new_count(system)
        slot, run = system.start()
        moment = pick.uniform(0, system.length)
        time.sleep(moment)
        FAULTS[what](system, run)
        back = time.time()
        ended, place = system.wait(run), f"{what} after {moment:.1f} s of {system.length:.1f}"
        assert ended.state == "Completed", f"{place}: {ended}"
        # one that went on all the time began before
        print(f"{place}: Running again {system.began(run) - back:.1f} s after the fault")
        assert system.began(run) - back < BACK_WITHIN, f"{place}: {system.states(run)}"
        assert system.state(slot) == system.expected, place
        assert system.disorder(slot) == [], place

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.monitoring.change_detector import begin_day, start_detector
from pipelines.monitoring.fleet_alarms import alarm_level, changed_slots, share_of_level, slot_e_value

E_VALUES = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.floats(0, 1e6), max_size=12)


def test_a_slot_alone_changes_at_one_over_the_rate() -> None:
    assert changed_slots({"plant-a/asr": 20.0}) == ("plant-a/asr",)
    assert changed_slots({"plant-a/asr": 19.9}) == ()
    assert changed_slots({}) == ()


def test_many_changed_slots_need_less_evidence_each() -> None:
    values = {f"s{place}": 25.0 for place in range(4)} | {"t": 1.0}
    assert changed_slots(values) == ("s0", "s1", "s2", "s3")
    assert changed_slots({"s0": 25.0, **{f"t{place}": 1.0 for place in range(4)}}) == ()


@given(E_VALUES, st.floats(0.01, 0.5))
def test_the_chosen_slots_are_the_ones_with_most_evidence(values: dict[str, float], rate: float) -> None:
    chosen = changed_slots(values, rate)
    rest = [value for slot, value in values.items() if slot not in chosen]
    assert all(values[slot] >= max(rest, default=0.0) for slot in chosen)
    # the definition, from its other side: every chosen one has the evidence that so many need
    assert all(values[slot] >= len(values) / (rate * len(chosen)) for slot in chosen)


@given(E_VALUES, st.floats(1.0, 100.0))
def test_more_evidence_never_takes_a_slot_off_the_list(values: dict[str, float], factor: float) -> None:
    chosen = changed_slots(values)
    assert set(chosen) <= set(changed_slots({slot: value * factor for slot, value in values.items()}))


def test_a_slot_is_the_mean_of_its_scores_and_never_more_than_its_capital() -> None:
    states = {name: begin_day(start_detector(10)) for name in ("snr_db", "distance")}
    assert slot_e_value(states) == pytest.approx(float(states["snr_db"].evidence))
    assert slot_e_value({}) == 0.0
    old = states["snr_db"]
    for _ in range(1000):
        old = begin_day(old)
    assert slot_e_value({"snr_db": old}) == pytest.approx(1.0)


def test_the_way_to_an_alarm_is_zero_to_one() -> None:
    state = start_detector(10)
    assert share_of_level(state, 6) == 0.0
    capital = np.full(state.log_capital.shape, np.log(alarm_level(6) / state.log_capital.size))
    assert share_of_level(type(state)(state.counts, capital, 1.0), 6) == pytest.approx(1.0)

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from elp_core.inference.voice_activity import CHUNK, SpeechRun, VoiceActivityConfig, _Cutter
from elp_core.types import SAMPLE_RATE

Stretches = list[tuple[float, int]]
"""Probability, and how many chunks in a row have it."""
stretches = st.lists(st.tuples(st.sampled_from([0.0, 0.2, 0.4, 0.6, 1.0]), st.integers(1, 60)), min_size=1, max_size=40)
configs = st.builds(
    VoiceActivityConfig,
    min_pause=st.sampled_from([0.2, 0.4, 1.0]),
    min_speech=st.sampled_from([0.0, 0.1, 0.25]),
    pad=st.sampled_from([0.0, 0.05, 0.1]),
    max_seconds=st.sampled_from([5.0, 8.0, 30.0]),
)


def runs_of(probabilities: list[float], config: VoiceActivityConfig, block: int, short: int = 0) -> list[SpeechRun]:
    """Runs over samples that are their own places, in blocks of chunks; the last chunk lacks `short` samples."""
    cutter, found = _Cutter(config), []
    samples = np.arange(len(probabilities) * CHUNK - short, dtype=np.float32)
    for first in range(0, len(probabilities), block):
        part = probabilities[first : first + block]
        found += cutter.add(samples[first * CHUNK : (first + block) * CHUNK], np.array(part, np.float32))
    return [*found, *cutter.end()]


@given(stretches, configs, st.integers(1, 900), st.integers(0, CHUNK - 1))
def test_every_sample_of_speech_is_in_exactly_one_run(
    parts: Stretches, config: VoiceActivityConfig, block: int, short: int
) -> None:
    probabilities = [probability for probability, count in parts for _ in range(count)]
    runs = runs_of(probabilities, config, block, short)
    covered = np.zeros(len(probabilities) * CHUNK - short, int)
    for run in runs:
        assert run.samples[0] == run.start
        np.testing.assert_array_equal(np.diff(run.samples), 1)
        assert len(run.samples) <= (config.max_seconds + 2 * config.pad) * SAMPLE_RATE + CHUNK
        covered[run.start : run.start + len(run.samples)] += 1
    assert covered.max(initial=0) <= 1
    assert [run.start for run in runs] == sorted(run.start for run in runs)
    place = 0
    for speech, group in itertools.groupby(probabilities, lambda one: one >= config.threshold):
        count = len(list(group))
        # shorter stretches may be noise
        if speech and count * CHUNK >= config.min_speech * SAMPLE_RATE + CHUNK:
            assert covered[place * CHUNK : (place + count) * CHUNK].all()
        place += count


@given(stretches, configs, st.integers(1, 900))
def test_runs_do_not_depend_on_the_blocks(parts: Stretches, config: VoiceActivityConfig, block: int) -> None:
    probabilities = [probability for probability, count in parts for _ in range(count)]
    whole, blocks = (runs_of(probabilities, config, size) for size in (len(probabilities), block))
    assert [(one.start, len(one.samples)) for one in blocks] == [(one.start, len(one.samples)) for one in whole]


def test_a_long_run_is_cut_in_its_deepest_pause() -> None:
    probabilities = [1.0] * 312  # 10 s
    probabilities[200] = 0.0  # one chunk: a stop inside a word
    probabilities[240:246] = [0.36] * 6  # 0.19 s, too short for the end of a run
    first, second = runs_of(probabilities, VoiceActivityConfig(max_seconds=9.0), 1000)
    assert second.start == first.start + len(first.samples)
    assert 240 * CHUNK < second.start < 246 * CHUNK


def test_speech_ends_with_a_low_threshold_too() -> None:
    probabilities = [0.0] * 20 + [1.0] * 30 + [0.005] * 40 + [1.0] * 30 + [0.0] * 20
    assert len(runs_of(probabilities, VoiceActivityConfig(threshold=0.05), 1000)) == 2

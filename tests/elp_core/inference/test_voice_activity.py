from __future__ import annotations

import functools
import importlib.util
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from elp_core.errors import ConfigError
from elp_core.inference import voice_activity
from elp_core.inference.voice_activity import CHUNK, SpeechDetector, VoiceActivityConfig, speech_runs
from tests.support.missing import skip_without

if importlib.util.find_spec("silero_vad") is None:
    skip_without("silero-vad is not installed")


@functools.cache
def _speech() -> np.ndarray:
    """Half a minute of speech almost without pauses."""
    from pipelines.demo.espeak import Synthesiser
    from pipelines.demo.spoken_words import WORDS

    return 0.5 * Synthesiser().say(" ".join(WORDS[:130]), "en-us+m1", rate=200, pitch=40, pitch_range=50)


def spoken(seconds: float, seed: int = 0) -> np.ndarray:
    """Speech from another place for each seed; it begins and ends anywhere in a word."""
    return _speech()[4000 * seed + 8000 :][: round(seconds * 16_000)].astype(np.float32)


def quiet(seconds: float) -> np.ndarray:
    return (0.0005 * np.random.default_rng(9).standard_normal(round(seconds * 16_000))).astype(np.float32)


def test_the_probabilities_are_those_of_the_packages_own_model() -> None:
    sound = np.concatenate([quiet(1), spoken(3), quiet(1)])
    sound = sound[: len(sound) // CHUNK * CHUNK]
    found = importlib.util.find_spec("silero_vad")
    assert found is not None
    (folder,) = found.submodule_search_locations or []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        theirs = torch.jit.load(os.path.join(folder, "data", "silero_vad.jit"))
    theirs.reset_states()
    with torch.no_grad():
        chunks = torch.from_numpy(sound).split(CHUNK)
        expected = np.array([theirs(chunk, 16_000).item() for chunk in chunks])
    ours = SpeechDetector()
    cut = 37 * CHUNK
    mine = np.concatenate([ours.probabilities(sound[:cut]), ours.probabilities(sound[cut:])])
    np.testing.assert_allclose(mine, expected, atol=1e-5)
    assert expected.max() > 0.5
    assert expected.min() < 0.1


@pytest.mark.parametrize("chunks", [1, 100, 249, 250, 251])
def test_the_probabilities_of_a_long_recording_do_not_depend_on_the_blocks(chunks: int) -> None:
    sound = np.concatenate([quiet(7), spoken(3), quiet(7), spoken(2, 1)])
    sound = sound[: len(sound) // CHUNK * CHUNK]
    whole, blocks = SpeechDetector(), SpeechDetector()
    found = [blocks.probabilities(sound[at : at + chunks * CHUNK]) for at in range(0, len(sound), chunks * CHUNK)]
    np.testing.assert_allclose(np.concatenate(found), whole.probabilities(sound), atol=1e-4)


def test_the_network_starts_again_after_eight_seconds_with_one_second_of_past() -> None:
    sound = np.concatenate([spoken(7), quiet(1.008), spoken(5, 1)])
    sound = sound[: len(sound) // CHUNK * CHUNK]
    piece, past = 250 * CHUNK, 31 * CHUNK
    fresh = SpeechDetector()
    fresh.probabilities(sound[piece - past - CHUNK : piece - past])  # for the samples that the first chunk reads too
    fresh._state = None
    expected = fresh.probabilities(sound[piece - past :])[31:]
    np.testing.assert_allclose(SpeechDetector().probabilities(sound)[250:], expected, atol=1e-4)


@pytest.mark.parametrize("block", [0.1, 0.7, 30.0])
def test_runs_are_the_speech_with_its_pads(block: float) -> None:
    sound = np.concatenate([quiet(2), spoken(2), quiet(2), spoken(1.5, 1), quiet(1)])
    size = round(block * 16_000)
    runs = list(speech_runs(sound[start : start + size] for start in range(0, len(sound), size)))
    assert [round(run.start / 16_000) for run in runs] == [2, 6]
    for run, length in zip(runs, (2, 1.5), strict=True):
        np.testing.assert_array_equal(run.samples, sound[run.start : run.start + len(run.samples)])
        assert len(run.samples) / 16_000 == pytest.approx(length + 0.3, abs=0.5)


def test_a_pause_that_is_too_short_ends_no_run_and_silence_has_none() -> None:
    sound = np.concatenate([quiet(1), spoken(1.5), quiet(0.1), spoken(1.5, 1), quiet(1)])
    assert len(list(speech_runs([sound]))) == 1
    assert list(speech_runs([quiet(3)])) == []
    assert list(speech_runs([])) == []


def test_a_run_without_pause_is_cut_so_that_memory_has_a_bound() -> None:
    sound = np.concatenate([quiet(1), spoken(23), quiet(1)])
    runs = list(speech_runs([sound[:100_000], sound[100_000:]], VoiceActivityConfig(min_pause=0.6, max_seconds=6)))
    assert max(len(run.samples) for run in runs) <= 6.5 * 16_000
    ends = [run.start + len(run.samples) for run in runs]
    assert [run.start for run in runs[1:]] == ends[:-1]
    assert (ends[-1] - runs[0].start) / 16_000 == pytest.approx(23.3, abs=0.6)


def test_the_threads_of_the_process_stay_as_they_were() -> None:
    before = torch.get_num_threads()
    SpeechDetector()
    assert torch.get_num_threads() == before


def test_without_the_package_one_sentence_names_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    voice_activity._weights.cache_clear()
    with pytest.raises(ConfigError, match=r"pip install 'elp-foundry\[vad\]'"):
        next(speech_runs([quiet(1)]))


def test_pads_that_overlap_are_refused() -> None:
    with pytest.raises(ConfigError, match="pad is more than half of min_pause"):
        VoiceActivityConfig(pad=0.4, min_pause=0.6)

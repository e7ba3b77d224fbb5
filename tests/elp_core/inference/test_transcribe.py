from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from elp_core.assemble import build
from elp_core.config import ElpConfig
from elp_core.decoding import DecodeConfig
from elp_core.errors import AudioError, ConfigError
from elp_core.inference import AdapterHost, Recogniser, VoiceActivityConfig, WindowConfig, predict, transcribe
from elp_core.inference.transcribe import SPAN_SECONDS
from elp_core.inference.windows import FrameTimes
from elp_core.languages import LanguageConfig, Units
from elp_core.model import ElpModel
from elp_core.subtitles import SubtitleConfig, cues
from elp_core.tasks import SpeechRecognition, make_task
from elp_core.tasks.asr import RecognitionOptions
from elp_core.testing import random_clips, tiny_backbone, tone
from tests.elp_core.inference.test_voice_activity import quiet, spoken
from tests.support.clips import wav


@pytest.fixture(scope="module")
def model() -> ElpModel:
    made = build(tiny_backbone(pre_norm=True), ElpConfig(), make_task("asr", random_clips(4)), seed=0)
    # an untrained head repeats one letter: without its mean, every letter, blanks and spaces occur
    made.head.letters.weight.data.mul_(30)
    (rows,) = Recogniser.of(made).emit([song(20)])
    made.head.letters.bias.data.sub_(torch.from_numpy(rows.mean(0)))
    return made


def song(seconds: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    parts = [tone(int(rng.integers(150, 3000)), 0.13, 0.4) for _ in range(round(seconds / 0.13))]
    return (np.concatenate(parts) + 0.05 * rng.standard_normal(len(parts) * len(parts[0]))).astype(np.float32)


def test_what_holds_no_speech_has_no_words(model: ElpModel) -> None:
    recogniser, activity = Recogniser.of(model), VoiceActivityConfig()
    silence, beep = np.zeros(16_000, np.float32), tone(440, 1.0)
    for sound in (silence, beep):
        assert predict(model, [sound]) != [""]
        for source in (sound, wav(sound)):
            found = transcribe(source, recogniser, voice_activity=activity)
            assert (found.text, found.segments, found.seconds) == ("", (), 1.0)
    # everything is asked for: that is a beep, too, and not digital silence
    assert transcribe(silence, recogniser).text == ""
    assert transcribe(beep, recogniser).text == predict(model, [beep])[0]


def test_a_clip_no_longer_than_a_window_has_the_text_of_predict(model: ElpModel, tmp_path: Path) -> None:
    wave = spoken(20)
    (expected,) = predict(model, [wave])
    found = transcribe(wave, Recogniser.of(model), voice_activity=VoiceActivityConfig())
    assert len(expected.split()) > 3
    assert found.text == " ".join(word.text for word in found.words) == expected
    assert found.seconds == len(wave) / 16_000
    (tmp_path / "song.wav").write_bytes(wav(wave, subtype="FLOAT"))
    assert transcribe(tmp_path / "song.wav", Recogniser.of(model)) == found
    assert transcribe((tmp_path / "song.wav").read_bytes(), Recogniser.of(model)) == found


def test_times_rise_and_are_inside_the_recording(model: ElpModel) -> None:
    found = transcribe(song(75), Recogniser.of(model), windows=WindowConfig(6, 2))
    times = [time for word in found.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert times[-1] <= 75.02
    assert all(word.end > word.start for word in found.words)
    assert all(s.start == s.words[0].start and s.end == s.words[-1].end for s in found.segments)


def test_windows_of_a_network_without_context_give_the_whole_text(monkeypatch: pytest.MonkeyPatch) -> None:
    # without attention and time delays a frame depends on its own samples only: nothing may differ then
    task = SpeechRecognition()
    rng = np.random.default_rng(1)
    weights = rng.standard_normal((4, len(task.units))).astype(np.float32)

    def emit(waveforms: list[np.ndarray]) -> list[np.ndarray]:
        rows = []
        for wave in waveforms:
            frames = np.lib.stride_tricks.sliding_window_view(wave, 400)[::320]
            seen = np.stack([np.sin(1e3 * frames[:, place]) for place in (0, 100, 200, 399)], axis=1)
            logits = 4 * seen @ weights
            rows.append((logits - np.log(np.exp(logits).sum(1, keepdims=True))).astype(np.float32))
        return rows

    times = Recogniser.of(build(tiny_backbone(), ElpConfig(), make_task("asr", random_clips(4)), 0)).times
    recogniser = Recogniser(task, times, emit)
    wave = np.repeat(rng.standard_normal(round(200 * 16_000 / 640)), 640).astype(np.float32)
    expected = task.units.decode(emit([wave])[0].argmax(1).tolist())
    for config in (WindowConfig(6, 2), WindowConfig(30, 4), WindowConfig(11.37, 0.5)):
        found = transcribe(wave, recogniser, windows=config)
        assert len(found.segments) > 200 / SPAN_SECONDS
        assert found.text == expected
    searched = transcribe(wave, recogniser, decode=DecodeConfig(beam=5))
    assert len(searched.text.split()) > 10
    assert searched.words[-1].end > 190


def test_the_blanks_of_latin_words_make_no_words_of_a_script_without_spaces() -> None:
    units = Units("characters", tuple(" 今日はabc"))
    task = SpeechRecognition(units, RecognitionOptions(language=LanguageConfig("ja")))
    text = "今日はa bは b c今"
    path = [one for letter in units.encode(text) for one in (letter, 0)]

    def emit(waveforms: list[np.ndarray]) -> list[np.ndarray]:
        return [np.log(np.eye(len(units), dtype=np.float32)[path] + 1e-6) for _ in waveforms]

    found = transcribe(tone(300, 1.0), Recogniser(task, FrameTimes(320, 400), emit))
    assert not found.spaced
    assert found.text == "".join(word.text for word in found.words) == units.decode(path) == text
    assert [word.text for word in found.words][:6] == ["今", "日", "は", "a", " b", "は"]
    (cue,) = cues(found, SubtitleConfig(columns=10))
    assert cue.lines == ("今日はa b", "は b c今")
    done: list[float] = []
    transcribe(tone(300, 70.0), Recogniser(task, FrameTimes(320, 400), _blank), progress=done.append)
    assert done[-1] == pytest.approx(70.0, abs=0.02)
    assert done == sorted(done)


def _blank(waveforms: list[np.ndarray]) -> list[np.ndarray]:
    return [np.zeros((FrameTimes(320, 400).count(len(wave)), 8), np.float32) for wave in waveforms]


def test_silence_is_skipped_and_times_are_those_of_the_recording(model: ElpModel) -> None:
    wave = np.concatenate([quiet(20), spoken(3), quiet(20), spoken(4, 1), quiet(5)])
    done: list[float] = []
    found = transcribe(wave, Recogniser.of(model), voice_activity=VoiceActivityConfig(), progress=done.append)
    assert found.seconds == 52.0
    assert all(19.5 < s.start < 24 or 42.5 < s.start < 47.5 for s in found.segments)
    assert done == sorted(done)
    batched = transcribe(wave, Recogniser.of(model), voice_activity=VoiceActivityConfig(), batch_seconds=60.0)
    assert batched.text == found.text
    everything = transcribe(wave, Recogniser.of(model))
    assert everything.seconds == 52.0
    assert transcribe(quiet(40), Recogniser.of(model), voice_activity=VoiceActivityConfig()).text == ""


def test_an_adapter_of_a_host_gives_the_same(model: ElpModel) -> None:
    host = AdapterHost(model.backbone)
    own = build(model.backbone, ElpConfig(), make_task("asr", random_clips(4)), seed=0)
    own.load_state(model.state())
    host.add("plant-a/asr", own)
    host.add("plant-a/asv", build(model.backbone, ElpConfig(), make_task("asv", random_clips(4)), seed=0))
    wave = song(40, 3)
    alone, hosted = (transcribe(wave, r) for r in (Recogniser.of(model), Recogniser.hosted(host, "plant-a/asr")))
    assert hosted.text == alone.text
    with pytest.raises(ConfigError, match="the task asv writes no transcripts"):
        Recogniser.hosted(host, "plant-a/asv")


def test_too_short_is_refused_and_the_mode_is_kept(model: ElpModel) -> None:
    model.train()
    transcribe(song(1), Recogniser.of(model))
    assert model.training
    model.eval()
    with pytest.raises(AudioError, match="has 399 samples at 16 kHz; this backbone needs 400"):
        transcribe(np.zeros(399, np.float32), Recogniser.of(model))

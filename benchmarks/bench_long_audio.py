"""An hour-long recording against its cut clips: WER, peak memory against a one-minute file, real-time factor.

    python benchmarks/bench_long_audio.py [ADAPTER] [--minutes 60] [--markdown FILE]

ADAPTER is the folder that `spoken_adapter.py` makes (it is trained first if it does not exist). The recording is
sentences of espeak-ng, the speakers of the test split in turn, with pauses of 0.3 to 4 s and faint noise between them,
at 48 kHz. Each measurement is a process of its own, so that peak memory is the measurement's. "Cut clips" is `predict`
on every sentence alone, cut out of the recording with up to 0.25 s of the pauses around it. The confidence is
judged by the area under the ROC curve of right against wrong words.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from spoken_adapter import DEFAULT_FOLDER, Wave, sentences, speak, spoken_adapter, voices

from elp_core.types import SAMPLE_RATE

RATE = 48_000
HEADER = (
    "| way | audio | WER | time | real-time factor | peak memory | confidence AUC |",
    "|---|---|---|---|---|---|---|",
)
WAYS = ("one minute", "clips", "windows and voice activity", "windows only")


def make_recording(folder: Path, minutes: float) -> None:
    """Write minute.wav, hour.wav, the sentences as they are in it, and their texts."""
    from pipelines.demo.espeak import Synthesiser

    synthesiser, rng, speakers = Synthesiser(), np.random.default_rng(7), voices("test")
    done, texts, clips = 0.0, [], []
    files = {name: soundfile.SoundFile(folder / f"{name}.wav", "w", RATE, 1, "PCM_16") for name in ("hour", "minute")}
    before = np.zeros(0, np.float32)
    for text in sentences(100_000, 7):
        if done > minutes * 60:
            break
        wave = speak(synthesiser, text, speakers[len(texts) % len(speakers)], rng)
        pause = rng.standard_normal(round(rng.uniform(0.3, 4.0) * SAMPLE_RATE)).astype(np.float32) * 0.001
        texts.append(text)
        margin = min(len(pause) // 2, SAMPLE_RATE // 4)
        clips.append(np.concatenate([before, wave, pause[:margin]]))
        before = pause[len(pause) - margin :]
        for name, file in files.items():
            if name == "hour" or done < 60:
                file.write(soxr.resample(np.concatenate([wave, pause]), SAMPLE_RATE, RATE))
        done += (len(wave) + len(pause)) / SAMPLE_RATE
    for file in files.values():
        file.close()
    (folder / "texts.json").write_text(json.dumps(texts))
    np.savez(folder / "clips.npz", *clips)


def measure(way: str, folder: Path, adapter: Path) -> dict[str, object]:
    """Return what one way gives: its text, seconds, peak memory."""
    from elp_core.backbones import Backbone
    from elp_core.bundle import load_bundle
    from elp_core.inference import Recogniser, VoiceActivityConfig, predict, transcribe

    model = load_bundle(adapter, Backbone.from_pretrained("elp:tiny"))
    started = time.monotonic()
    if way == "clips":
        with np.load(folder / "clips.npz") as archive:
            clips: list[Wave] = [archive[name] for name in archive.files]
        texts, words, seconds = predict(model, clips), [], sum(map(len, clips)) / SAMPLE_RATE
    else:
        activity = None if way == "windows only" else VoiceActivityConfig()
        path = folder / ("minute.wav" if way == "one minute" else "hour.wav")
        found = transcribe(path, Recogniser.of(model), voice_activity=activity)
        texts, seconds = [found.text], found.seconds
        words = [(word.text, word.start, word.end, word.confidence) for word in found.words]
    elapsed = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"texts": texts, "words": words, "seconds": seconds, "elapsed": elapsed, "peak": peak}


def word_error_rate(hypothesis: str, reference: str) -> float:
    from elp_core.metrics.wer import wer

    return wer([hypothesis], [reference])


def confidence_auc(words: list[tuple[str, float, float, float]], reference: str) -> float:
    """Return how well confidence separates words that are right from those that are not, 0.5 to 1."""
    from rapidfuzz.distance import Levenshtein

    said = [word[0] for word in words]
    right = np.zeros(len(said), bool)
    for block in Levenshtein.opcodes(said, reference.split()):
        if block.tag == "equal":
            right[block.src_start : block.src_end] = True
    order = np.argsort([word[3] for word in words], kind="stable")
    ranks = np.empty(len(words))
    ranks[order] = np.arange(1, len(words) + 1)
    good, bad = int(right.sum()), int((~right).sum())
    return float((ranks[right].sum() - good * (good + 1) / 2) / (good * bad)) if good and bad else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("adapter", type=Path, nargs="?", default=DEFAULT_FOLDER)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(measure(arguments.way, arguments.folder, arguments.adapter)))
        return
    adapter = spoken_adapter(arguments.adapter)
    with tempfile.TemporaryDirectory(prefix="elp-bench-") as scratch:
        folder = Path(scratch)
        make_recording(folder, arguments.minutes)
        reference = " ".join(json.loads((folder / "texts.json").read_text()))
        lines = list(HEADER)
        print(*lines, sep="\n")
        for way in WAYS:
            command = [sys.executable, __file__, str(adapter), "--way", way, "--folder", scratch]
            # as `elp predict` does
            environment = {**os.environ, "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "16"}
            done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
            lines.append(_row(way, json.loads(done.stdout), reference))
            print(lines[-1], flush=True)
    if arguments.markdown:
        arguments.markdown.write_text("\n".join(lines) + "\n")


def _row(way: str, one: dict[str, Any], reference: str) -> str:
    whole = way != "one minute"
    rate = f"{word_error_rate(' '.join(one['texts']), reference):.2%}" if whole else "—"
    auc = f"{confidence_auc(one['words'], reference):.3f}" if whole and one["words"] else "—"
    times = f"{one['elapsed']:.0f} s | {one['elapsed'] / one['seconds']:.3f}"
    return f"| {way} | {one['seconds'] / 60:.1f} min | {rate} | {times} | {one['peak']:.0f} MB | {auc} |"


if __name__ == "__main__":
    main()

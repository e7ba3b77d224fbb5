"""An hour-long recording against its cut clips: WER, peak memory against a one-minute file, real-time factor.

    python benchmarks/bench_long_audio.py [digits|call|voices] [--adapter FOLDER] [--minutes 60] [--ways clips,…]

`long_recordings.py` describes the kinds; ADAPTER is trained first if it does not exist (real speech needs ELP_FSDD). A
recording has pauses of 0.3 to 4 s. Each measurement is a process of its own, so that peak memory is the measurement's.
"Clips" is `predict` on every sentence alone, cut out of the file with half of the pauses around it, at most 0.25 s, and
"tight clips" the same, cut to the sample.

All ways are scored alike: the words of a channel are aligned with all its reference words, and an error counts for the
sentence at which it is. The interval of the difference is a paired bootstrap over minutes of the recording. Confidence
is judged by the area under the ROC curve of right against wrong words.
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
import numpy.typing as npt
from long_recordings import KINDS, Utterance, adapter, record, utterances
from rapidfuzz.distance import Levenshtein

from elp_core.types import SAMPLE_RATE

HEADER = (
    "| way | audio | WER | difference to clips (95 %) | to tight clips | time | real-time factor | peak memory | AUC |",
    "|---|---|---|---|---|---|---|---|---|",
)
CLIPS = ("clips", "tight clips")
WAYS = ("one minute", *CLIPS, "voice activity", "windows only")


def measure(way: str, folder: Path, bundle: Path) -> dict[str, object]:
    """Return what one way gives: the words of each channel, seconds, peak memory."""
    from elp_core.audio import load_part
    from elp_core.backbones import Backbone
    from elp_core.bundle import load_bundle
    from elp_core.inference import Recogniser, VoiceActivityConfig, predict, transcribe

    model = load_bundle(bundle, Backbone.from_pretrained("elp:tiny"))
    spoken = utterances(folder)
    channels = sorted({one.channel for one in spoken})
    path = folder / ("minute.wav" if way == "one minute" else "hour.wav")
    said: list[list[str]] = []
    rated: list[list[float]] = []
    started, seconds = time.monotonic(), 0.0
    for channel in channels:
        if way in CLIPS:
            margins, own = way == "clips", [one for one in spoken if one.channel == channel]
            ends = [(one.begin - margins * one.before, one.end + margins * one.after) for one in own]
            waves = [load_part(path, begin, end, channel) for begin, end in ends]
            said.append(" ".join(predict(model, waves)).split())
            seconds += sum(map(len, waves)) / SAMPLE_RATE
        else:
            activity = None if way == "windows only" else VoiceActivityConfig()
            found = transcribe(path, Recogniser.of(model), voice_activity=activity, channel=channel)
            said.append([word.text for word in found.words])
            rated.append([word.confidence for word in found.words])
            seconds += found.seconds
    elapsed = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"said": said, "rated": rated, "seconds": seconds, "elapsed": elapsed, "peak": peak}


def errors_of(said: list[list[str]], spoken: list[Utterance]) -> npt.NDArray[np.int64]:
    """Return the errors at each sentence, int64 [sentences], from one alignment for each channel."""
    errors = np.zeros(len(spoken), np.int64)
    for channel, words in enumerate(said):
        place = [n for n, one in enumerate(spoken) if one.channel == channel for _ in one.text.split()]
        reference = [word for one in spoken if one.channel == channel for word in one.text.split()]
        for edit in Levenshtein.editops(words, reference):
            errors[place[min(edit.dest_pos, len(place) - 1)]] += 1
    return errors


def difference(one: npt.NDArray[np.int64], clips: npt.NDArray[np.int64], spoken: list[Utterance]) -> str:
    """Return the difference of two WERs in points with its interval, from errors at each sentence."""
    from elp_core.metrics.bootstrap import Blocks, resample_errors
    from elp_core.metrics.scores import ClipScores

    minute = np.array([sentence.begin // (60 * SAMPLE_RATE) for sentence in spoken])
    words, names = [len(sentence.text.split()) for sentence in spoken], ("",) * len(spoken)
    columns = [ClipScores(names, names, names, errors, words, names, names) for errors in (one, clips)]
    rates = resample_errors(columns, Blocks(minute, int(minute.max()) + 1, "clips"), 10_000, 0)
    low, high = np.percentile(100 * (rates[0] - rates[1]), (2.5, 97.5))
    return f"{100 * (one.sum() - clips.sum()) / sum(words):+.2f} ({low:+.2f} … {high:+.2f})"


def confidence_auc(said: list[list[str]], rated: list[list[float]], spoken: list[Utterance]) -> float:
    """Return how well confidence separates words that are right from those that are not, 0.5 to 1."""
    right: list[bool] = []
    for channel, words in enumerate(said):
        reference = [word for one in spoken if one.channel == channel for word in one.text.split()]
        same = np.zeros(len(words), bool)
        for block in Levenshtein.opcodes(words, reference):
            if block.tag == "equal":
                same[block.src_start : block.src_end] = True
        right += same.tolist()
    order = np.argsort([one for channel in rated for one in channel], kind="stable")
    ranks = np.empty(len(order))
    ranks[order] = np.arange(1, len(order) + 1)
    good, bad = sum(right), len(right) - sum(right)
    return float((ranks[np.array(right)].sum() - good * (good + 1) / 2) / (good * bad)) if good and bad else 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS, nargs="?", default="digits")
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--ways", default=",".join(WAYS), help="which rows, separated by commas; clips before others")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(measure(arguments.way, arguments.folder, arguments.adapter)))
        return
    bundle = adapter(
        arguments.kind,
        arguments.adapter
        or Path(tempfile.gettempdir()) / f"elp-long-{'voices' if arguments.kind == 'voices' else 'digits'}",
    )
    with tempfile.TemporaryDirectory(prefix="elp-bench-") as scratch:
        record(arguments.kind, Path(scratch), arguments.minutes)
        spoken, found = utterances(Path(scratch)), {}
        lines = list(HEADER)
        print(*lines, sep="\n")
        for way in arguments.ways.split(","):
            command = [sys.executable, __file__, "--adapter", str(bundle), "--way", way, "--folder", scratch]
            # as `elp predict` does
            environment = {**os.environ, "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "16"}
            done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
            found[way] = json.loads(done.stdout)
            lines.append(_row(way, found, spoken))
            print(lines[-1], flush=True)
    if arguments.markdown:
        arguments.markdown.write_text("\n".join(lines) + "\n")


def _row(way: str, found: dict[str, dict[str, Any]], spoken: list[Utterance]) -> str:
    one, rate, auc, apart = found[way], "—", "—", ["—", "—"]
    if way != "one minute":
        errors = errors_of(one["said"], spoken)
        rate = f"{errors.sum() / sum(len(sentence.text.split()) for sentence in spoken):.2%}"
        auc = f"{confidence_auc(one['said'], one['rated'], spoken):.3f}" if one["rated"] else "—"
        others = [errors_of(found[clips]["said"], spoken) if clips in found else None for clips in CLIPS]
        apart = ["—" if other is None else difference(errors, other, spoken) for other in others]
    times = f"{one['elapsed']:.0f} s | {one['elapsed'] / one['seconds']:.3f}"
    cells = f"{rate} | {' | '.join(apart)} | {times} | {one['peak']:.0f} MB | {auc}"
    return f"| {way} | {one['seconds'] / 60:.1f} min | {cells} |"


if __name__ == "__main__":
    main()

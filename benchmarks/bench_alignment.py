"""One transcript for an hour-long recording: which segments its alignment makes, where they are cut, time and memory.

    python benchmarks/bench_alignment.py [ADAPTER] [--minutes 60] [--markdown FILE]

ADAPTER is the folder that `spoken_adapter.py` makes (it is trained first if it does not exist). The recording is
sentences of espeak-ng, the speakers of the test split in turn, with pauses of 0.4 to 2 s and faint noise between them.
It begins with a greeting, and has in its middle a passage of five sentences, that are not in the transcript; the
transcript has another passage of five sentences that nobody says, and one sentence of other words than are said. The
rest of the transcript is what is said. Each sentence ends with a full stop.

A segment is where it belongs if it has the sound of its words, which are known, and at either end nothing of others:
the error of a boundary is how far it is inside its own words (the sound, without the pause) or beyond the pause.
Alignment is a process of its own, so that peak memory is the measurement's.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from spoken_adapter import DEFAULT_FOLDER, sentences, speak, spoken_adapter, voices

from elp_core.types import SAMPLE_RATE, Seconds

TOLERANCE: Seconds = 0.3
PASSAGE = 5


@dataclass(frozen=True)
class Sentence:
    """A sentence of the recording, of the transcript, or of both."""

    said: str
    written: str
    start: Seconds
    end: Seconds

    @property
    def good(self) -> bool:
        """Whether the transcript has what is said."""
        return self.said == self.written


def make_recording(folder: Path, minutes: float) -> list[Sentence]:
    """Write long.wav, and return its sentences with their true times."""
    from pipelines.demo.espeak import Synthesiser

    synthesiser, rng, speakers = Synthesiser(), np.random.default_rng(11), voices("test")
    known, done, made = iter(sentences(100_000, 11)), 0.0, []
    half = minutes * 30
    faults = {"greeting": 1.0, "left out": half, "not said": half * 0.5, "said otherwise": half * 1.5}
    with soundfile.SoundFile(folder / "long.wav", "w", SAMPLE_RATE, 1, "PCM_16") as file:

        def pause() -> None:
            nonlocal done
            noise = rng.standard_normal(round(rng.uniform(0.4, 2.0) * SAMPLE_RATE)).astype(np.float32) * 0.001
            file.write(noise)
            done += len(noise) / SAMPLE_RATE

        def say(said: str, written: str) -> None:
            nonlocal done
            # two sentences of one voice follow each other, as in a conversation
            wave = speak(synthesiser, said, speakers[len(made) // 2 % len(speakers)], rng)
            file.write(wave)
            made.append(Sentence(said, written, done, done + len(wave) / SAMPLE_RATE))
            done = made[-1].end
            pause()

        pause()
        say(next(known), "")
        while done < minutes * 60:
            if done > faults["left out"]:
                faults["left out"] = np.inf
                for text in itertools.islice(known, PASSAGE):
                    say(text, "")
            if done > faults["not said"]:
                faults["not said"] = np.inf
                made += [Sentence("", text, done, done) for text in itertools.islice(known, PASSAGE)]
            if done > faults["said otherwise"]:
                faults["said otherwise"] = np.inf
                say(next(known), next(known))
            text = next(known)
            say(text, text)
    return made


def align(folder: Path, adapter: Path) -> dict[str, Any]:
    """Return the segments, the seconds and the peak memory of the alignment."""
    from elp_core.backbones import Backbone
    from elp_core.bundle import load_bundle
    from elp_core.inference import Recogniser, VoiceActivityConfig, align_recording

    model = load_bundle(adapter, Backbone.from_pretrained("elp:tiny"))
    started = time.monotonic()
    text = (folder / "long.txt").read_text()
    found = align_recording(folder / "long.wav", text, Recogniser.of(model), voice_activity=VoiceActivityConfig())
    elapsed = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"elapsed": elapsed, "peak": peak, "segments": [vars(one) for one in found]}


def boundary_errors(segment: dict[str, Any], made: list[Sentence], first: int, after: int) -> list[Seconds]:
    """Return by how much the start and the end of a segment of the words of some sentences are wrong."""
    # what is before and behind may be the sound of sentences that the transcript does not have
    own = [one for one in made[first:after] if one.said]
    spoken = [one for one in made if one.said]
    place = spoken.index(own[0])
    before = spoken[place - 1].end if place else 0.0
    behind = spoken[place + len(own)].start if place + len(own) < len(spoken) else np.inf
    start, end = segment["start"], segment["end"]
    return [max(start - own[0].start, before - start, 0.0), max(own[-1].end - end, end - behind, 0.0)]


def figures(found: dict[str, Any], made: list[Sentence], minutes: float) -> list[tuple[str, str]]:
    """Return the rows of the table."""
    written = [one for one in made if one.written]
    ends = list(itertools.accumulate(len(one.written.split()) for one in written))
    starts = {end - len(one.written.split()): place for place, (one, end) in enumerate(zip(written, ends, strict=True))}
    good, right, errors, lost, kept, word = 0, 0, [], 0, 0, 0
    sound = {True: 0.0, False: 0.0}
    for segment in found["segments"]:
        words = len(segment["text"].split())
        first, last = word, word + words
        word = last
        inside = {
            place for place, end in enumerate(ends) if end > first and end - len(written[place].written.split()) < last
        }
        sentences_inside = [written[place] for place in sorted(inside)]
        is_good = segment["finding"] == "good"
        sound[is_good] += segment["end"] - segment["start"]
        if not is_good:
            lost += sum(one.good for one in sentences_inside)
            continue
        good += 1
        kept += sum(not one.good for one in sentences_inside)
        whole = first in starts and last in ends
        if whole and all(one.good for one in sentences_inside):
            places = [made.index(one) for one in sentences_inside]
            errors += boundary_errors(segment, made, places[0], places[-1] + 1)
            right += max(errors[-2:]) <= TOLERANCE
    findings = [one["finding"] for one in found["segments"]]
    bad = {name: findings.count(name) for name in sorted(set(findings) - {"good"})}
    rows = [
        ("recording", f"{minutes:g} min, {sum(bool(one.said) for one in made):,} sentences"),
        ("time", f"{found['elapsed']:.0f} s ({found['elapsed'] / minutes / 60:.3f} of the recording's length)"),
        ("peak memory", f"{found['peak']:.0f} MB"),
        ("segments kept", f"{good:,}, {sound[True] / 60:.1f} min"),
        (f"boundaries within {TOLERANCE} s", f"{right / good:.1%} of the kept segments have both"),
        ("error of a boundary", f"median {np.median(errors):.2f} s, 95 % {np.quantile(errors, 0.95):.2f} s"),
        ("quarantined", ", ".join(f"{count} {name}" for name, count in bad.items()) + f"; {sound[False] / 60:.1f} min"),
        ("wrong sentences kept", f"{kept} of {sum(not one.good for one in written)}"),
        ("right sentences quarantined", f"{lost} of {sum(one.good for one in written):,}"),
    ]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("adapter", type=Path, nargs="?", default=DEFAULT_FOLDER)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--segments", type=Path, help="write the segments and the sentences as JSON")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.folder:
        print(json.dumps(align(arguments.folder, arguments.adapter)))
        return
    adapter = spoken_adapter(arguments.adapter)
    with tempfile.TemporaryDirectory(prefix="elp-bench-") as scratch:
        folder = Path(scratch)
        made = make_recording(folder, arguments.minutes)
        (folder / "long.txt").write_text(" ".join(f"{one.written}." for one in made if one.written))
        command = [sys.executable, __file__, str(adapter), "--folder", scratch]
        # as `elp data add` does
        environment = {**os.environ, "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "16"}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    found = json.loads(done.stdout)
    if arguments.segments:
        arguments.segments.write_text(json.dumps({**found, "sentences": [vars(one) for one in made]}, indent=1))
    rows = figures(found, made, arguments.minutes)
    lines = ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]
    print(*lines, sep="\n")
    if arguments.markdown:
        arguments.markdown.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

"""How good the monitor's estimated error is: a champion's error at a site, without references, against the true one.

    ELP_FSDD=fsdd.tar.gz python benchmarks/monitor_estimate.py [--folder DIR] [--task asr|sic] [--repetitions 200]

Sessions are 10 digits of one speaker of the Free Spoken Digit Dataset. Adapters of `elp:tiny` are trained on takes 26
to 49 with machine noise of 20 dB SNR (3 dB standard deviation over sessions); takes 0 to 13 are 84 sessions that they
never saw. In each repetition a golden set of so many sessions and, of other sessions, a site of 20 are drawn. Golden
sets are *as recorded* (like the training), or *with a noise sweep* (each session between 0 and 30 dB). Sites are like
the golden set, have other levels of the noise, other kinds of noise, or another microphone: none of these is in a
golden set, except for the levels of the sweep. The two numbers of interest: how often the interval contains the true
mean error of the site's sessions, if an estimate is given, and how often it is *not known*. Everything is seeded.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import pickle
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).parent))

from monitor_simulation import _recordings, other_microphone

from elp_core.audio import Waveform
from pipelines.monitoring.block_scores import BlockScores, ScoredClip, score_blocks
from pipelines.monitoring.error_estimate import estimate_error
from pipelines.monitoring.feature_distance import FeatureDistance

Floats = npt.NDArray[np.float64]
SESSION = 10
SITE_SESSIONS = 20
TRAIN_TAKES, VALIDATION_TAKES, HELD_OUT_TAKES = range(26, 50), range(24, 26), range(14)
_USUAL = 300
"""Clips of the training data that the usual features are taken from."""
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
CONDITIONS = ("20 dB", "sweep", "10 dB", "white 10 dB", "babble 10 dB", "microphone", "quiet")


def _number(*parts: object) -> int:
    return int(hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()[:8], 16)


def in_condition(condition: str, name: str, samples: Waveform, voices: Sequence[Waveform]) -> Waveform:
    """Return a recording as a site in a condition hears it; its session decides the level."""
    from elp_core.data.noise import coloured_noise, factory_noise, mix

    _, speaker, take = name.split("_")
    session, seed = f"{speaker}_{take}", _number(name)
    own = np.random.default_rng(_number(session))
    shift, uniform = 3 * float(own.standard_normal()), float(own.random())
    if condition == "quiet":
        return samples
    if condition.startswith("microphone"):
        level = "10 dB" if condition.endswith("dB") else "20 dB"
        return other_microphone(in_condition(level, name, samples, voices))
    if condition == "sweep":
        return mix(samples, factory_noise(len(samples), seed), 30 * uniform)
    kind, level = condition.split()[0], float(condition.split()[-2])
    if kind == "white":
        noise = coloured_noise(len(samples), 0.0, np.random.default_rng(seed))
    elif kind == "babble":
        drawn = np.random.default_rng(seed).choice(len(voices), 6, replace=False)
        noise = np.sum([np.resize(voices[one], len(samples)) for one in drawn], axis=0).astype(np.float32)
    else:
        noise = factory_noise(len(samples), seed)
    return mix(samples, noise, level + shift)


@dataclass(frozen=True, eq=False)
class MeasuredSessions:
    """Held-out sessions, measured in each condition with one champion."""

    clips: dict[str, dict[str, list[ScoredClip]]]
    """Condition, session, clips."""
    errors: dict[str, dict[str, float]]
    """Condition, session, true mean error."""
    usual: list[ScoredClip]
    """Clips of the training data."""


def measure_sessions(archive: Path, task: str, folder: Path) -> MeasuredSessions:
    """Train the champion if it is not in `folder`, and measure every held-out session in every condition."""
    from elp_core.audio import clip_id, encode_flac
    from elp_core.backbones import Backbone
    from elp_core.bundle import load_bundle
    from elp_core.config import TrainConfig
    from elp_core.types import SAMPLE_RATE, Clip, Split
    from pipelines.monitoring.clip_scores import NamedSound, measure_sounds
    from pipelines.monitoring.monitor_slot import clip_errors

    kept = folder / f"measured-{task}.pickle"
    if kept.is_file():
        with kept.open("rb") as file:
            found: MeasuredSessions = pickle.load(file)
        return found
    sounds = dict(_recordings(archive))
    takes = {name: int(name.split("_")[2]) for name in sounds}
    voices = [samples for name, samples in sounds.items() if takes[name] in TRAIN_TAKES]

    def clip(name: str, split: Split, condition: str) -> Clip:
        samples = in_condition(condition, name, sounds[name], voices)
        word = WORDS[int(name[0])]
        text = {"text": word} if task == "asr" else {"label": word}
        audio = encode_flac(samples)
        return Clip(clip_id(samples), audio, len(samples) / SAMPLE_RATE, split, speaker=name.split("_")[1], **text)

    bundle = folder / f"adapter-{task}"
    trained = (bundle / "manifest.json").is_file()
    training = sorted(name for name in sounds if takes[name] in TRAIN_TAKES)
    # by take, so that all speakers and digits are among the first ones
    training.sort(key=lambda name: takes[name])
    known = [clip(name, "train", "20 dB") for name in (training[:_USUAL] if trained else training)]
    if not trained:
        check = [clip(name, "validation", "20 dB") for name in sounds if takes[name] in VALIDATION_TAKES]
        _fit(bundle, task, known, check, TrainConfig(epochs=16 if task == "sic" else 8, patience=0))
    model = load_bundle(bundle, Backbone.from_pretrained("elp:tiny"))
    held = sorted(name for name in sounds if takes[name] in HELD_OUT_TAKES)
    clips: dict[str, dict[str, list[ScoredClip]]] = {}
    errors: dict[str, dict[str, float]] = {}
    for condition in CONDITIONS:
        session_of = {name: "_".join(name.split("_")[1:]) for name in held}
        changed = {name: in_condition(condition, name, sounds[name], voices) for name in held}
        scored = list(measure_sounds(model, (NamedSound(session_of[name], changed[name]) for name in held)))
        wrong = clip_errors(model, [clip(name, "test", condition) for name in held]) or {}
        clips[condition], errors[condition] = {}, {}
        for name, one in zip(held, scored, strict=True):
            clips[condition].setdefault(session_of[name], []).append(one)
        for session, own in clips[condition].items():
            errors[condition][session] = float(np.mean([wrong[one.id] for one in own]))
        print(f"{task}, {condition}: error {np.mean(list(errors[condition].values())):.1%}", flush=True)
    from elp_core.audio import load

    usual = list(measure_sounds(model, (NamedSound("", load(one.audio)) for one in known[:_USUAL])))
    made = MeasuredSessions(clips, errors, usual)
    with kept.open("wb") as file:
        pickle.dump(made, file)
    return made


def _fit(folder: Path, task: str, known: Sequence[object], validation: Sequence[object], config: object) -> None:
    from spoken_adapter import EpochLines

    from elp_core.assemble import build
    from elp_core.backbones import Backbone
    from elp_core.bundle import write_bundle
    from elp_core.config import ElpConfig
    from elp_core.tasks import make_task
    from elp_core.training import train

    model = build(Backbone.from_pretrained("elp:tiny"), ElpConfig(), make_task(task, known), 0)
    train(model, known, validation, config, EpochLines())
    write_bundle(folder, model, {"slot": f"bench/{task}"}, {})


@dataclass(frozen=True)
class EstimateQuality:
    """What estimates of sites in one condition were worth."""

    true: float
    """Mean true error."""
    estimated: float
    """Mean estimate, of the repetitions with one; NaN without any."""
    off: float
    """Mean absolute difference of the two."""
    covered: float
    """Share of given intervals that contain the true mean error of the site's sessions."""
    width: float
    not_known: float
    """Share of repetitions without an estimate."""


def blocks_of(measured: MeasuredSessions, condition: str, distance: FeatureDistance) -> dict[str, BlockScores]:
    """Return the scores of every session in a condition."""
    clips = [clip for own in measured.clips[condition].values() for clip in own]
    names = sorted(clips[0].measurements)
    return {block.block: block for block in score_blocks(clips, SESSION, names, distance).scored}


def estimate_quality(
    measured: MeasuredSessions, golden: str, condition: str, reference: int, repetitions: int, seed: int = 0
) -> EstimateQuality:
    """Return how estimates for sites in a condition compare with the truth, for golden sets in another one."""
    features = [clip.features for clip in measured.usual if clip.features is not None]
    distance = FeatureDistance.fit(features)
    known, site = blocks_of(measured, golden, distance), blocks_of(measured, condition, distance)
    sessions = sorted(known)
    rng = np.random.default_rng(seed)
    true, given, inside, widths = [], [], [], []
    for _ in range(repetitions):
        order = [sessions[place] for place in rng.permutation(len(sessions))]
        own, sent = order[:reference], order[reference : reference + SITE_SESSIONS]
        truth = float(np.mean([measured.errors[condition][session] for session in sent]))
        true.append(truth)
        recent = {name: [site[session].scores[name] for session in sent] for name in site[sent[0]].scores}
        found = estimate_error([known[one] for one in own], [measured.errors[golden][one] for one in own], recent)
        if found.value is not None and found.low is not None and found.high is not None:
            given.append((found.value, truth))
            inside.append(found.low - 1e-9 <= truth <= found.high + 1e-9)
            widths.append(found.high - found.low)
    nothing = float("nan")
    return EstimateQuality(
        float(np.mean(true)),
        float(np.mean([value for value, _ in given])) if given else nothing,
        float(np.mean([abs(value - truth) for value, truth in given])) if given else nothing,
        float(np.mean(inside)) if given else nothing,
        float(np.mean(widths)) if given else nothing,
        1 - len(given) / repetitions,
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "elp-monitor-estimate")
    parser.add_argument("--task", choices=("asr", "sic"), default="asr")
    parser.add_argument("--repetitions", type=int, default=200)
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    measured = measure_sessions(Path(os.environ["ELP_FSDD"]), chosen.task, chosen.folder)
    print("| golden set | blocks | site | true | estimated | off | interval contains it | width | not known |")
    print("|---|---|---|---|---|---|---|---|---|")
    for golden, blocks in (("20 dB", 30), ("20 dB", 60), ("sweep", 30), ("sweep", 60)):
        for condition in CONDITIONS:
            found = estimate_quality(measured, golden, condition, blocks, chosen.repetitions)
            shown = [found.true, found.estimated, found.off, found.covered, found.width, found.not_known]
            cells = " | ".join("–" if np.isnan(value) else f"{value:.1%}" for value in shown)
            print(f"| {golden} | {blocks} | {condition} | {cells} |", flush=True)


if __name__ == "__main__":
    main()

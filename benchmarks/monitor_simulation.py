"""How often the monitor is wrong, and how soon it finds a change.

    python benchmarks/monitor_simulation.py            false alarms in simulated years (a minute on one core)
    ELP_FSDD=fsdd.tar.gz python benchmarks/monitor_simulation.py --real    and changes on real speech

*False alarms*: years without change, looked at daily, for references of several sizes. The law of the ranks does not
depend on the distribution of the scores, so the scores are correlated normal variables; sessions have many clips that
share a session's own level. *Changes*: sessions of 10 digits of one speaker of the Free Spoken Digit Dataset, at a site
with machine noise of 20 dB SNR (3 dB standard deviation over sessions); then the noise is 10 dB louder, or another
microphone is used. Found means: an alarm within 20 sessions (200 clips) after the change. Everything is seeded.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from elp_core.audio import Waveform
from pipelines.monitoring.block_scores import DISTANCE, ScoredClip, score_blocks
from pipelines.monitoring.change_detector import DAYS, ScoreReference, begin_day, observe, start_detector
from pipelines.monitoring.feature_distance import FeatureDistance
from pipelines.monitoring.fleet_alarms import alarm_level, changed_slots

SCORES = 6
"""Scores of an ASR slot: distance, confidence, blank share, SNR, level, duration."""
PROMISE = 0.05
FOUND_CLIPS = 200
SESSION = 10
"""Clips of a session of the real speech."""
MEASURES = ("snr_db", "rms_db", "duration")
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class YearResult:
    """What happened in a year of many slots."""

    alarmed: float
    """Share of slots that alarmed at least once."""
    fleet_days: float
    """Share of days on which e-BH over all slots reported a slot."""


def null_year(
    reference: int, slots: int, *, sessions: int = 3, days: int = DAYS, per_clip: int = 0, seed: int = 0
) -> YearResult:
    """Return the false alarms of a year without change, with `sessions` a day, for references of so many blocks.

    With `per_clip`, each of so many clips of a session counts as a block, as if clips were independent.
    """
    rng = np.random.default_rng(seed)
    correlation = np.linalg.cholesky(0.5 * np.eye(SCORES) + 0.5)

    def blocks(count: int) -> Floats:
        """Return the scores of blocks, [slots, count, SCORES], or of their clips one by one."""
        own = rng.standard_normal((slots, count, 1, SCORES)) @ correlation.T
        within = rng.standard_normal((slots, count, per_clip or 1, SCORES)) * (1.0 if per_clip else 0.0)
        return (own + within).reshape(slots, -1, SCORES)

    known = np.sort(blocks(reference), axis=1)
    state = start_detector(known.shape[1], (slots, SCORES))
    alarmed, fleet_days = np.zeros(slots, dtype=bool), 0
    for _ in range(days):
        state = begin_day(state)
        for scores in np.moveaxis(blocks(sessions), 1, 0):
            state = observe(state, (known < scores[:, None, :]).sum(axis=1))
        evidence = state.evidence
        alarmed |= (evidence >= alarm_level(SCORES)).any(axis=1)
        e_values = (evidence / max(1.0, state.granted)).mean(axis=1)
        fleet_days += bool(changed_slots({str(place): float(value) for place, value in enumerate(e_values)}))
    return YearResult(float(alarmed.mean()), fleet_days / days)


def speaker_year(
    speakers: int, between: float, *, days: int = DAYS, reference: int = 40, slots: int = 100, seed: int = 0
) -> float:
    """Return the share of slots that alarm without change if the same few speakers are a block each on every day.

    `between` is the share of the variance that is between speakers. The reference is an open set: one block for each
    of its own speakers, as independent as that.
    """
    rng = np.random.default_rng(seed)
    correlation = np.linalg.cholesky(0.5 * np.eye(SCORES) + 0.5)

    def drawn(count: int) -> Floats:
        return rng.standard_normal((slots, count, SCORES)) @ correlation.T

    own = np.sqrt(between) * drawn(speakers)
    known = np.sort(drawn(reference), axis=1)
    state, alarmed = start_detector(reference, (slots, SCORES)), np.zeros(slots, dtype=bool)
    for _ in range(days):
        state = begin_day(state)
        for scores in np.moveaxis(own + np.sqrt(1 - between) * drawn(speakers), 1, 0):
            state = observe(state, (known < scores[:, None, :]).sum(axis=1))
        alarmed |= (state.evidence >= alarm_level(SCORES)).any(axis=1)
    return float(alarmed.mean())


def other_microphone(samples: Waveform) -> Waveform:
    """Return the sound through another microphone: no bass under 300 Hz, a resonance of 6 dB at 2.2 kHz, 2 dB less."""
    from scipy.signal import butter, iirpeak, sosfilt, tf2sos

    thin = sosfilt(butter(1, 300, "hp", fs=16_000, output="sos"), samples)
    peak = sosfilt(tf2sos(*iirpeak(2200, 2.0, fs=16_000)), thin)
    return np.clip(0.8 * (thin + peak), -1, 1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Speech:
    """Real sessions, measured at a site and after each change of it."""

    site: list[list[ScoredClip]]
    """Clips of each session before the change."""
    changed: dict[str, list[list[ScoredClip]]]
    """Clips of the same sessions after each change."""


def measure_speech(archive: Path, takes: int = 50) -> Speech:
    """Return the sessions (speaker and take) of the Free Spoken Digit Dataset, `takes` of each speaker."""
    sessions: dict[str, list[tuple[str, Waveform]]] = {}
    for name, samples in _recordings(archive):
        digit, speaker, take = name.split("_")
        if int(take) < takes:
            sessions.setdefault(f"{speaker} {take}", []).append((digit, samples))
    measure = _measuring()
    kinds: dict[str, Callable[[str, str, Waveform], Waveform]] = {
        "site": lambda session, digit, samples: _noisy(session, digit, samples, 20.0),
        "10 dB more noise": lambda session, digit, samples: _noisy(session, digit, samples, 10.0),
        "other microphone": lambda session, digit, samples: other_microphone(_noisy(session, digit, samples, 20.0)),
    }
    found = {
        kind: [
            [measure(session, digit, change(session, digit, samples)) for digit, samples in clips]
            for session, clips in sessions.items()
        ]
        for kind, change in kinds.items()
    }
    return Speech(found.pop("site"), found)


def found_after(
    speech: Speech,
    kind: str,
    reference: int,
    before: int,
    rng: np.random.Generator,
    distance: FeatureDistance,
    known: int,
) -> int | None:
    """Return the number of clips from a change to the alarm; None without one within 200 clips or with one before it.

    The first `known` sessions fitted the distance. The reference has `reference` other ones; `before` sessions without
    change precede the change (drawn again if there are too few). There are 3 sessions a day.
    """
    order = known + rng.permutation(len(speech.site) - known)
    own, rest = order[:reference], order[reference:]
    after = rest[: FOUND_CLIPS // SESSION]
    others = rest[len(after) :]
    quiet = others[:before] if before <= len(others) else rng.choice(others, before)
    names = (*MEASURES, DISTANCE)

    def scored(sessions: Sequence[list[ScoredClip]]) -> list[tuple[str, list[float]]]:
        clips = [clip for session in sessions for clip in session]
        blocks = score_blocks(clips, SESSION, MEASURES, distance).scored
        return [(block.block, [block.scores[name] for name in names]) for block in blocks]

    blocks = scored([speech.site[place] for place in own])
    references = [
        ScoreReference.of(name, [block for block, _ in blocks], [values[column] for _, values in blocks])
        for column, name in enumerate(names)
    ]
    stream = [one for place in quiet for one in scored([speech.site[place]])]
    stream += scored([speech.changed[kind][place] for place in after])
    state = start_detector(reference, (len(names),))
    for place, (block, values) in enumerate(stream):
        state = begin_day(state) if place % 3 == 0 else state
        ranks = [one.rank(value, block) for one, value in zip(references, values, strict=True)]
        state = observe(state, np.array(ranks))
        # the level of an ASR slot, although there is no confidence here
        if (state.evidence >= alarm_level(SCORES)).any():
            return (place + 1 - before) * SESSION if place >= before else None
    return None


def shares_found(
    speech: Speech, kind: str, reference: int, before: int, repetitions: int, seed: int = 0
) -> tuple[float, list[int]]:
    """Return the share of repetitions that found a change within 200 clips, and the clips that each of them took."""
    rng = np.random.default_rng(seed)
    known = len(speech.site) // 3
    mixed = Speech(*_shuffled(speech, rng))
    fitted = [clip.features for session in mixed.site[:known] for clip in session if clip.features is not None]
    distance = FeatureDistance.fit(fitted)
    took = [found_after(mixed, kind, reference, before, rng, distance, known) for _ in range(repetitions)]
    found = [clips for clips in took if clips is not None]
    return len(found) / repetitions, found


def _shuffled(
    speech: Speech, rng: np.random.Generator
) -> tuple[list[list[ScoredClip]], dict[str, list[list[ScoredClip]]]]:
    order = rng.permutation(len(speech.site))
    return [speech.site[place] for place in order], {
        kind: [sessions[place] for place in order] for kind, sessions in speech.changed.items()
    }


def _recordings(archive: Path) -> list[tuple[str, Waveform]]:
    from elp_core.audio import load

    pattern = re.compile(r"(\d_[a-z]+_\d+)\.wav$")
    if archive.is_dir():
        files = sorted(archive.rglob("*.wav"))
        return [(found[1], load(path)) for path in files if (found := pattern.search(path.name))]
    with tarfile.open(archive) as opened:
        members = [(member, found[1]) for member in opened if (found := pattern.search(member.name))]
        contents = [(name, opened.extractfile(member)) for member, name in members]
        return sorted(((name, load(file.read())) for name, file in contents if file), key=lambda pair: pair[0])


def _noisy(session: str, digit: str, samples: Waveform, snr_db: float) -> Waveform:
    from elp_core.data.noise import factory_noise, mix

    seed = int(hashlib.sha256(session.encode()).hexdigest()[:8], 16)
    own = 3 * float(np.random.default_rng(seed).standard_normal())
    return mix(samples, factory_noise(len(samples), seed + int(digit)), snr_db + own)


def _measuring() -> Callable[[str, str, Waveform], ScoredClip]:
    import torch

    from elp_core.audio import clip_id, measure
    from elp_core.backbones import Backbone

    backbone = Backbone.from_pretrained("elp:tiny")

    def measured(session: str, digit: str, samples: Waveform) -> ScoredClip:
        sound = measure(samples)
        with torch.inference_mode():
            features, _ = backbone.features(torch.from_numpy(samples)[None], torch.tensor([len(samples)]))
        values = {name: float(getattr(sound, name)) for name in MEASURES}
        return ScoredClip(clip_id(samples), session, values, features[0].mean(dim=0).numpy())

    return measured


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slots", type=int, default=1_000)
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--real", action="store_true", help="measure changes on real speech (ELP_FSDD)")
    chosen = parser.parse_args()
    print(
        "| reference | sessions a day | slots that alarm in a year | days with a false slot, e-BH |\n|---|---|---|---|"
    )
    for reference, sessions in ((10, 1), (20, 3), (30, 3), (60, 3), (200, 3), (30, 10)):
        found = null_year(reference, chosen.slots, sessions=sessions)
        print(f"| {reference} | {sessions} | {found.alarmed:.1%} | {found.fleet_days:.1%} |", flush=True)
    found = null_year(30, chosen.slots // 10, sessions=1, per_clip=10)
    print(f"| 30, each clip counted as a block | 1 of 10 clips | {found.alarmed:.1%} | {found.fleet_days:.1%} |")
    print("\n| speakers, a block each on every day | variance between speakers | slots that alarm |\n|---|---|---|")
    for speakers, days in ((1, DAYS), (2, DAYS), (4, DAYS), (8, 120), (20, 120)):
        for between in (0.3, 0.6):
            print(f"| {speakers}, {days} days | {between:.0%} | {speaker_year(speakers, between, days=days):.0%} |")
    if not chosen.real:
        return
    speech = measure_speech(Path(os.environ["ELP_FSDD"]))
    print(
        "\n| change | reference | sessions before it | found within 200 clips | median clips |\n|---|---|---|---|---|"
    )
    for kind in speech.changed:
        for reference in (20, 30, 60):
            for before in (0, 6, 20, 60):
                share, took = shares_found(speech, kind, reference, before, chosen.repetitions)
                print(f"| {kind} | {reference} | {before} | {share:.1%} | {np.median(took):.0f} |", flush=True)


if __name__ == "__main__":
    main()

"""Clips from your own recordings, and which people are held out: what a program needs before a training.

>>> from elp_core.audio import encode_flac
>>> from elp_core.testing import tone
>>> files = [encode_flac(tone(200 + 9 * n, 0.5)) for n in range(6)]
>>> clips = [make_clip(file, text="Open!", speaker=f"person {n}") for n, file in enumerate(files)]
>>> clips[0].text, sorted(clip.split for clip in split_by_speaker(clips, test=2, validation=1))
('open', ['test', 'test', 'train', 'train', 'train', 'validation'])
"""

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

from elp_core.audio import clip_id, encode_flac, load
from elp_core.channels import Channel
from elp_core.errors import CorpusError
from elp_core.groups import normal_group
from elp_core.languages import LanguageConfig
from elp_core.names import normal_name
from elp_core.types import SAMPLE_RATE, SPLITS, Clip, Split


def make_clip(
    source: Path | str | bytes,
    *,
    text: str = "",
    speaker: str = "",
    label: str = "",
    condition: str = "",
    group: str = "",
    split: Split = "train",
    language: LanguageConfig | str = "en",
    channel: Channel = "mix",
) -> Clip:
    """Return a recording as a clip: its sound decoded once, its words in the normal form of the language.

    Args:
        source: A sound file or its bytes, decoded as `elp_core.audio.load` does.
        text: What is said, as people write it: case and sentence marks do not matter.
        speaker: Who speaks; the same person must have the same name in all clips.
        label: The class of the clip, for emotion or intent.
        condition: The recording condition, such as ``headset``.
        group: What is known of the speaker and the device, such as ``dialect=kansai; gender=f``.
        split: The use of the clip; `split_by_speaker` sets it for many.
        language: A code such as ``de``, or the configuration of a language.
        channel: Of a file with several: a number, ``mix``, ``left`` …

    Raises:
        AudioError: The sound cannot be decoded, or is too short; the reasons are those of `elp_core.audio.load`.
        ConfigError: The language is unknown, or needs a package that is not installed.
        CorpusError: The split is unknown, the group is not understood, or the text has characters that the language
            does not write.
    """
    if split not in SPLITS:
        raise CorpusError(f"{split!r} is no split, expected one of {', '.join(SPLITS)}")
    spoken = language if isinstance(language, LanguageConfig) else LanguageConfig.parse(language)
    words = spoken.transcript(text)
    if foreign := spoken.resolve().foreign(words, spoken.digits):
        raise CorpusError(
            f"{text!r} has characters that the language {spoken.code} does not write: {' '.join(sorted(foreign))}; "
            "spell them out, or name the language of the recording"
        )
    samples = load(source, channel)
    return Clip(
        id=clip_id(samples),
        audio=encode_flac(samples),
        duration=len(samples) / SAMPLE_RATE,
        split=split,
        text=words,
        speaker=normal_name(speaker),
        label=normal_name(label),
        condition=normal_name(condition),
        path="" if isinstance(source, bytes) else Path(source).name,
        group=normal_group(group),
    )


def split_by_speaker(clips: Sequence[Clip], *, test: int, validation: int = 1) -> list[Clip]:
    """Return the clips with the split of their speaker, in their order: nobody is in two splits.

    The speakers with the lowest `split_place` are for the test, the next ones for the validation, all others for the
    training. So the choice is the same at every run, and depends on the names only.

    Args:
        clips: Each with its speaker.
        test: Number of people that the adapter is tested on; nothing else sees their clips.
        validation: Number of people on whom the training chooses its best epoch.

    Raises:
        CorpusError: A clip has no speaker, a number is under 1, or nobody is left for the training.
    """
    nameless = sum(not clip.speaker for clip in clips)
    if nameless:
        raise CorpusError(f"clips without a speaker: {nameless} of {len(clips)}; name who speaks in each")
    people = sorted({clip.speaker for clip in clips}, key=lambda name: (split_place(name), name))
    if test < 1 or validation < 1 or test + validation >= len(people):
        raise CorpusError(
            f"{len(people)} speakers cannot be divided into {test} for test, {validation} for validation and one or "
            "more for training; hold out fewer people, or record more"
        )
    of: dict[str, Split] = {}
    for place, name in enumerate(people):
        of[name] = "test" if place < test else "validation" if place < test + validation else "train"
    return [dataclasses.replace(clip, split=of[clip.speaker]) for clip in clips]


def split_place(key: str) -> float:
    """Return the place of a speaker or a clip among all, in [0, 1): the lowest are for the test.

    It is the SHA-256 of the name read as a number, so that new data never moves what is placed.
    """
    digest = hashlib.sha256(f"split:{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64

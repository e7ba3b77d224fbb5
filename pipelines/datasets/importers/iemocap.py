"""IEMOCAP: ``Session<1..5>/sentences/wav/<dialogue>/<utterance>.wav`` with ``dialog/EmoEvaluation`` and transcriptions.

Four classes: ang, hap+exc, sad, neu (5,531 utterances); other labels are outside both protocols and are not taken.

- ``leave-one-session-out``: session `fold` is the test split, the next session validation; no speaker is in two splits.
- ``random-folds``: what the code of the ELP paper's authors does (KFold over utterances, 5 folds, shuffled, seed 42).
  Speakers are in training and test alike, so its figures are for known speakers. That code reads files in the order of
  the file system; here they are sorted by name. It trains on all of the other folds; here a tenth of them validates.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from elp_core.types import Split
from pipelines.datasets.delivery import Importer, SourceClip
from pipelines.datasets.format_option import FormatOption
from pipelines.datasets.importers.corpus_files import CorpusReader

CLASSES = {"ang": "ang", "hap": "hap+exc", "exc": "hap+exc", "sad": "sad", "neu": "neu"}
"""The classes of the four-class protocols, by the label of the corpus."""
FOLDS = 5
_SEED = 42
_SESSIONS, _RANDOM = "leave-one-session-out", "random-folds"
_EVALUATION = re.compile(r"\[[\d.]+ - [\d.]+\]\t(Ses0[1-5][FM]_\w+_[FM]\d{3})\t([a-z]{3})\t")
_WORDS = re.compile(r"(Ses0[1-5][FM]_\w+_[FM]\d{3}) \[[\d.]+-[\d.]+\]: (.*)")


def iemocap_clips(source: Path, protocol: str = _SESSIONS, fold: str = "1") -> Iterator[SourceClip]:
    """Yield the utterances of the four classes, by session and dialogue, with the splits of a protocol's fold."""
    reader = CorpusReader(source, IEMOCAP.expects)
    yield from reader.checked(_clips(reader, protocol, int(fold)))


def _clips(reader: CorpusReader, protocol: str, fold: int) -> Iterator[SourceClip]:
    utterances = [found for number in range(1, FOLDS + 1) for found in _session(reader, number)]
    sessions: dict[int, Split] = {fold: "test", fold % FOLDS + 1: "validation"}
    drawn = random_folds(len(utterances), fold)
    for position, (session, audio, label, text) in enumerate(utterances):
        name = audio.stem
        yield reader.clip(
            audio,
            text=text,
            # the letter of the turn is the voice; that of the dialogue is who wore the markers
            speaker=f"{name[:5]}{name.rsplit('_', 1)[1][0]}",
            label=CLASSES[label],
            group=f"gender={name.rsplit('_', 1)[1][0].lower()}",
            split=drawn[position] if protocol == _RANDOM else sessions.get(session, "train"),
        )


def _session(reader: CorpusReader, number: int) -> Iterator[tuple[int, Path, str, str]]:
    folder = _top(reader.source) / f"Session{number}"
    # a release of the corpus has copies of these files made by macOS, which are no text
    tables = sorted(path for path in (folder / "dialog" / "EmoEvaluation").glob("Ses*.txt"))
    if not tables:
        reader.fault(folder / "dialog" / "EmoEvaluation", "there is no evaluation file Ses*.txt")
    for table in tables:
        words = dict(_transcripts(reader, folder / "dialog" / "transcriptions" / table.name))
        for line, text in reader.lines(table):
            if (match := _EVALUATION.match(text)) and match[2] in CLASSES:
                audio = folder / "sentences" / "wav" / match[1].rsplit("_", 1)[0] / f"{match[1]}.wav"
                if found := reader.named(audio, table, line):
                    yield number, found, match[2], words.get(match[1], "")


def _transcripts(reader: CorpusReader, path: Path) -> Iterator[tuple[str, str]]:
    # emotion needs no words: a release without transcriptions is whole
    for _, line in reader.lines(path) if path.is_file() else ():
        if match := _WORDS.match(line):
            yield match[1], match[2].strip()


def random_folds(count: int, fold: int) -> list[Split]:
    """Return the split of each of `count` utterances: the fold (from 1) is test, a tenth of the others validation.

    The folds are those of scikit-learn's ``KFold(5, shuffle=True, random_state=42)``.
    """
    import numpy as np

    order = np.arange(count)
    np.random.RandomState(_SEED).shuffle(order)
    sizes = [count // FOLDS + (number < count % FOLDS) for number in range(FOLDS)]
    start = sum(sizes[: fold - 1])
    test = set(order[start : start + sizes[fold - 1]].tolist())
    rest = [position for position in order.tolist() if position not in test]
    held_out = set(rest[: len(rest) // 10])
    return [
        "test" if position in test else "validation" if position in held_out else "train" for position in range(count)
    ]


def _top(source: Path) -> Path:
    names = ("IEMOCAP_full_release", "IEMOCAP")
    return next((source / name for name in names if (source / name).is_dir()), source)


def _protocol(source: Path, protocol: str = _SESSIONS, fold: str = "1") -> str:
    if protocol == _RANDOM:
        return f"IEMOCAP, random folds over utterances (known speakers), fold {fold} of {FOLDS}, 4 classes"
    return f"IEMOCAP, leave one session out (unknown speakers), session {fold} of {FOLDS}, 4 classes"


IEMOCAP = Importer(
    name="iemocap",
    expects="the folder IEMOCAP_full_release with Session1 to Session5, each with dialog/ and sentences/",
    accepts=lambda source: (_top(source) / "Session1" / "dialog" / "EmoEvaluation").is_dir(),
    read=iemocap_clips,
    options=(
        FormatOption("protocol", f"how splits are made [default: {_SESSIONS}]", (_SESSIONS, _RANDOM)),
        FormatOption("fold", "session or fold that is the test split [default: 1]", tuple("12345")),
    ),
    protocol=_protocol,
)

"""VoxCeleb1: ``wav/<speaker>/<video>/<number>.wav`` (or ``dev/wav`` and ``test/wav``), with its trial lists.

The official lists are VoxCeleb1-O (``veri_test2.txt``: the 40 speakers of the test set), -E (``list_test_all2.txt``)
and -H (``list_test_hard2.txt``); the lists before their correction have no 2 in the name. With -E and -H every speaker
is a test speaker: train on other data, such as VoxCeleb2. The clips of the list are the test split. Of the other
speakers of VoxCeleb1-O, one in fifty is for validation, by the hash of the name: the corpus has no validation speakers.
Gender and nationality are those of ``vox1_meta.csv``, if it is next to the lists.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from elp_core.types import Split
from pipelines.datasets.delivery import Importer, SourceClip
from pipelines.datasets.format_option import FormatOption
from pipelines.datasets.importers.corpus_files import CorpusReader, audio_files, is_file, known_groups, short_gender
from pipelines.datasets.trial_files import TrialNames, read_trial_list

LISTS = {
    "O": ("veri_test2.txt", "voxceleb1_test_v2.txt", "veri_test.txt"),
    "E": ("list_test_all2.txt", "list_test_all.txt"),
    "H": ("list_test_hard2.txt", "list_test_hard.txt"),
}
"""Files of each list, the corrected one first."""
_TEST_SPEAKERS = range(10270, 10310)
"""Of VoxCeleb1-O: ``id10270`` to ``id10309``."""
_VALIDATION_SHARE = 0.02
_META = "vox1_meta.csv"


def voxceleb_clips(source: Path, trials: str = "O") -> Iterator[SourceClip]:
    """Yield the clips of all speakers, by name. A file that the trial list names and that is missing is a fault."""
    reader = CorpusReader(source, VOXCELEB.expects)
    yield from reader.checked(_clips(reader, trials))


def _clips(reader: CorpusReader, trials: str) -> Iterator[SourceClip]:
    chosen = voxceleb_trials(reader.source, trials)
    named = {name for _, *pair in chosen.pairs for name in pair} if chosen else set[str]()
    if chosen is None and trials != "O":
        reader.fault(reader.source, f"the trial list {LISTS[trials][0]} is missing; put it next to the folder wav/")
    tested = {name.split("/")[0] for name in named} if trials != "O" else set()
    found, groups = set[str](), _groups(reader)
    for top in _tops(reader.source):
        for audio in audio_files(top):
            parts = audio.relative_to(top).parts
            if len(parts) != 3:
                reader.fault(audio, "expected <speaker>/<video>/<number>.wav")
                continue
            found.add("/".join(parts))
            yield reader.clip(audio, speaker=parts[0], split=_split(parts[0], tested), group=groups.get(parts[0], ""))
    missing = sorted(named - found)
    for name in missing[:20]:
        reader.fault(reader.source, f"the file {name} of {chosen.name if chosen else ''} does not exist")
    if len(missing) > 20:
        reader.fault(reader.source, f"{len(missing) - 20} more files of the trial list do not exist")


def voxceleb_trials(source: Path, trials: str = "O") -> TrialNames | None:
    """Return the official list of trials, or None if its file is not there."""
    places = [folder for folder in (source, source / "meta", source.parent) if folder.is_dir()]
    files = [folder / name for name in LISTS[trials] for folder in places]
    path = next((path for path in files if path.is_file()), None)
    return read_trial_list(path, f"VoxCeleb1-{trials} ({path.name})") if path else None


def _groups(reader: CorpusReader) -> dict[str, str]:
    """Return gender and nationality of each speaker by ``vox1_meta.csv``, if it is there: a table with tabs."""
    source = reader.source
    places = [folder / _META for folder in (source, source / "meta", source.parent)]
    path = next((place for place in places if is_file(place)), None)
    rows = reader.table(path, "\t", ("VoxCeleb1 ID",)) if path else ()
    return {
        row["VoxCeleb1 ID"].strip(): known_groups(
            reader, path, line, gender=short_gender(row.get("Gender", "")), nationality=row.get("Nationality", "")
        )
        for line, row in rows
        if path
    }


def _split(speaker: str, tested: set[str]) -> Split:
    number = speaker.removeprefix("id")
    if speaker in tested or (number.isdigit() and int(number) in _TEST_SPEAKERS):
        return "test"
    place = int.from_bytes(hashlib.sha256(f"voxceleb:{speaker}".encode()).digest()[:8], "big") / 2**64
    return "validation" if place < _VALIDATION_SHARE else "train"


def _tops(source: Path) -> list[Path]:
    """Return the folders of speakers."""
    places = [source / "wav", source / "dev" / "wav", source / "test" / "wav", source]
    found = [place for place in places if place.is_dir() and any(place.glob("id1[0-9][0-9][0-9][0-9]"))]
    return found[:-1] if len(found) > 1 and found[-1] == source else found


def _protocol(source: Path, trials: str = "O") -> str:
    return "VoxCeleb1" if voxceleb_trials(source, trials) else "VoxCeleb1, all pairs of the test speakers (no list)"


VOXCELEB = Importer(
    name="voxceleb",
    expects="the folder of VoxCeleb1 with wav/id10001 … and veri_test2.txt (list_test_all2.txt, list_test_hard2.txt)",
    accepts=lambda source: bool(_tops(source)),
    read=voxceleb_clips,
    options=(FormatOption("trials", "official list: VoxCeleb1-O, -E or -H [default: O]", tuple(LISTS)),),
    protocol=_protocol,
    trials=voxceleb_trials,
)

"""Sources of the corpus's clips, with speakers and licences."""

from __future__ import annotations

import os
import tarfile
from dataclasses import dataclass
from pathlib import Path

from tiny.packages import PACKAGES, Unpacked, unpack
from tiny.settings import RecipeError

FSDD_VARIABLE = "ELP_FSDD"


@dataclass(frozen=True)
class Clip:
    """A recorded file."""

    path: Path
    source: str
    speaker: str


@dataclass(frozen=True)
class Source:
    """A named body of recordings."""

    name: str
    version: str
    licence: str
    clips: tuple[Clip, ...]


def _speaker(package: str, path: Path) -> str:
    """Name the voice: the prompt set's folder, the alphabet's language, the game's role (`level-ROLE-line.ogg`)."""
    parts = path.parts
    if package.startswith("asterisk-core") or package.endswith("-wav"):
        return parts[parts.index("sounds") + 1]
    if package == "klettres-data":
        return f"klettres/{parts[parts.index('klettres', parts.index('share')) + 1]}"
    if package.startswith("fillets"):
        tokens = path.stem.split("-")
        role = tokens[1] if len(tokens) > 1 and tokens[1] in ("m", "v") else f"other/{parts[-3]}"
        return f"{package}/{role}"
    return package


def from_package(unpacked: Unpacked) -> Source:
    """List the clips of an unpacked package.

    Raises:
        RecipeError: The package has none in the expected place.
    """
    name = unpacked.package.name
    clips = tuple(Clip(p, name, _speaker(name, p.relative_to(unpacked.root))) for p in unpacked.clips())
    if not clips:
        raise RecipeError(f"{name} {unpacked.version} holds no audio at {unpacked.package.patterns}")
    return Source(name, unpacked.version, unpacked.package.licence, clips)


def fsdd_folder(work: Path) -> Path:
    """Find FSDD's recordings through `$ELP_FSDD` (a folder or the .tar.gz), unpacked below `work` if need be.

    Raises:
        RecipeError: The variable is not set, or its path has no recordings of FSDD.
    """
    given = Path(os.environ.get(FSDD_VARIABLE) or "/nonexistent")
    if given.is_file():
        with tarfile.open(given) as archive:
            # Python 3.11.0 to 3.11.3 have no filters
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            archive.extractall(work / "fsdd")
        given = work / "fsdd"
    for folder in (given, given / "recordings"):
        if next(folder.glob("*_*_*.wav"), None):
            return folder
    raise RecipeError(
        f"no recordings of the Free Spoken Digit Dataset at {given}; set {FSDD_VARIABLE} to its folder or .tar.gz "
        "(github.com/Jakobovski/free-spoken-digit-dataset)"
    )


def fsdd(work: Path, first_take: int) -> Source:
    """List FSDD's takes from `first_take` on (0-4 are its test split, 5-9 serve as validation)."""
    clips = []
    for path in sorted(fsdd_folder(work).glob("*_*_*.wav")):
        _digit, speaker, take = path.stem.split("_")
        if int(take) >= first_take:
            clips.append(Clip(path, "fsdd", f"fsdd/{speaker}"))
    return Source("fsdd", f"takes {first_take}-49", "CC-BY-SA-4.0", tuple(clips))


def recorded(work: Path, first_take: int) -> list[Source]:
    """Return every source of recorded speech, fetched and unpacked below `work`."""
    work.mkdir(parents=True, exist_ok=True)
    return [*(from_package(unpack(p, work)) for p in PACKAGES), fsdd(work, first_take)]

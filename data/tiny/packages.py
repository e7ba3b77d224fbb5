"""Get speech from Debian packages: fetched without root, unpacked, never installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tiny.settings import RecipeError

DEBS_VARIABLE = "ELP_PRETRAINING_DEBS"
"""Environment variable: a folder of packages downloaded earlier."""


@dataclass(frozen=True)
class SpeechPackage:
    """A package with speech in it."""

    name: str
    licence: str
    patterns: tuple[str, ...]
    """Globs below the unpacked package."""


_ASTERISK = ("usr/share/asterisk/sounds/**/*.wav",)
_GSM = ("usr/share/asterisk/sounds/**/*.gsm",)
_FILLETS = ("usr/share/games/fillets-ng/sound/*/*/*.ogg", "usr/share/games/fillets-ng/sound/share/*/*/*.ogg")

PACKAGES = (
    SpeechPackage("asterisk-core-sounds-en-wav", "CC-BY-SA-3.0", _ASTERISK),
    SpeechPackage("asterisk-core-sounds-es-wav", "CC-BY-SA-3.0", _ASTERISK),
    SpeechPackage("asterisk-core-sounds-fr-wav", "CC-BY-SA-3.0", _ASTERISK),
    SpeechPackage("asterisk-core-sounds-it-wav", "CC-BY-SA-3.0", _ASTERISK),
    SpeechPackage("asterisk-core-sounds-ru-wav", "CC-BY-SA-3.0", _ASTERISK),
    SpeechPackage("asterisk-prompt-it-menardi-wav", "CC-BY-SA-3.0", _ASTERISK),
    SpeechPackage("asterisk-prompt-es-co", "GPL-2", _GSM),
    SpeechPackage("asterisk-prompt-fr-armelle", "BSD-3-Clause", _GSM),
    SpeechPackage("klettres-data", "GPL-2+", ("usr/share/klettres/*/*/*.ogg",)),
    SpeechPackage("fillets-ng-data-cs", "GPL-2", _FILLETS),
    SpeechPackage("fillets-ng-data-nl", "GPL-2", _FILLETS),
)


@dataclass(frozen=True)
class Unpacked:
    """An unpacked package."""

    package: SpeechPackage
    version: str
    root: Path

    def clips(self) -> list[Path]:
        """Return the audio files, sorted, each once (packages contain links)."""
        found = {p.resolve(): p for pattern in self.package.patterns for p in self.root.glob(pattern) if p.is_file()}
        return sorted(p for p in found.values() if "music" not in p.relative_to(self.root).parts)


def _run(*command: str, cwd: Path) -> str:
    try:
        return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError as error:
        raise RecipeError(
            f"{command[0]} is not on this machine; expected a Debian-like system. Download the packages elsewhere "
            f"(apt-get download NAME), and set {DEBS_VARIABLE} to their folder; unpacking needs dpkg-deb"
        ) from error
    except subprocess.CalledProcessError as error:
        raise RecipeError(f"{' '.join(command)} failed ({error.returncode}): {error.stderr.strip()[-400:]}") from error


def fetch(name: str, folder: Path) -> Path:
    """Return the `.deb` of a package: from `$ELP_PRETRAINING_DEBS`, from `folder`, or downloaded into `folder`.

    Raises:
        RecipeError: apt-get is missing or could not fetch the package.
    """
    given = os.environ.get(DEBS_VARIABLE)
    for place in (Path(given) if given else folder, folder):
        if found := sorted(place.glob(f"{name}_*.deb")):
            return found[-1]
    folder.mkdir(parents=True, exist_ok=True)
    _run("apt-get", "download", name, cwd=folder)
    return sorted(folder.glob(f"{name}_*.deb"))[-1]


def unpack(package: SpeechPackage, folder: Path) -> Unpacked:
    """Fetch a package and unpack it below `folder`, again if it was unpacked before.

    Raises:
        RecipeError: The package cannot be fetched or unpacked.
    """
    deb = fetch(package.name, folder / "debs").resolve()
    root = folder / "unpacked" / package.name
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    version = _run("dpkg-deb", "-f", str(deb), "Version", cwd=root).strip()
    _run("dpkg-deb", "-x", str(deb), ".", cwd=root)
    return Unpacked(package, version, root)

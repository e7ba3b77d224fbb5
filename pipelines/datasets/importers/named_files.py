"""Find the files that a manifest names, in whichever spelling, and never outside its folder."""

import functools
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from pipelines.datasets.importers.manifest_text import printable
from pipelines.errors import UsageError
from pipelines.registry.names import normal_name


class NamedFiles:
    """The files below the folder of a manifest, and below a declared root."""

    def __init__(self, folder: Path, root: Path | None = None) -> None:
        self.folder = folder
        self.top = folder.resolve()
        self.root = root
        self._entries = functools.cache(_entries)

    def find(self, name: str) -> Path | str:
        """Return the file that a manifest calls `name`, without links, or a sentence on why there is none.

        A name that Windows wrote, with backslashes, is read, and so is one in another Unicode form than on the disk.
        Case is ignored if only one file fits.
        """
        try:
            return self._find(name)
        except (OSError, ValueError, RuntimeError) as error:
            # a name that is too long, has a zero byte, or is a link to itself
            return f"the file {_short(name)} cannot be opened: {getattr(error, 'strerror', None) or error}"

    def _find(self, name: str) -> Path | str:
        found = self._exact(name) or self._exact(name.strip()) or self._spelt(name.strip())
        if found is None:
            return self._lost(name.strip())
        if isinstance(found, str):
            return found
        if self._top_of(found) is None:
            elsewhere = "" if self.root else ", or name the folder of the audio with --root DIR"
            return (
                f"the file {_short(name)} is outside {self._tops}; a listing may name files of its folder only "
                f"(links are followed: copy what they lead to, with cp -rL{elsewhere})"
            )
        return found

    def name(self, path: Path) -> str:
        """Return the name of a file that was found, relative to the folder."""
        return printable(path.relative_to(self._top_of(path) or self.top).as_posix())

    def _top_of(self, path: Path) -> Path | None:
        """Return the folder that a path, without its links, is below; None if it is below neither."""
        return next((top for top in (self.top, self.root) if top and path.is_relative_to(top)), None)

    @property
    def _tops(self) -> str:
        return f"{self.folder} and {self.root}" if self.root else str(self.folder)

    def _exact(self, name: str) -> Path | None:
        if not name:
            return None
        plain = Path(name).expanduser() if name.startswith("~") else Path(name)
        # an absolute path replaces the folder
        places = [self.folder / plain, *([self.root / plain] if self.root else [])]
        return next((path.resolve() for path in places if path.is_file()), None)

    def _spelt(self, name: str) -> Path | str | None:
        """Return the only file whose name is the same but for backslashes, Unicode form, outer blanks and case."""
        plain = name.replace("\\", "/")
        if not plain or plain.startswith(("/", "~")) or plain[1:3] == ":/":
            return self._exact(plain) if plain.startswith("/") else None
        place = self.folder
        for part in plain.split("/"):
            if part in ("", "."):
                continue
            if part == ".." or (place / part).exists():
                place = place / part
                continue
            fitting = self._entries(place).get(normal_name(part).casefold(), ())
            same = [entry for entry in fitting if normal_name(entry) == normal_name(part)] or list(fitting)
            if len(same) > 1:
                return (
                    f"the file {_short(name)} is one of {', '.join(map(printable, sorted(same)))}; write its exact name"
                )
            if not same:
                return None
            place = place / same[0]
        return place.resolve() if place.is_file() else None

    def _lost(self, name: str) -> str:
        plain = name.replace("\\", "/")
        if plain[1:3] == ":/" or plain.startswith("//"):
            return f"{_short(name)} is a path of a Windows computer; make it relative to the manifest's folder"
        named = self.folder / plain
        if self._top_of(named.resolve()) is None:
            more = "" if self.root else ", or with --root DIR of that one, too"
            return f"the file {_short(name)} is outside {self._tops}; a listing may name files of its folder only{more}"
        return f"the file {_short(name)} does not exist"


def declared_root(name: str) -> Path | None:
    """Return the folder that `--root` names, without links; None if it was not given. UsageError: it is no folder."""
    if not name:
        return None
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise UsageError(f"the root {name!r} is not a folder; name the folder that the absolute paths are in")
    return folder.resolve()


def _entries(folder: Path) -> Mapping[str, list[str]]:
    """Return the names in a folder by their normal form without case."""
    names = defaultdict[str, list[str]](list)
    if folder.is_dir():
        for path in folder.iterdir():
            names[normal_name(path.name).casefold()].append(path.name)
    return names


def _short(name: str) -> str:
    name = printable(name)
    return name if len(name) <= 120 else f"{name[:60]}…{name[-50:]}"

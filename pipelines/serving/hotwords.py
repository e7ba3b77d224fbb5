"""A file of hotwords: one word or expression a line."""

from collections.abc import Callable
from pathlib import Path

from pipelines.errors import UsageError

_MAX_BYTES = 2**20


def read_hotwords(path: Path) -> tuple[str, ...]:
    """Return the lines of a UTF-8 file; empty lines and those that begin with ``#`` are left out.

    A UsageError says why the file cannot be used.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UsageError(f"{path} has over {_MAX_BYTES // 2**20} MiB; hotwords are one word or expression a line")
        lines = path.read_bytes().decode("utf-8-sig").splitlines()
    except OSError as error:
        raise UsageError(f"the hotwords {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"the hotwords {path} are not UTF-8 text (byte {error.start}); save the file as UTF-8"
        ) from error
    found = tuple(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))
    if not found:
        raise UsageError(f"{path} has no hotword; expected one word or expression a line")
    return found


def written_as_transcripts(hotwords: tuple[str, ...], normalise: Callable[[str], str]) -> tuple[str, ...]:
    """Return hotwords in the form of transcripts, each once and in order; a UsageError names those without a letter."""
    forms = {word: normalise(word) for word in hotwords}
    empty = [word for word, form in forms.items() if not form]
    if empty:
        raise UsageError(f"the hotword {empty[0]!r} has no letter that a transcript keeps; leave it out")
    return tuple(dict.fromkeys(forms.values()))

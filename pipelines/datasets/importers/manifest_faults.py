"""The faults of a manifest: one that most lines share is one sentence, and not one for each line."""

import re
from collections.abc import Mapping
from pathlib import Path

from pipelines.datasets.importers.manifest_text import printable
from pipelines.errors import IntakeError

_EACH = 3
"""So many lines with the same kind of fault are listed one by one."""
_VALUES = re.compile(r"'[^']*'|\"[^\"]*\"|[0-9]+")
_MOST = 50
"""Sentences in one refusal."""


class ManifestFaults:
    """Sentences on the lines of the listings of a source."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self._top = source if source.is_dir() else source.parent
        self._by_kind: dict[tuple[Path, str], list[tuple[int, str]]] = {}
        self.count = 0

    def add(self, listing: Path, line: int, sentence: str, value: str = "") -> None:
        """Note a fault; without the `value`, numbers and quotes, the sentence is that of all lines with this cause."""
        sentence = printable(sentence)
        kind = _VALUES.sub("…", sentence.replace(value, "…") if value else sentence)
        self._by_kind.setdefault((listing, kind), []).append((line, sentence))
        self.count += 1

    def raise_any(self) -> None:
        """Raise an IntakeError with all faults that were noted, if there are any."""
        if not self.count:
            return
        sentences = [sentence for found in self._sentences().values() for sentence in found]
        if len(sentences) > _MOST:
            sentences = [*sentences[:_MOST], f"… and {len(sentences) - _MOST} more kinds of fault"]
        raise IntakeError.of_faults(self._source, sentences, self.count)

    def _sentences(self) -> Mapping[tuple[Path, int], list[str]]:
        """Return the sentences by listing and first line, in their order."""
        found: dict[tuple[Path, int], list[str]] = {}
        for (listing, _), faults in self._by_kind.items():
            name = listing.relative_to(self._top)
            shown = faults if len(faults) <= _EACH else faults[:1]
            for line, sentence in shown:
                more = f" (and {len(faults) - 1:,} more lines like it)" if len(faults) > _EACH else ""
                found.setdefault((listing, line), []).append(f"{name}, line {line}: {sentence}{more}")
        return dict(sorted(found.items()))

"""The comparisons of methods that a workspace has (`elp compare`), as far as the reports need them.

A comparison of another release may have more fields; one that lacks what is needed is left out.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.registry.lineage import BackboneName
from pipelines.registry.slot import Slot

_FILE = "compare.json"


@dataclass(frozen=True)
class ComparedMethod:
    """One method on the golden set."""

    value: float
    train_seconds: float
    lower: float | None = None
    upper: float | None = None
    """The interval of `value`; None if it is not known."""


@dataclass(frozen=True)
class PairedDifference:
    """The metric of `method` minus that of `other`; bounds are None if they are not known."""

    method: str
    other: str
    value: float
    lower: float | None
    upper: float | None


@dataclass(frozen=True)
class CurvePoint:
    """The error after some minutes of training audio."""

    minutes: float
    clips: int
    value: float
    tokens: int


@dataclass(frozen=True)
class MeasuredOn:
    """What numbers were measured on: only those of the same data, golden set and backbone are about one adapter."""

    dataset: str
    """Tag of the dataset version."""
    golden: str
    """Tag of the golden set."""
    backbone: BackboneName

    def unlike(self, other: "MeasuredOn") -> tuple[str, ...]:
        """Return the names of this one's data, golden set and backbone that differ from those of another one."""
        own, print_ = self.backbone, self.backbone.fingerprint
        found = [(self.dataset, self.dataset != other.dataset), (self.golden, self.golden != other.golden)]
        found.append((f"{own.id} ({print_[:19]}…)", print_ != other.backbone.fingerprint))
        return tuple(name or "–" for name, differs in found if differs)


@dataclass(frozen=True)
class RecordedComparison:
    """A comparison of methods on one slot."""

    source: str
    """Its folder's name, which is a digest of its content."""
    slot: str
    on: MeasuredOn
    metric: str
    methods: Mapping[str, ComparedMethod]
    differences: tuple[PairedDifference, ...]
    curve_method: str
    curve: tuple[CurvePoint, ...]

    def difference(self, method: str, other: str) -> PairedDifference | None:
        """Return the paired difference of two methods, whichever of them the comparison named first."""
        for one in self.differences:
            if (one.method, one.other) == (method, other):
                return one
            if (one.method, one.other) == (other, method):
                low, high = (None if bound is None else -bound for bound in (one.upper, one.lower))
                return PairedDifference(method, other, -one.value, low, high)
        return None


def workspace_comparisons(state: Path) -> list[RecordedComparison]:
    """Return the comparisons in a workspace's state folder, newest first."""
    files = sorted((state / "comparisons").glob(f"*/{_FILE}"), key=lambda path: (-path.stat().st_mtime, str(path)))
    return [found for path in files if (found := _read(path))]


def comparisons_of(comparisons: list[RecordedComparison], slot: Slot) -> list[RecordedComparison]:
    """Return the comparisons of a slot, newest first."""
    return [one for one in comparisons if one.slot == str(slot)]


def _read(path: Path) -> RecordedComparison | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return RecordedComparison(
            source=path.parent.name,
            on=MeasuredOn(
                str(values["dataset"]),
                # an evaluation protocol is named in brackets
                str(values["golden"]).partition(" (")[0],
                BackboneName(str(values["backbone"]), str(values["fingerprint"])),
            ),
            **{name: str(values[name]) for name in ("slot", "metric", "curve_method")},
            methods={str(one["method"]): _method(one) for one in values["methods"]},
            differences=tuple(_difference(one) for one in values["differences"]),
            curve=tuple(_point(one) for one in values["curve"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _method(values: Mapping[str, Any]) -> ComparedMethod:
    low, high = (None if values.get(name) is None else float(values[name]) for name in ("lower", "upper"))
    return ComparedMethod(float(values["value"]), float(values["train_seconds"]), low, high)


def _difference(values: Mapping[str, Any]) -> PairedDifference:
    low, high = (None if values[name] is None else float(values[name]) for name in ("lower", "upper"))
    return PairedDifference(str(values["method"]), str(values["other"]), float(values["value"]), low, high)


def _point(values: Mapping[str, Any]) -> CurvePoint:
    return CurvePoint(float(values["minutes"]), int(values["clips"]), float(values["value"]), int(values["tokens"]))

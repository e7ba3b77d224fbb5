"""Numbers and names of metrics as people read them in sentences."""

import math
from collections.abc import Mapping


def percent(share: float) -> str:
    """Return a share as a percentage."""
    return "unknown" if not math.isfinite(share) else f"{100 * share:.2f} %"


def points(share: float) -> str:
    """Return a difference of shares in percentage points, signed."""
    return "unknown" if not math.isfinite(share) else f"{100 * share:+.2f} points".replace("-", "−")


def count(number: int, noun: str) -> str:
    """Return ``1 clip``, ``2 clips``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def errors_title(counted: str) -> str:
    """Return the heading of a column with the errors of clips, by what a metric counts.

    >>> errors_title("word"), errors_title("character"), errors_title("clip")
    ('wrong words', 'wrong characters', 'errors')
    """
    return {"word": "wrong words", "character": "wrong characters"}.get(counted, "errors")


def reported_rates(further: Mapping[str, float]) -> dict[str, float]:
    """Return the error rates of transcripts among the further metrics of an evaluation; none of them decides.

    >>> reported_rates({"wer": 0.5, "cer_reading": 0.1, "clips": 80.0})
    {'cer_reading': 0.1, 'wer': 0.5}
    """
    return {name: value for name, value in sorted(further.items()) if name in ("wer", "cer") or name.startswith("cer_")}


def metric_title(metric: str) -> str:
    """Return a metric's name for people.

    >>> metric_title("wer"), metric_title("error_rate"), metric_title("cer_reading")
    ('WER', 'error rate', 'CER (reading)')
    """
    if metric.startswith("cer_"):
        return f"CER ({metric.removeprefix('cer_').replace('_', ' ')})"
    return metric.replace("_", " ") if "_" in metric else metric.upper()

"""Numbers and names of metrics as people read them in sentences."""

import math


def percent(share: float) -> str:
    """Return a share as a percentage."""
    return "unknown" if not math.isfinite(share) else f"{100 * share:.2f} %"


def points(share: float) -> str:
    """Return a difference of shares in percentage points, signed."""
    return "unknown" if not math.isfinite(share) else f"{100 * share:+.2f} points".replace("-", "−")


def shown_bounds(value: float, lower: float, upper: float) -> tuple[float, float]:
    """Return the bounds of an interval of a share as they are shown: from 0 to 1, and never without the value itself.

    An interval is wider than the possible values if little was seen. A word error rate can be above 1.

    >>> shown_bounds(0.1, -0.3, 1.7), shown_bounds(1.2, 0.9, 1.7)
    ((0.0, 1.0), (0.9, 1.2))
    """
    return min(max(0.0, lower), value), max(min(1.0, upper), value)


def count(number: int, noun: str) -> str:
    """Return ``1 clip``, ``2 clips``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def errors_title(counted: str) -> str:
    """Return the heading of a column with the errors of clips, by what a metric counts.

    >>> errors_title("word"), errors_title("character"), errors_title("clip")
    ('wrong words', 'wrong characters', 'errors')
    """
    return {"word": "wrong words", "character": "wrong characters"}.get(counted, "errors")


def metric_title(metric: str) -> str:
    """Return a metric's name for people.

    >>> metric_title("wer"), metric_title("error_rate"), metric_title("cer_reading")
    ('WER', 'error rate', 'CER (reading)')
    """
    if metric.startswith("cer_"):
        return f"CER ({metric.removeprefix('cer_').replace('_', ' ')})"
    return metric.replace("_", " ") if "_" in metric else metric.upper()

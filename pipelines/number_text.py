"""Numbers and names of metrics as people read them in sentences."""

import math
from collections.abc import Mapping

_SHARES = ("wer", "cer", "eer", "error_rate", "accuracy", "macro_f1")
"""Ends of the names of measurements that are shares."""
_SUBJECTS = {
    "wer": "words are wrong",
    "cer": "characters are wrong",
    "eer": "comparisons of voices are decided wrongly",
    "error_rate": "recordings get a wrong answer",
}
_MEANINGS: dict[str, str] = {
    "wer": "word error rate: words that are replaced, missing or added, as a share of the words that were spoken",
    "cer": "character error rate: characters that are replaced, missing or added, as a share of the characters spoken",
    "eer": "equal error rate: wrong decisions if as many strangers are accepted as right speakers refused",
    "error_rate": "error rate: the share of recordings whose answer is wrong",
}
BEFORE = "before_"
"""Begins the name of a measurement that was made before the first training step."""
METRICS = tuple(_MEANINGS)
"""The error rates that can decide."""


def percent(share: float) -> str:
    """Return a share as a percentage."""
    return "unknown" if not math.isfinite(share) else f"{100 * share:.2f} %"


def size_text(size: int) -> str:
    """Return a number of bytes for people.

    >>> size_text(0), size_text(4_321), size_text(12_345_678), size_text(7_000_000_000)
    ('0 B', '4.3 kB', '12.3 MB', '7.0 GB')
    """
    for power, unit in ((12, "TB"), (9, "GB"), (6, "MB"), (3, "kB")):
        if size >= 10**power:
            return f"{size / 10**power:,.1f} {unit}"
    return f"{size} B"


def points(share: float) -> str:
    """Return a difference of shares in percentage points, signed."""
    return "unknown" if not math.isfinite(share) else f"{100 * share:+.2f} points".replace("-", "−")


def shown_bounds(value: float, lower: float, upper: float) -> tuple[float, float]:
    """Return the bounds of an interval of a share as they are shown: from 0 to 1, and never without the value itself.

    For intervals that an assumed distribution gives: they are wider than the possible values if little was seen. Bounds
    of a bootstrap are values that occurred. A word error rate can be above 1; then its upper bound stays.

    >>> shown_bounds(0.1, -0.3, 1.7), shown_bounds(1.2, 0.9, 1.7)
    ((0.0, 1.0), (0.9, 1.7))
    """
    return min(max(0.0, lower), value), upper if value > 1.0 else max(min(1.0, upper), value)


def duration(seconds: float) -> str:
    """Return a length of time.

    >>> duration(8.27), duration(250), duration(11100), duration(187200)
    ('8.3 s', '4 min 10 s', '3 h 05 min', '2 d 4 h')
    """
    # 59.96 s would print as 60.0 s
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def quantity(name: str, value: float) -> str:
    """Return a measurement with its unit, which its name says; a whole number is a count.

    >>> quantity("bundle_bytes", 2587683.0), quantity("trainable_parameters", 646912.0), quantity("wer.cer", 0.0812)
    ('2.59 MB', '646,912', '8.12 %')
    """
    if not math.isfinite(value):
        return "unknown"
    if name.endswith("seconds"):
        return duration(value)
    if name.endswith("bytes"):
        return f"{value / 1e6:,.2f} MB"
    if name.endswith(_SHARES) or "cer_" in name:
        return percent(value)
    return f"{value:,.0f}" if value == round(value) else f"{value:.4f}"


def count(number: int, noun: str, spec: str = ",") -> str:
    """Return a number of things; `spec` is the format of the number: ``d`` in the sentences of verdicts.

    >>> count(1, "clip"), count(1200, "clip"), count(1200, "clip", "d"), count(0, "delivery")
    ('1 clip', '1,200 clips', '1200 clips', '0 deliveries')
    """
    plural = f"{noun[:-1]}ies" if noun.endswith("ry") else f"{noun}s"
    return f"{number:{spec}} {noun if number == 1 else plural}"


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


def in_words(metric: str, share: float, interval: tuple[float | None, float | None] | None = None) -> str:
    """Return an error rate and its interval as a sentence for people who do not know the metric.

    >>> in_words("wer", 0.109, (0.09, 0.131))
    'About 11 of 100 words are wrong (9 to 13).'
    """
    subject = next((words for name, words in _SUBJECTS.items() if metric.startswith(name)), "")
    if not subject or not math.isfinite(share):
        return ""
    if share > 1:
        # 101 of 100 would be read as a mistake
        return f"There are more errors than {subject.partition(' ')[0]}."
    low, high = interval or (None, None)
    within = "" if low is None or high is None else f" ({of_hundred(max(0.0, low))} to {of_hundred(high)})"
    return f"About {of_hundred(share)} of 100 {subject}{within}."


def metric_meaning(metric: str) -> str:
    """Return what a metric counts, for a hover text; empty for one of another task than ours."""
    return next((words for name, words in _MEANINGS.items() if metric.startswith(name)), "")


def of_hundred(share: float) -> str:
    """Return a share as a number of a hundred, whole from 10 up."""
    number = 100 * share
    return f"{number:.0f}" if number >= 9.95 or abs(number - round(number)) < 0.05 else f"{number:.1f}"


def metric_title(metric: str) -> str:
    """Return a metric's name for people.

    >>> metric_title("wer"), metric_title("error_rate"), metric_title("cer_reading")
    ('WER', 'error rate', 'CER (reading)')
    """
    if metric.startswith("cer_"):
        return f"CER ({metric.removeprefix('cer_').replace('_', ' ')})"
    return metric.replace("_", " ") if "_" in metric else metric.upper()

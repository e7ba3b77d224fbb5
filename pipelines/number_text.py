"""Numbers and names of metrics as people read them in sentences."""

import math

_SUBJECTS = {
    "wer": "words are wrong",
    "cer": "characters are wrong",
    "eer": "comparisons of voices are decided wrongly",
    "error_rate": "recordings get a wrong answer",
}
_MEANINGS = {
    "wer": "word error rate: words that are replaced, missing or added, as a share of the words that were spoken",
    "cer": "character error rate: characters that are replaced, missing or added, as a share of the characters spoken",
    "eer": "equal error rate: wrong decisions if as many strangers are accepted as right speakers refused",
    "error_rate": "error rate: the share of recordings whose answer is wrong",
}


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


def in_words(metric: str, share: float, interval: tuple[float | None, float | None] | None = None) -> str:
    """Return an error rate and its interval as a sentence for people who do not know the metric.

    >>> in_words("wer", 0.109, (0.09, 0.131))
    'About 11 of 100 words are wrong (9 to 13).'
    """
    subject = next((words for name, words in _SUBJECTS.items() if metric.startswith(name)), "")
    if not subject or not math.isfinite(share):
        return ""
    low, high = interval or (None, None)
    within = "" if low is None or high is None else f" ({_of_hundred(max(0.0, low))} to {_of_hundred(high)})"
    return f"About {_of_hundred(share)} of 100 {subject}{within}."


def metric_meaning(metric: str) -> str:
    """Return what a metric counts, for a hover text; empty for one of another task than ours."""
    return next((words for name, words in _MEANINGS.items() if metric.startswith(name)), "")


def _of_hundred(share: float) -> str:
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

"""Error rates and gains as sentences for people who do not know the metrics."""

from __future__ import annotations

from pipelines.reporting.measured_gain import MeasuredGain, OtherComparison
from pipelines.reporting.site_report import JudgedAdapter
from pipelines.texts.message_catalogue import Texts
from pipelines.texts.written_numbers import rounded


def things(texts: Texts, metric: str) -> str:
    """Return what a metric counts."""
    if metric.startswith("wer"):
        return texts.say("words")
    if metric.startswith("cer"):
        return texts.say("characters")
    return texts.say("comparisons of voices") if metric.startswith("eer") else texts.say("recordings")


def rate_sentence(texts: Texts, adapter: JudgedAdapter) -> str:
    """Return the error rate of an adapter on its golden set with its interval; what is not known is said."""
    name, verdict = f"v{adapter.version.version}", adapter.verdict
    if verdict is None or verdict.challenger is None:
        return texts.say("Nothing is known yet of the errors of %(name)s: the gate has not measured it.", name=name)
    counted, rate = things(texts, verdict.metric), rounded(texts, 100 * verdict.challenger)
    low, high = verdict.challenger_interval or (None, None)
    if low is None or high is None:
        return texts.say(
            "With %(name)s, about %(rate)s of 100 %(things)s are wrong; how certain this is, is not known.",
            name=name,
            rate=rate,
            things=counted,
        )
    return texts.say(
        "With %(name)s, about %(rate)s of 100 %(things)s are wrong. With a golden set of this size, the true number "
        "may be between %(low)s and %(high)s.",
        name=name,
        rate=rate,
        things=counted,
        low=rounded(texts, 100 * max(0.0, low)),
        high=rounded(texts, 100 * high),
    )


def gain_sentence(texts: Texts, gain: MeasuredGain) -> str:
    """Return a gain and its uncertainty as a sentence."""
    other = _other(texts, gain)
    values = {
        "other": other,
        "things": things(texts, gain.metric),
        "number": rounded(texts, 100 * abs(gain.fewer)),
        "before": rounded(texts, 100 * gain.before),
        "after": rounded(texts, 100 * gain.after),
    }
    if gain.over == "untrained":
        return texts.say(
            "Compared with %(other)s, of 100 %(things)s %(after)s are wrong instead of %(before)s. This was measured "
            "on the validation recordings; how certain it is, is not known.",
            **values,
        )
    if gain.lower is None or gain.upper is None:
        if gain.fewer < 0:
            return texts.say(
                "Compared with %(other)s, of 100 %(things)s %(number)s more are wrong (%(after)s instead of "
                "%(before)s); how certain this is, is not known.",
                **values,
            )
        return texts.say(
            "Compared with %(other)s, of 100 %(things)s %(number)s fewer are wrong (%(after)s instead of "
            "%(before)s); how certain this is, is not known.",
            **values,
        )
    return _bounded(texts, gain, values, gain.lower, gain.upper)


def other_comparison_sentence(texts: Texts, other: OtherComparison | None) -> str:
    """Return why the gain over the same model without an adapter is not known."""
    if other is None:
        return texts.say("The gain over the same model without an adapter was not measured:")
    if other.trained:
        return texts.say(
            "The gain over the same model without an adapter was not measured for this adapter: the newest comparison "
            "trained one with %(rate)s errors in 100 %(things)s, so its settings were others.",
            rate=rounded(texts, 100 * other.trained.after),
            things=things(texts, other.trained.metric),
        )
    return texts.say(
        "The gain over the same model without an adapter was not measured for this adapter: the newest comparison is "
        "of %(measured)s, the adapter of %(present)s.",
        measured=", ".join(other.measured),
        present=", ".join(other.present),
    )


def _bounded(texts: Texts, gain: MeasuredGain, values: dict[str, str], lower: float, upper: float) -> str:
    low, high = sorted((abs(lower), abs(upper)))
    bounds = {"low": rounded(texts, 100 * low), "high": rounded(texts, 100 * high)}
    if lower > 0:
        return texts.say(
            "Compared with %(other)s, of 100 %(things)s %(number)s fewer are wrong (%(after)s instead of "
            "%(before)s). With a golden set of this size, it may be between %(low)s and %(high)s fewer.",
            **values,
            **bounds,
        )
    if upper < 0:
        return texts.say(
            "Compared with %(other)s, of 100 %(things)s %(number)s more are wrong (%(after)s instead of "
            "%(before)s). With a golden set of this size, it may be between %(low)s and %(high)s more.",
            **values,
            **bounds,
        )
    return texts.say(
        "Compared with %(other)s, no clear difference: %(after)s instead of %(before)s of 100 %(things)s are wrong. "
        "With a golden set of this size, it may be from %(more)s more to %(fewer)s fewer.",
        **values,
        more=rounded(texts, 100 * -min(0.0, lower)),
        fewer=rounded(texts, 100 * max(0.0, upper)),
    )


def _other(texts: Texts, gain: MeasuredGain) -> str:
    if gain.over == "frozen":
        return texts.say("the same model without an adapter")
    if gain.over == "former":
        return texts.say("the champion before (%(version)s)", version=gain.other)
    return texts.say("the adapter before its training")

"""The words of the pages in plain words: the glossary, and the texts that appear on hover and focus."""

from dataclasses import dataclass

from pipelines.number_text import METRICS, metric_meaning, metric_title


@dataclass(frozen=True)
class Term:
    """A word and its meaning."""

    word: str
    meaning: str
    """A sentence without a capital letter and a full stop at its ends."""

    @property
    def anchor(self) -> str:
        """Its id on the glossary page."""
        return "term-" + self.word.replace(" ", "-").replace("_", "-")

    @property
    def title(self) -> str:
        """The word as people read it."""
        return metric_title(self.word) if self.word in METRICS else self.word


GLOSSARY: dict[str, tuple[Term, ...]] = {
    "Error rates": (
        *(Term(metric, metric_meaning(metric)) for metric in METRICS),
        Term(
            "interval",
            "the range that has the true rate with 95 % certainty; more test recordings make it narrower",
        ),
        Term("point", "one hundredth: from 12 % to 10 % is 2 points less"),
        Term(
            "condition",
            "the surroundings of a recording, such as a press; each condition is compared separately",
        ),
        Term(
            "normaliser",
            "the rule that gives texts one form; rates under two normalisers are not compared",
        ),
        Term(
            "untrained",
            "before the first training step; its rate on the validation clips shows what training adds",
        ),
    ),
    "Verdicts of the gate": (
        Term("gate", "the comparison of an adapter with the champion on the same recordings, which gives a verdict"),
        Term(
            "passed",
            "certainly within the limit and no worse than the margin allows, and every check passed",
        ),
        Term("failed", "certainly worse than allowed, or a check failed"),
        Term("undecided", "the golden set is too small to be certain, or a check was not possible; the champion stays"),
        Term("not gated", "trained and not measured by the gate yet"),
        Term("margin", "how much worse than the champion an adapter may be, to allow for chance"),
        Term("limit", "the highest error rate that an adapter may have, whatever the champion has"),
        Term(
            "golden set",
            "the pinned test recordings that every adapter of a slot is measured on, and none is trained on",
        ),
        Term(
            "closed set",
            "the test recordings have the speakers of the training data, because the slot serves only them",
        ),
        Term(
            "against an older champion",
            "the verdict compares with a former champion and permits no promotion",
        ),
    ),
    "States of a version": (
        Term("candidate", "trained and registered, without a verdict that lets it replace the champion"),
        Term("challenger", "passed the gate and waits for a decision"),
        Term("champion", "the version in use"),
        Term("retired", "was champion before"),
        Term("rejected", "failed the gate"),
        Term("rolled back", "removed as champion in favour of the one before it"),
        Term("override", "a version that serves for some days without a passed verdict, because two people decided so"),
        Term("refused", "a request that the rules did not permit; it is recorded, and nothing changed"),
        Term(
            "drift",
            "how much the champion's rate has changed between its promotion and a later verdict",
        ),
    ),
    "Parts and records": (
        Term("slot", "one site and one task, such as the speech recognition of plant-a; it has one champion"),
        Term("backbone", "the frozen speech model that all adapters share"),
        Term("adapter", "the small trained part of one slot, a few megabytes instead of a copy of the whole model"),
        Term("dataset version", "the recordings of a slot at one moment; later versions do not change it"),
        Term("lineage", "the signed list of what a version was made from: data, backbone, code, settings"),
        Term("verdict", "the signed result of the gate"),
        Term("evidence", "the file with every answer behind a verdict, from which anyone can decide again"),
        Term("ledger", "the chained list of all events; a changed or removed entry is noticed"),
    ),
}
"""Terms by the heading of their part."""
_TERMS = {term.word: term for terms in GLOSSARY.values() for term in terms}


def find_term(word: str) -> Term | None:
    """Return the term of a word or of a metric, such as ``cer_reading``; None if the glossary has none."""
    return _TERMS.get(word) or next((_TERMS[metric] for metric in METRICS if word.startswith(metric)), None)

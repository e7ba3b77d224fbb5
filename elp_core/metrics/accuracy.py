"""Error rate, accuracies and F1 of a classification of clips."""

from collections.abc import Sequence

import numpy as np

from elp_core.errors import CorpusError
from elp_core.metrics.scores import ClipScores, Evaluation, FloatArray, IntArray, clip_columns, clip_groups
from elp_core.names import normal_name
from elp_core.types import Clip


def confusion(answers: Sequence[str], labels: Sequence[str]) -> tuple[tuple[str, ...], IntArray]:
    """Return the K classes of answers and labels, sorted, and counts int64 [K, K]: a row a label, a column an answer.

    Raises:
        CorpusError: The two lists differ in length.
    """
    if len(answers) != len(labels):
        raise CorpusError(f"{len(answers)} answers for {len(labels)} labels; expected one answer for each label")
    names = tuple(sorted({*answers, *labels}))  # a label can be none of the model's classes
    place = {name: number for number, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), np.int64)
    np.add.at(counts, ([place[label] for label in labels], [place[answer] for answer in answers]), 1)
    return names, counts


def unweighted_accuracy(counts: IntArray) -> float:
    """Return the mean recall of the classes that occur as labels (UA), from `confusion` counts [K, K]; NaN for none."""
    labels = counts.sum(1)
    recalls = counts.diagonal()[labels > 0] / labels[labels > 0]
    return float(recalls.mean()) if len(recalls) else float("nan")


def macro_f1(counts: IntArray) -> float:
    """Return the mean F1 of all K classes, from `confusion` counts [K, K]; a class that only occurs as answer has 0."""
    # 2 TP / (labels + answers) is the harmonic mean of precision and recall; one of the two sums is above 0
    scores: FloatArray = 2 * counts.diagonal() / np.maximum(counts.sum(0) + counts.sum(1), 1)
    return float(scores.mean()) if len(scores) else float("nan")


def evaluate_classes(clips: Sequence[Clip], answers: Sequence[str]) -> Evaluation:
    """Compare one answer for each clip with its label, as names: a wrong answer is one error of one.

    `extra` has ``accuracy``, ``unweighted_accuracy``, ``macro_f1``, ``clips`` and ``classes`` (number of labels).

    Raises:
        CorpusError: There are no clips, or their number differs from that of the answers.
    """
    if not clips:
        raise CorpusError("there are no clips to classify; an error rate needs one or more")
    # bundles of older releases have classes as they were delivered
    labels, answers = tuple(normal_name(clip.label) for clip in clips), [normal_name(answer) for answer in answers]
    _, counts = confusion(answers, labels)
    wrong = np.array([answer != label for answer, label in zip(answers, labels, strict=True)], np.int64)
    scores = ClipScores(
        *clip_columns(clips), wrong, np.ones_like(wrong), tuple(answers), labels, "error_rate", clip_groups(clips)
    )
    extra = {
        "accuracy": 1.0 - float(wrong.mean()),
        "unweighted_accuracy": unweighted_accuracy(counts),
        "macro_f1": macro_f1(counts),
        "clips": float(len(scores)),
        "classes": float((counts.sum(1) > 0).sum()),
    }
    return Evaluation("error_rate", float(wrong.mean()), scores, extra)

"""Tasks: what an adapter is for. A task's module defines head, loss, answers and metric; a new task is a new file.

`elp_core.task_specs` is the table of tasks; `elp_core.task_specs.register` adds a task (docs/reference/tasks.md).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from elp_core.data.trials import TrialList
from elp_core.decoding import DecodeConfig
from elp_core.errors import ConfigError
from elp_core.languages import Metric
from elp_core.task_specs import task_spec
from elp_core.tasks.asr import SpeechRecognition
from elp_core.tasks.asv import SpeakerVerification
from elp_core.tasks.base import Comparing, Task, compares
from elp_core.tasks.classification import EmotionRecognition, IntentClassification
from elp_core.types import Clip


def make_task(name: str, clips: Sequence[Clip], options: Any = None) -> Task:
    """Return a task to train on `clips` (ASV takes its speakers from them, SER and SIC their classes).

    The options are of the task's own class (`TaskSpec.options`); None takes the defaults.

    Raises:
        ConfigError: No task has this name, or the options are another task's.
        CorpusError: The clips lack what the task needs: transcripts inside the alphabet, speakers, labels.
    """
    spec = task_spec(name)
    chosen = spec.options() if options is None else options
    if not isinstance(chosen, spec.options):
        raise ConfigError("task", [f"{name} takes {spec.options.__name__}, got {type(chosen).__name__}"])
    made: Task = spec.load().from_clips(clips, chosen)
    return made


def task_from_json(values: Mapping[str, Any]) -> Task:
    """Return the task that `Task.to_json` described.

    Raises:
        ConfigError: The task or one of its values is missing or unknown.
    """
    spec = task_spec(str(values.get("name")))
    try:
        made: Task = spec.load().from_json(values)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError("task", [f"{values.get('name')}: {type(error).__name__} {error}"]) from error
    return made


def decode_with(task: Task, decode: DecodeConfig) -> Task:
    """Return the same task with another way from letters to transcripts.

    Raises:
        ConfigError: The task writes no transcripts.
    """
    if not isinstance(task, SpeechRecognition):
        raise ConfigError("decode", [f"the task {task.name} writes no transcripts, only asr is decoded"])
    return dataclasses.replace(task, decode=decode)


def decide_by(task: Task, metric: Metric | None) -> Task:
    """Return the same task with another deciding metric; None changes nothing.

    Raises:
        ConfigError: The task writes no transcripts, or the language has no words to count.
    """
    if metric is None:
        return task
    if not isinstance(task, SpeechRecognition):
        raise ConfigError("metric", [f"the task {task.name} has one metric only, asr has wer and cer"])
    if metric == "wer" and not task.language.spaced:
        raise ConfigError("metric", [f"{task.language.name} is written without spaces: it has no wer, expected cer"])
    return dataclasses.replace(task, decides=metric)


def judge_on(task: Task, trials: TrialList) -> Task:
    """Return the same task, which is then evaluated on these trials instead of all pairs of the clips.

    Raises:
        ConfigError: The task is not judged on trials.
    """
    if not isinstance(task, SpeakerVerification):
        raise ConfigError("trials", [f"the task {task.name} is not judged on trials, only asv is"])
    return dataclasses.replace(task, trials=trials)


__all__ = [
    "Comparing",
    "EmotionRecognition",
    "IntentClassification",
    "SpeakerVerification",
    "SpeechRecognition",
    "Task",
    "compares",
    "decide_by",
    "decode_with",
    "judge_on",
    "make_task",
    "task_from_json",
]

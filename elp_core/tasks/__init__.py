"""Tasks: what an adapter is for. One module a task says its head, loss, answers and metric; a new task is a new file.

A module in this package joins by naming its class in `TASKS`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from elp_core.decoding import DecodeConfig
from elp_core.errors import ConfigError
from elp_core.tasks.asr import SpeechRecognition
from elp_core.tasks.asv import SpeakerVerification
from elp_core.tasks.base import Task
from elp_core.types import Clip

TASKS: dict[str, type[SpeechRecognition] | type[SpeakerVerification]] = {
    task.name: task for task in (SpeechRecognition, SpeakerVerification)
}
"""Tasks by name."""


def make_task(name: str, clips: Sequence[Clip]) -> Task:
    """A task fit for training `clips` (ASV takes its speakers from them).

    Raises:
        ConfigError: where no task has this name.
        CorpusError: where the clips lack what the task needs: transcripts inside the alphabet, or speakers.
    """
    return _kind(name).from_clips(clips)


def task_from_json(values: Mapping[str, Any]) -> Task:
    """The inverse of `Task.to_json`.

    Raises:
        ConfigError: where the task or one of its values is missing or unknown.
    """
    kind = _kind(str(values.get("name")))
    try:
        return kind.from_json(values)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError("task", [f"{values.get('name')}: {type(error).__name__} {error}"]) from error


def decode_with(task: Task, decode: DecodeConfig) -> Task:
    """The same task with another way from letters to transcripts.

    Raises:
        ConfigError: where the task writes no transcripts.
    """
    if not isinstance(task, SpeechRecognition):
        raise ConfigError("decode", [f"the task {task.name} writes no transcripts, only asr is decoded"])
    return dataclasses.replace(task, decode=decode)


def _kind(name: str) -> type[SpeechRecognition] | type[SpeakerVerification]:
    if name not in TASKS:
        raise ConfigError("task", [f"{name!r} is no task, expected one of {', '.join(sorted(TASKS))}"])
    return TASKS[name]


__all__ = ["TASKS", "SpeakerVerification", "SpeechRecognition", "Task", "decode_with", "make_task", "task_from_json"]

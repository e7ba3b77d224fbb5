"""The tasks and their specifications, readable without torch.

Four tasks are part of the package. `register` adds another: in a program, by importing the module that calls it; for
the command line and its workers, by naming that module in the entry-point group `GROUP` of an installed distribution.
"""

import functools
import importlib
import importlib.metadata
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from elp_core._ranges import Checked, below, later, positive, within
from elp_core.errors import ConfigError
from elp_core.languages import LanguageConfig, Units

Column = Literal["text", "speaker", "label"]
GROUP = "elp.tasks"
"""Entry points of this group are named like their task and load the module that registers it."""


LAYER_HEADS = ("mhfa", "lap", "mfa")
"""Heads that get the states of all layers and weigh or join them themselves."""


@dataclass(frozen=True)
class RecognitionOptions(Checked):
    """Options of speech recognition."""

    dropout: float = below(0.1)
    """Before the head, while training."""
    width: int = within(256, 1)
    """Dimensions inside the head."""
    dilations: tuple[int, ...] = within((1, 2, 4), 1)
    """Of the head's convolutions, each over 5 frames; without any, each frame is classified alone."""
    language: LanguageConfig = later(LanguageConfig())  # noqa: RUF009 (it is frozen)
    """Normaliser, units and deciding metric."""
    units: Units | None = later(None)  # noqa: RUF009
    """The pinned inventory of the slot; None builds one from the training transcripts."""


@dataclass(frozen=True)
class VerificationOptions(Checked):
    """Options of speaker verification."""

    head: Literal["attentive", "linear", "xvector", "mhfa", "lap", "mfa"] = "attentive"
    """Attentive statistics pooling; the mean over time and one linear layer; TDNN layers and statistics pooling; or a
    pooling that weighs the layers itself."""
    embedding: int = within(192, 1)
    """Dimensions of an embedding."""
    channels: int = within(512, 1)
    """Of the TDNN layers (head ``xvector``)."""
    margin: float = below(0.2, 1.5)
    """Additive angular margin of the loss, in radians."""
    scale: float = positive(30.0)
    """Scale of the loss's cosines."""
    dropout: float = below(0.1)
    """Before the embedding, while training."""
    score_norm: Literal["none", "adaptive"] = "none"
    """``adaptive``: scores by adaptive S-norm, the training speakers as cohort."""
    cohort: int = within(200, 2)
    """Number of most similar speakers that the adaptive S-norm takes from the cohort."""
    operating_point: Literal["eer", "min_dcf"] = "eer"
    """Which threshold of the validation trials decides later; `min_dcf` accepts few impostors."""
    attention_heads: int = within(8, 1, later=True)
    """Of the heads ``mhfa`` and ``lap``."""
    pooled_width: int = within(128, 1, later=True)
    """Dimensions of the frames that the heads ``mhfa`` and ``lap`` pool over time."""


@dataclass(frozen=True)
class ClassificationOptions(Checked):
    """Options of the classification of whole clips (emotion, intent)."""

    dropout: float = below(0.1)
    """Before the head, while training."""
    head: Literal["mean", "mhfa", "lap", "mfa"] = later("mean")
    """The mean over time and a linear layer; or a pooling that weighs the layers itself, and a linear layer."""
    attention_heads: int = within(8, 1, later=True)
    """Of the heads ``mhfa`` and ``lap``."""
    pooled_width: int = within(128, 1, later=True)
    """Dimensions of the frames that the heads ``mhfa`` and ``lap`` pool over time."""

    def other_faults(self) -> list[str]:
        """Return the fault of a head that is unknown."""
        known = ("mean", *LAYER_HEADS)
        return [] if self.head in known else [f"head is {self.head!r}, expected one of {', '.join(known)}"]


@dataclass(frozen=True)
class TaskSpec:
    """The specification of one task, for all code outside the task's own module."""

    name: str
    """As in a slot: lower-case letters and digits."""
    task: str | type[Any]
    """The class, or its address (``module:Class``): the module is loaded when the task is first used."""
    needs: tuple[Column, ...]
    """What a clip must have: a transcript, a speaker, a label."""
    options: type[Any]
    """Frozen dataclass of the task's options, all of them with defaults."""
    limit: float = 0.5
    """Absolute limit of its metric in the gate, if a slot sets none."""
    margin: float = 0.02
    """Non-inferiority margin of its metric in the gate, if a slot sets none."""
    train: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the training that suit it better than the defaults of `TrainConfig`."""
    answer: Literal["text", "vector"] = "text"
    """What it returns for a recording: a text (a transcript, a class), or a vector of numbers (an embedding)."""

    def load(self) -> type[Any]:
        """Return the task's class."""
        if not isinstance(self.task, str):
            return self.task
        module, _, name = self.task.partition(":")
        found: type[Any] = getattr(importlib.import_module(module), name)
        return found


_SPECS: dict[str, TaskSpec] = {}
TASKS: Mapping[str, TaskSpec] = MappingProxyType(_SPECS)
"""The specifications that are registered in this process, by name."""


def register(spec: TaskSpec) -> TaskSpec:
    """Register a task in this process; registering an equal specification again changes nothing.

    Raises:
        ConfigError: The name is not lower-case letters and digits, or another task has it.
    """
    if not (spec.name.isascii() and spec.name.isalnum() and spec.name == spec.name.lower()):
        raise ConfigError("task", [f"{spec.name!r} is no name of a task, expected lower-case letters and digits"])
    known = _SPECS.setdefault(spec.name, spec)
    if known != spec:
        raise ConfigError("task", [f"{spec.name} is {known.task} already; give the new task another name"])
    return known


def task_spec(name: str) -> TaskSpec:
    """Return the specification of a task; an entry point of this name is loaded.

    Raises:
        ConfigError: No task has this name; the message lists the names.
    """
    if name not in _SPECS:
        for entry in importlib.metadata.entry_points(group=GROUP, name=name):
            entry.load()
    if name not in _SPECS:
        raise ConfigError("task", [f"{name!r} is no task, expected one of {', '.join(names())}"])
    return _SPECS[name]


def names() -> list[str]:
    """Return the names of the tasks that are registered or have an entry point, sorted."""
    return sorted(_SPECS.keys() | _installed_names(tuple(sys.path)))


@functools.cache
def _installed_names(path: tuple[str, ...]) -> frozenset[str]:
    """Return the names of the entry points of the packages on a path, looked for once: each package has a file."""
    return frozenset(importlib.metadata.entry_points(group=GROUP).names)


_CLASSES = "elp_core.tasks.classification"
# ASR improves for more epochs than verification needs, and small batches help it
_ASR_TRAIN = {"epochs": 24, "min_steps": 120}
for _spec in (
    TaskSpec("asr", "elp_core.tasks.asr:SpeechRecognition", ("text",), RecognitionOptions, train=_ASR_TRAIN),
    TaskSpec(
        "asv", "elp_core.tasks.asv:SpeakerVerification", ("speaker",), VerificationOptions, 0.25, 0.01, answer="vector"
    ),
    TaskSpec("ser", f"{_CLASSES}:EmotionRecognition", ("label",), ClassificationOptions, 0.5, 0.02),
    TaskSpec("sic", f"{_CLASSES}:IntentClassification", ("label",), ClassificationOptions, 0.25, 0.01),
):
    register(_spec)

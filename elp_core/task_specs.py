"""The kinds of task there are, and what is known of each before torch is loaded.

Four come with the package. Another joins by `register`: in a program, by importing the module that calls it; for the
command line and its workers, by naming that module under the entry-point group `GROUP` of an installed distribution.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from elp_core._ranges import Checked, below, positive, within
from elp_core.errors import ConfigError

Column = Literal["text", "speaker", "label"]
GROUP = "elp.tasks"
"""Entry points of this group are named like their task and load the module that registers it."""


@dataclass(frozen=True)
class RecognitionOptions(Checked):
    """Options of speech recognition."""

    dropout: float = below(0.1)
    """Before the head, while training."""
    width: int = within(256, 1)
    """Dimensions inside the head."""
    dilations: tuple[int, ...] = within((1, 2, 4), 1)
    """Of the head's convolutions, each over 5 frames; none judges each frame by itself."""


@dataclass(frozen=True)
class VerificationOptions(Checked):
    """Options of speaker verification."""

    head: Literal["attentive", "linear", "xvector"] = "attentive"
    """Attentive statistics pooling; the mean over time and one linear layer; or TDNN layers and statistics pooling."""
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
    """Most similar speakers of the cohort that the adaptive S-norm takes."""
    operating_point: Literal["eer", "min_dcf"] = "eer"
    """Which threshold of the validation trials decides afterwards; `min_dcf` lets few impostors in."""


@dataclass(frozen=True)
class ClassificationOptions(Checked):
    """Options of the classification of whole clips (emotion, intent)."""

    dropout: float = below(0.1)
    """Before the head, while training."""


@dataclass(frozen=True)
class TaskSpec:
    """One kind of task. Everything outside the task's own module goes by this."""

    name: str
    """As in a slot: lower-case letters and digits."""
    task: str | type[Any]
    """The class, or where it is (``module:Class``): the module is loaded when the task is first used."""
    needs: tuple[Column, ...]
    """What a clip has to have: a transcript, a speaker, a label."""
    options: type[Any]
    """Frozen dataclass of what the task can be told, all of it with defaults."""
    limit: float = 0.5
    """Absolute limit of its metric in the gate, where a slot sets none."""
    margin: float = 0.02
    """Non-inferiority margin of its metric in the gate, where a slot sets none."""
    train: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the training that fit it better than `TrainConfig`'s own defaults."""

    def load(self) -> type[Any]:
        """The task's class."""
        if not isinstance(self.task, str):
            return self.task
        module, _, name = self.task.partition(":")
        found: type[Any] = getattr(importlib.import_module(module), name)
        return found


_KINDS: dict[str, TaskSpec] = {}
TASKS: Mapping[str, TaskSpec] = MappingProxyType(_KINDS)
"""Kinds that are registered in this process, by name."""


def register(kind: TaskSpec) -> TaskSpec:
    """Make a kind of task known in this process; the same one again is no fault.

    Raises:
        ConfigError: where the name is no name, or another kind has it.
    """
    if not (kind.name.isascii() and kind.name.isalnum() and kind.name == kind.name.lower()):
        raise ConfigError("task", [f"{kind.name!r} is no name of a task, expected lower-case letters and digits"])
    known = _KINDS.setdefault(kind.name, kind)
    if known != kind:
        raise ConfigError("task", [f"{kind.name} is {known.task} already; give the new task another name"])
    return known


def task_spec(name: str) -> TaskSpec:
    """The kind of task with this name; an entry point of this name is loaded.

    Raises:
        ConfigError: naming the kinds there are.
    """
    if name not in _KINDS:
        for entry in importlib.metadata.entry_points(group=GROUP, name=name):
            entry.load()
    if name not in _KINDS:
        raise ConfigError("task", [f"{name!r} is no task, expected one of {', '.join(names())}"])
    return _KINDS[name]


def names() -> list[str]:
    """Names of the kinds that are registered or have an entry point, sorted."""
    return sorted(_KINDS.keys() | importlib.metadata.entry_points(group=GROUP).names)


for _kind in (
    # letters keep getting better when verification has long learned its speakers, and small batches reach further
    TaskSpec(
        "asr",
        "elp_core.tasks.asr:SpeechRecognition",
        ("text",),
        RecognitionOptions,
        train={"epochs": 24, "min_steps": 120},
    ),
    TaskSpec("asv", "elp_core.tasks.asv:SpeakerVerification", ("speaker",), VerificationOptions, 0.25, 0.01),
    TaskSpec("ser", "elp_core.tasks.ser:EmotionRecognition", ("label",), ClassificationOptions, 0.5, 0.02),
    TaskSpec("sic", "elp_core.tasks.sic:IntentClassification", ("label",), ClassificationOptions, 0.25, 0.01),
):
    register(_kind)

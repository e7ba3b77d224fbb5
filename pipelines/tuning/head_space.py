"""The part of the search space that is the head of a task: its kind, its sizes, and its depth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from elp_core.config import to_dict
from elp_core.task_specs import ClassificationOptions, RecognitionOptions, VerificationOptions

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution, IntDistribution

Params = dict[str, Any]
"""A point of the space: values by the names of `WORDS`."""

_SIZES = {
    "head_width_log2": ("width", 32),
    "embedding_log2": ("embedding", 32),
    "channels_log2": ("channels", 32),
    "pooled_width_log2": ("pooled_width", 16),
    "attention_heads_log2": ("attention_heads", 1),
}
"""The option of a head that each searched size is, and its smallest value."""
_POOLING = ("pooled_width_log2", "attention_heads_log2")
_SIZES_OF_HEAD = {"xvector": ("channels_log2",), "mhfa": _POOLING, "lap": _POOLING}
"""Sizes that only one kind of head has."""
HEAD_SHRINKING = (*_SIZES, "head_depth")


def head_ranges(task: Any) -> dict[str, BaseDistribution]:
    """Return the ranges of what is searched of the head that the options of a task have."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    ranges: dict[str, BaseDistribution] = {
        name: step_range(getattr(task, _SIZES[name][0]), _SIZES[name][1]) for name in _sizes_of(task)
    }
    if isinstance(task, RecognitionOptions):
        ranges["head_depth"] = IntDistribution(min(1, len(task.dilations)), len(task.dilations))
    elif len(kinds := head_kinds(task)) > 1:
        ranges["head"] = CategoricalDistribution(kinds)
    return ranges


def head_kinds(task: Any) -> tuple[str, ...]:
    """Return the present kind of head and the simple ones, the one with the fewest parameters last; empty for none.

    A head that weighs the layers itself is searched only if the slot has one.
    """
    simple = {VerificationOptions: ("attentive", "linear"), ClassificationOptions: ("mean",)}.get(type(task), ())
    return simple if not simple or task.head in simple else (task.head, *simple)


def present_head(task: Any) -> Params:
    """Return the point of the present head."""
    point: Params = {name: step_of(getattr(task, _SIZES[name][0])) for name in _sizes_of(task)}
    if isinstance(task, RecognitionOptions):
        point["head_depth"] = len(task.dilations)
    elif len(head_kinds(task)) > 1:
        point["head"] = task.head
    return point


def head_options(task: Any, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a point's head that differ from the present ones; sizes of another kind of head stay."""
    kind = params.get("head", getattr(task, "head", ""))
    idle = _SIZES_OF_HEAD.get(getattr(task, "head", ""), ()) if kind != getattr(task, "head", "") else ()
    names = [name for name in _sizes_of(task) if name not in idle]
    changed: dict[str, Any] = {_SIZES[name][0]: size_at(params[name], getattr(task, _SIZES[name][0])) for name in names}
    if isinstance(task, RecognitionOptions):
        changed["dilations"] = list(task.dilations[: params["head_depth"]])
    elif kind:
        changed = {"head": kind, **changed}
    present = to_dict(task) if changed else {}
    # a later option is left out at its default
    return {name: value for name, value in changed.items() if present.get(name, getattr(task, name)) != value}


def step_range(present: int, smallest: int) -> IntDistribution:
    """Return the exponents of the sizes from the smallest one, or the present one, to the present one."""
    from optuna.distributions import IntDistribution

    return IntDistribution(step_of(min(present, smallest)), step_of(max(present, smallest)))


def step_of(size: int) -> int:
    """Return the exponent of the nearest power of two that is not smaller."""
    return math.ceil(math.log2(size))


def size_at(exponent: int, present: int) -> int:
    """Return two to the power of an exponent; the one of the present size stands for that size itself."""
    return present if exponent == step_of(present) else int(2**exponent)


def _sizes_of(task: Any) -> tuple[str, ...]:
    usual = {RecognitionOptions: ("head_width_log2",), VerificationOptions: ("embedding_log2",)}.get(type(task), ())
    return (*usual, *_SIZES_OF_HEAD.get(getattr(task, "head", ""), ()))

"""Start the head of a recogniser from the head of another one that writes some of its units."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import nn

from elp_core.errors import ConfigError
from elp_core.languages import BLANK
from elp_core.tasks.asr import SpeechRecognition
from elp_core.tasks.base import Task

_ROWS = ("letters.weight", "letters.bias")
"""The tensors of `LetterHead` that have one row for each output."""


class Headed(Protocol):
    """A model with a task and its head, such as `ElpModel`."""

    task: Task
    head: nn.Module


@torch.no_grad()
def start_head_from(model: Headed, known: Headed) -> tuple[str, ...]:
    """Copy a known head into the head of `model`, and return the units of `model` that keep their own, random rows.

    The rows of the final layer are copied by unit, the blank's too; the other tensors whole, if their shapes agree.
    Other tensors of the two models stay as they are.

    Raises:
        ConfigError: A task writes no transcripts, or the kinds of units differ.
    """
    new, old = model.task, known.task
    if not (isinstance(new, SpeechRecognition) and isinstance(old, SpeechRecognition)):
        raise ConfigError("units", [f"the tasks {new.name} and {old.name} do not both write units, only asr does"])
    if new.units.kind != old.units.kind:
        raise ConfigError("units", [f"units of the kind {new.units.kind} cannot start from the kind {old.units.kind}"])
    places = {symbol: place for place, symbol in enumerate(old.units.symbols, start=1)}
    shared = [(to, places[symbol]) for to, symbol in enumerate(new.units.symbols, start=1) if symbol in places]
    target, source = zip((BLANK, BLANK), *shared, strict=True)
    own, given = model.head.state_dict(), known.head.state_dict()
    for name in own.keys() & given.keys():
        if name in _ROWS and own[name].shape[1:] == given[name].shape[1:]:
            own[name][list(target)] = given[name][list(source)].to(own[name])
        elif own[name].shape == given[name].shape:
            own[name].copy_(given[name])
    return tuple(symbol for symbol in new.units.symbols if symbol not in places)

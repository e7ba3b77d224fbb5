"""Start a model from trained ones: from one adapter, or from the weighted mean of several.

The tensors of the adapter parts are always taken over. The head is taken over if both heads answer the same: for a
recogniser by unit, so that it may have more units; for classes and speakers only if all of them are the same.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from elp_core.errors import ConfigError
from elp_core.model import ElpModel
from elp_core.tasks import SpeechRecognition, Task
from elp_core.tasks.grown_head import start_head_from

_NO_SHAPE = ("threshold", "calibration", "dropout", "margin", "scale", "score_norm", "cohort", "operating_point")
"""Values of a task that give its head no other tensors."""
_COUNTED = ("classes", "speakers")


def head_obstacle(task: Task, parent: Task, *, alone: bool = True) -> str:
    """Return why a head of `task` cannot start from the head of `parent`; empty if it can.

    `alone` is False for a mean of several heads, which needs equal units, too.
    """
    own, given = task.to_json(), parent.to_json()
    if isinstance(task, SpeechRecognition) and isinstance(parent, SpeechRecognition):
        if task.units.kind != parent.units.kind:
            return f"its units are of the kind {parent.units.kind}, here {task.units.kind}"
        if task.units.model != parent.units.model or not (alone or task.units.symbols == parent.units.symbols):
            return "its units differ"
        own, given = ({name: values.get(name) for name in ("width", "dilations")} for values in (own, given))
    differ = [name for name in sorted({*own, *given} - {*_NO_SHAPE}) if own.get(name) != given.get(name)]
    return "; ".join(_difference(name, own.get(name), given.get(name)) for name in differ)


@torch.no_grad()
def start_from(model: ElpModel, parents: Sequence[tuple[ElpModel, float]], *, head: bool = True) -> None:
    """Copy the weighted mean of the parents' tensors into `model`; the weights are used as shares of their sum.

    With `head` False the head keeps its own, random tensors. The order of the parents does not change the result by
    more than rounding; callers that need the same bytes keep one order.

    Raises:
        ConfigError: There is no parent, a configuration differs from that of `model`, or a head cannot be taken over.
    """
    if not parents:
        raise ConfigError("start", ["there is no parent to start from"])
    for parent, _ in parents:
        if parent.config != model.config:
            raise ConfigError("start", ["the configuration of a parent differs from that of the model"])
        if head and (why := head_obstacle(model.task, parent.task, alone=len(parents) == 1)):
            raise ConfigError("start", [f"the head of a parent does not fit: {why}"])
    own = model.state()
    mean = _mean([(parent.state(), weight) for parent, weight in parents])
    taken = {name: mean[name] for name in own if not name.startswith("head.")}
    first = parents[0][0]
    by_unit = head and len(parents) == 1 and isinstance(model.task, SpeechRecognition)
    if head and not by_unit:
        taken |= {name: mean[name] for name in own if name.startswith("head.")}
    model.load_state({**own, **taken})
    if by_unit:
        start_head_from(model, first)


def _mean(parents: Sequence[tuple[Mapping[str, torch.Tensor], float]]) -> dict[str, torch.Tensor]:
    """Return the weighted mean of the tensors that all parents have in one shape."""
    if len(parents) == 1:
        return dict(parents[0][0])
    total = sum(weight for _, weight in parents)
    found: dict[str, torch.Tensor] = {}
    for name, tensor in parents[0][0].items():
        others = [state.get(name) for state, _ in parents]
        if any(other is None or other.shape != tensor.shape for other in others):
            continue
        # in float64: the mean of equal tensors is then that tensor
        parts = [state[name].double() * (weight / total) for state, weight in parents]
        found[name] = torch.stack(parts).sum(dim=0).to(tensor.dtype)
    return found


def _difference(name: str, own: Any, given: Any) -> str:
    if name in _COUNTED and isinstance(own, list) and isinstance(given, list):
        lost, new = len({*given} - {*own}), len({*own} - {*given})
        return f"its {name} differ ({new} are new, {lost} are gone)"
    return f"its {name} is {given!r}, here {own!r}"

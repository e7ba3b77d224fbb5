"""What `elp tune` varies: parts, sizes, layers, rates, dropout and the head of a slot's own configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from elp_core.config import ElpConfig, EncoderAdapterConfig, LayerAdapterConfig, PromptConfig, TrainConfig, to_dict
from elp_core.methods.config import METHODS, method_to_dict
from pipelines.local.settings import SlotSettings
from pipelines.tuning.head_space import (
    HEAD_SHRINKING,
    Params,
    head_kinds,
    head_options,
    head_ranges,
    present_head,
    size_at,
    step_of,
    step_range,
)

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

WORDS = {
    "encoder": "whether there are E-adapters",
    "layer": "whether there are L-adapters",
    "prompt": "whether there is a prompt",
    "norms": "whether the norms are tuned",
    "bottleneck_log2": "the bottleneck of the E-adapters",
    "width_log2": "the width of the L-adapters",
    "layers": "the number of layers",
    "prompt_count": "the length of the prompt",
    "dropout": "the dropout",
    "lr_head": "the learning rate of the head",
    "lr_layer": "the learning rate of the L-adapters",
    "lr_encoder": "the learning rate inside the encoder",
    "head_width_log2": "the width of the head",
    "head_depth": "the depth of the head",
    "embedding_log2": "the size of the embedding",
    "channels_log2": "the channels of the head",
    "pooled_width_log2": "the pooled width of the head",
    "attention_heads_log2": "the attention heads of the head",
    "head": "the kind of the head",
}
"""What people call each searched value."""
RATES = ("lr_head", "lr_layer", "lr_encoder")
RATE_RANGE = 4.0
"""A rate is searched from the present one divided by this to the present one times this."""
SHRINKING = ("width_log2", "bottleneck_log2", "layers", *HEAD_SHRINKING)
"""What is made smaller if a starting point has too many parameters."""
_LONGEST_PROMPT = 16


@dataclass(frozen=True)
class Candidate:
    """A configuration that is tried: what of the slot's settings it replaces."""

    adapter: Mapping[str, Any]
    """The adapter, as `elp_core.methods.method_to_dict` gives it."""
    train: Mapping[str, float]
    """The three learning rates."""
    task: Mapping[str, Any] = field(default_factory=dict)
    """Options of the task that shape the head; without those that stay."""

    def settings(self) -> dict[str, Any]:
        """Return the changed settings of the slot, as `elp.yaml` has them; options that stay are not in it."""
        parts: dict[str, Any] = {"adapter": dict(self.adapter), "train": dict(self.train)}
        return parts | ({"task": dict(self.task)} if self.task else {})

    @property
    def title(self) -> str:
        """Describe the parts and their sizes in a few words."""
        if self.adapter.get("method"):
            return "head only, on the weighted sum of layers"
        named = []
        if encoder := self.adapter["encoder"]:
            named.append(f"E {encoder['bottleneck']}")
        if layer := self.adapter["layer"]:
            named.append(f"L {layer['width']}")
        if prompt := self.adapter["prompt"]:
            named.append(f"P {prompt['count']}")
        if self.adapter["tune_norms"]:
            named.append("norms")
        chosen = next((part["layers"] for part in (layer, encoder) if part and part["layers"]), None)
        layers = f" on layers {', '.join(map(str, chosen))}" if chosen else ""
        shown = [(name, value) for name, value in self.task.items() if name != "dropout"]
        head = "".join(f", head {value}" if name == "head" else f", head {name} {value}" for name, value in shown)
        return (", ".join(named) or "head only") + layers + head


def present_candidate(settings: SlotSettings) -> Candidate:
    """Return the slot's own configuration as a candidate."""
    return Candidate(to_dict(settings.adapter), {name: getattr(settings.train, name) for name in RATES})


def head_only(present: Candidate) -> Candidate:
    """Return a candidate's head without any adapter part, on a learned weighted sum of the layers."""
    return Candidate(method_to_dict(METHODS["weighted-sum"].config), present.train, present.task)


def changed_settings(settings: SlotSettings, candidate: Candidate, *, epochs: int, seed: int) -> dict[str, Any]:
    """Return all settings of a slot, as plain values, with those of the candidate."""
    values = to_dict(settings)
    # for `elp predict` only: it changes no trial
    del values["decode"]
    if not candidate.adapter.get("method"):
        values["adapter"] = dict(candidate.adapter)
    values["train"] |= {**candidate.train, "epochs": epochs, "seed": seed}
    values["task"] |= dict(candidate.task)
    return values


@dataclass(frozen=True)
class SearchSpace:
    """The space around a slot's present settings."""

    settings: SlotSettings
    ranking: tuple[int, ...]
    """The encoder's layers, the one with the largest learned weight first."""

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return the range of each value; every trial has all of them, also those of a part that it switches off."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        usual, train = ElpConfig(), self.settings.train
        present = self.settings.adapter
        encoder, layer = present.encoder or usual.encoder, present.layer or usual.layer
        assert encoder
        assert layer
        ranges: dict[str, BaseDistribution] = {
            **{part: CategoricalDistribution([False, True]) for part in ("encoder", "layer", "prompt", "norms")},
            "bottleneck_log2": step_range(encoder.bottleneck, 8),
            "width_log2": step_range(layer.width, 32),
            "layers": IntDistribution(1, len(self.ranking)),
            "prompt_count": IntDistribution(1, max(_LONGEST_PROMPT, self._prompt), log=True),
            # without steps: the present value need not be a multiple of any
            "dropout": FloatDistribution(0.0, 0.3),
        }
        for name in RATES:
            rate = getattr(train, name)
            ranges[name] = FloatDistribution(rate / RATE_RANGE, rate * RATE_RANGE, log=True)
        return ranges | head_ranges(self.settings.task)

    def candidate(self, params: Mapping[str, Any]) -> Candidate:
        """Return the configuration of a point; rates without any part that they train are the present ones."""
        chosen = tuple(sorted(self.ranking[: params["layers"]]))
        # None is the library's choice: every layer, the last one without an E-adapter
        layers = None if len(chosen) == len(self.ranking) else chosen
        present = self.settings.adapter
        config = ElpConfig(
            _encoder(present, params["bottleneck_log2"], layers) if params["encoder"] else None,
            _layer(present, params["width_log2"], layers) if params["layer"] else None,
            PromptConfig(params["prompt_count"], self._place) if params["prompt"] else None,
            bool(params["norms"]),
            round(params["dropout"], 2),
        )
        rates = {name: float(f"{params[name]:.3g}") for name in RATES}
        train: TrainConfig = self.settings.train
        if not params["layer"]:
            rates["lr_layer"] = train.lr_layer
        if not (params["encoder"] or params["prompt"] or params["norms"]):
            rates["lr_encoder"] = train.lr_encoder
        return Candidate(to_dict(config), rates, head_options(self.settings.task, params))

    def starting_points(self) -> list[Params]:
        """Return the points that are tried first: small versions of the parts that the literature found to help.

        The head stays: after the same epochs, one for ASR with fewer dilations was 11 points worse on words and about
        as good on digits (docs/reference/benchmarks.md). Only a limit on the parameters makes it smaller (`shrunk`).
        """
        base = self._present_values()
        small = {
            "layers": max(1, len(self.ranking) // 2),
            "width_log2": 7,
            "bottleneck_log2": 5,
        }
        parts = (
            {"encoder": True, "layer": True, "prompt": False, "norms": True},
            {"encoder": False, "layer": True, "prompt": False, "norms": True},
            {"encoder": True, "layer": False, "prompt": False, "norms": True},
        )
        ranges = self.distributions()
        return [{name: _within(ranges[name], value) for name, value in (base | small | part).items()} for part in parts]

    def shrunk(self, params: Params, fits: Callable[[Candidate], bool]) -> Params | None:
        """Return a point made smaller, one size after the other, until its configuration fits; None if none does."""
        ranges, point = self.distributions(), dict(params)
        while not fits(self.candidate(point)):
            names = [name for name in SHRINKING if name in point and point[name] > getattr(ranges[name], "low", 0)]
            if not names:
                lightest = head_kinds(self.settings.task)[-1] if "head" in point else None
                return None if point.get("head") == lightest else self.shrunk({**params, "head": lightest}, fits)
            # the size that is farthest above its smallest value
            largest = max(names, key=lambda name: point[name] - getattr(ranges[name], "low", 0))
            point[largest] -= 1
        return point

    def smallest_points(self) -> list[Params]:
        """Return the points without any adapter part and with the smallest head of each kind."""
        ranges, point = self.distributions(), self._present_values()
        point |= {part: False for part in ("encoder", "layer", "prompt", "norms")}
        point |= {name: getattr(ranges[name], "low", 0) for name in SHRINKING if name in point}
        return [point | {"head": kind} for kind in head_kinds(self.settings.task)] if "head" in point else [point]

    def present_point(self) -> Params | None:
        """Return the point of the present configuration; None if it is none of the space."""
        params, ranges = self._present_values(), self.distributions()
        inside = all(_within(ranges[name], value) == value for name, value in params.items())
        return params if inside and self.candidate(params) == present_candidate(self.settings) else None

    @property
    def _prompt(self) -> int:
        return (self.settings.adapter.prompt or PromptConfig()).count

    @property
    def _place(self) -> Any:
        return (self.settings.adapter.prompt or PromptConfig()).place

    def _present_values(self) -> Params:
        adapter, usual, train = self.settings.adapter, ElpConfig(), self.settings.train
        encoder, layer = adapter.encoder or usual.encoder, adapter.layer or usual.layer
        assert encoder
        assert layer
        params: Params = {
            "encoder": adapter.encoder is not None,
            "layer": adapter.layer is not None,
            "prompt": adapter.prompt is not None,
            "norms": adapter.tune_norms,
            "bottleneck_log2": step_of(encoder.bottleneck),
            "width_log2": step_of(layer.width),
            "layers": len(layer.layers or encoder.layers or self.ranking),
            "prompt_count": self._prompt,
            "dropout": adapter.dropout,
            **{name: getattr(train, name) for name in RATES},
        }
        return params | present_head(self.settings.task)


def _encoder(present: ElpConfig, exponent: int, layers: tuple[int, ...] | None) -> EncoderAdapterConfig:
    part = present.encoder or EncoderAdapterConfig()
    return replace(part, bottleneck=size_at(exponent, part.bottleneck), layers=layers)


def _layer(present: ElpConfig, exponent: int, layers: tuple[int, ...] | None) -> LayerAdapterConfig:
    part = present.layer or LayerAdapterConfig()
    return replace(part, width=size_at(exponent, part.width), layers=layers)


def _within(distribution: Any, value: Any) -> Any:
    """Return a value moved into its range."""
    if hasattr(distribution, "choices"):
        return value
    return min(max(value, distribution.low), distribution.high)

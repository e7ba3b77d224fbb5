"""Configuration as frozen dataclasses; `from_dict` refuses unknown keys and lists all faults at once."""

import contextlib
import dataclasses
import functools
import math
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from elp_core._ranges import Checked, below, is_left_out, later, one_of, positive, within
from elp_core.errors import ConfigError

Activation = Literal["gelu", "relu"]
PromptPlace = Literal["prefix", "suffix"]
Precision = Literal["no", "bf16", "fp16"]
Device = Literal["auto", "cpu", "cuda"]
TrainingCondition = Literal["room", "babble", "noise", "clipping", "telephone", "codec", "packet-loss"]
"""The conditions that training can draw; `elp_core.conditions` makes them."""
SweepCondition = Literal["hall", "talker", "traffic", "alarm", "speech-codec", "mp3", "muffled", "bursts", "overdrive"]
"""The families of conditions that training never draws: an evaluation uses them."""

STARTS = ("fresh", "champion", "nearest", "average")
"""Values of `TrainConfig.init`; a version such as ``v3`` is another one."""
_VERSION = re.compile(r"v[1-9][0-9]*")

T = TypeVar("T")


@dataclass(frozen=True)
class EncoderAdapterConfig(Checked):
    """E-adapter: a bottleneck after the feed-forward block (arXiv 2407.21066, section III)."""

    bottleneck: int = positive(256)
    """Width of the bottleneck."""
    layers: tuple[int, ...] | None = None
    """Encoder layers (from 0) that get one; None means every layer but the last."""
    activation: Activation = "gelu"


@dataclass(frozen=True)
class LayerAdapterConfig(Checked):
    """L-adapter: a projection of each layer's output, summed with learned weights (arXiv 2407.21066, section III)."""

    width: int = positive(512)
    """Dimension of the projected frames, which the head processes."""
    layers: tuple[int, ...] | None = None
    """Encoder layers (from 0) that take part; None means all."""
    activation: Activation = "gelu"


@dataclass(frozen=True)
class PromptConfig(Checked):
    """P-adapter: learnable pseudo features joined to the CNN features along time (arXiv 2407.21066, section III)."""

    count: int = positive(5)
    """Number of pseudo features."""
    place: PromptPlace = "prefix"


@dataclass(frozen=True)
class ElpConfig(Checked):
    """Which adapter parts there are, and their sizes; None switches a part off."""

    encoder: EncoderAdapterConfig | None = field(default_factory=EncoderAdapterConfig)
    layer: LayerAdapterConfig | None = field(default_factory=LayerAdapterConfig)
    prompt: PromptConfig | None = field(default_factory=PromptConfig)
    tune_norms: bool = True
    """Train copies of the encoder layers' own layer norms; the backbone's norms do not change."""
    dropout: float = below(0.1)
    """Dropout inside the E- and L-adapters while training."""


@dataclass(frozen=True)
class AugmentConfig(Checked):
    """Augmentation of training clips only. Zero switches a part off."""

    speed: float = within(0.1, 0.0, 0.9)
    """Speed is drawn from 1 - speed … 1 + speed (by resampling, so pitch changes too)."""
    noise_probability: float = within(0.3, 0.0, 1.0)
    """Share of clips that get coloured noise."""
    noise_snr: tuple[float, float] = (5.0, 25.0)
    """Range of the noise's SNR in dB."""
    time_mask: float = within(0.1, 0.0, 1.0)
    """Mean share of each clip's frames hidden in spans (features set to zero)."""
    time_span: int = within(4, 1)
    """Longest span of hidden frames; a frame is 20 ms in the usual backbones."""
    feature_mask: float = within(0.1, 0.0, 1.0)
    """Mean share of feature channels hidden in spans."""
    gain_db: float = within(6.0, 0)
    """Gain is drawn from -gain_db … +gain_db."""
    variants: int = within(4, 0)
    """Copies of each clip, each with its own speed, noise and gain; epochs alternate. 0 draws new ones each epoch."""
    join: float = within(0.3, 0.0, 1.0)
    """Share of clips that are joined to others to make longer utterances, if the task allows it (ASR)."""
    join_clips: int = within(3, 1)
    """Most clips in one joined utterance."""
    margin: float = within(0.0, 0.0, 2.0, later=True)
    """Most seconds of noise at each end of a copy, like the clip's quietest part. Batches are planned without it."""
    conditions: float = within(0.0, 0.0, 1.0, later=True)
    """Share of copies that get one or two of the conditions in `families`, in place of coloured noise."""
    families: tuple[TrainingCondition, ...] = later(typing.get_args(TrainingCondition))
    """The conditions that are drawn: rooms, other voices, noises, and what microphones and lines do."""

    def other_faults(self) -> list[str]:
        """Return the faults of the range of the SNR, of the families, and of a margin or conditions without copies."""
        (low, high), known = self.noise_snr, typing.get_args(TrainingCondition)
        fine = -math.inf < low <= high < math.inf
        faults = [] if fine else [f"noise_snr is {[low, high]}, expected two levels in dB, the lower one first"]
        if not self.families or len(set(self.families)) < len(self.families) or set(self.families) - set(known):
            faults.append(f"families is {list(self.families)}, expected some of {', '.join(known)}, each once")
        if self.variants == 1:
            idle = [name for name in ("margin", "conditions") if getattr(self, name)]
            faults += [f"{name} needs copies, and variants is 1: expected 0, or 2 or more" for name in idle]
        return faults


@dataclass(frozen=True)
class WarmConfig(Checked):
    """How a training continues from other adapters. A training that starts fresh ignores it."""

    epochs: int = positive(3)
    """Most epochs of a start from the slot's own adapters; `TrainConfig.epochs` if that is less, or from others."""
    rate: float = positive(0.5)
    """Factor of the learning rates. A new head learns at the full rate."""
    generations: int = within(6, 1)
    """Trainings in a row that may start from one another: the next one starts fresh, so that drift has an end."""


@dataclass(frozen=True)
class TrainConfig(Checked):
    """One training run. Parameter groups have their own learning rates, as in arXiv 2407.21066, section IV."""

    epochs: int = positive(20)
    batch_seconds: float = positive(16.0)
    """Most audio in a batch, padding counted, in seconds."""
    min_steps: int = positive(24)
    """Fewest steps of an epoch: a small training set gets smaller batches."""
    lr_head: float = positive(2e-3)
    lr_layer: float = positive(1e-3)
    lr_encoder: float = positive(1e-3)
    """E-adapters, prompts and tuned norms; of other methods all but the head and a weighted sum."""
    weight_decay: float = within(1e-2, 0)
    warmup: float = below(0.1)
    """Share of all steps with a rising learning rate; after them it decays linearly to zero."""
    clip_norm: float = positive(1.0)
    patience: int = within(8, 0)
    """Validations without improvement before training stops; 0 never stops early."""
    seed: int = within(0, 0)
    precision: Precision = field(default="no", metadata=one_of(Precision))
    """Mixed precision, on a GPU only."""
    device: str = field(default="auto", metadata=one_of(Device))
    checkpoint_minutes: float = within(5.0, 0)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    init: str = later("fresh")
    """Where the tensors start: ``fresh`` (random), ``champion`` (of the slot), ``nearest`` (the champion of the task
    that answers the validation clips best), ``average`` (of the task's champions), or a version of the slot, such as
    ``v3``. Only `pipelines` has adapters to start from; `elp_core` trains the model that it is given."""
    warm: WarmConfig = later(WarmConfig())  # noqa: RUF009 (it is frozen)

    def other_faults(self) -> list[str]:
        """Return the fault of a start that is unknown."""
        if self.init in STARTS or (isinstance(self.init, str) and _VERSION.fullmatch(self.init)):
            return []
        return [f"init is {self.init!r}, expected one of {', '.join(STARTS)}, or a version of the slot such as v3"]


def to_dict(config: Any) -> dict[str, Any]:
    """Return a config as plain JSON values (tuples become lists)."""
    values = {item: getattr(config, item.name) for item in dataclasses.fields(config)}
    return {item.name: _plain(value) for item, value in values.items() if not is_left_out(item, value)}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_dict(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return {str(key): _plain(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def not_finite(values: Any, path: str) -> list[str]:
    """Return the fault of each infinite number and of each NaN in plain values: YAML has both, and no setting does."""
    if isinstance(values, dict):
        parts = [(f"{path}.{name}", value) for name, value in values.items()]
    elif isinstance(values, list):
        parts = [(f"{path}[{place}]", value) for place, value in enumerate(values)]
    else:
        wrong = isinstance(values, float) and not math.isfinite(values)
        return [f"{path} is {values}, expected a finite number"] if wrong else []
    return [fault for name, value in parts for fault in not_finite(value, name)]


def from_dict(kind: type[T], values: Mapping[str, Any], where: str = "configuration") -> T:
    """Build `kind` from plain values; the inverse of `to_dict`.

    Raises:
        ConfigError: Keys are unknown or values are refused; it names each by its dotted path.
    """
    faults: list[str] = []
    built: T = _build(kind, values, "", faults)
    if faults:
        raise ConfigError(where, faults)
    return built


def _build(kind: Any, value: Any, path: str, faults: list[str]) -> Any:
    """Return `value` as `kind`; append what is wrong to `faults`, with its path."""
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(typing.cast(type, kind), value, path, faults)
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return _build(next(a for a in args if a is not type(None)), value, path, faults)
    if origin is Literal:
        if value not in args:
            allowed = ", ".join(str(arg) or "''" for arg in args)
            faults.append(f"{path or 'value'} is {value!r}, expected one of {allowed}")
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            faults.append(f"{path} is {value!r}, expected a list")
            return ()
        if args[-1] is not Ellipsis and len(value) != len(args):
            faults.append(f"{path} has {len(value)} values, expected {len(args)}")
            return value
        inner = args if args[-1] is not Ellipsis else (args[0],) * len(value)
        return tuple(_build(k, v, f"{path}[{i}]", faults) for i, (k, v) in enumerate(zip(inner, value, strict=True)))
    if origin in (dict, Mapping) or kind is dict:
        if not isinstance(value, Mapping):
            faults.append(f"{path} is {value!r}, expected a mapping")
            return {}
        item = args[1] if args else Any
        return {str(k): _build(item, v, f"{path}.{k}", faults) for k, v in value.items()}
    return _scalar(kind, value, path, faults)


_hints = functools.cache(typing.get_type_hints)
"""Cached: resolving annotations costs more than everything else here, and thousands of records are read in a row."""


def _build_dataclass(kind: type, value: Any, path: str, faults: list[str]) -> Any:
    if not isinstance(value, Mapping):
        faults.append(f"{path or kind.__name__} is {value!r}, expected a mapping")
        return None
    hints = _hints(kind)
    names = {f.name for f in dataclasses.fields(kind)}
    prefix = f"{path}." if path else ""
    faults.extend(
        f"unknown key {prefix}{key}, expected one of {', '.join(sorted(names))}" for key in value if key not in names
    )
    # of a record with a fault none is made: its own checks would report the same fault again
    before = len(faults)
    arguments = {k: _build(hints[k], v, f"{prefix}{k}", faults) for k, v in value.items() if k in names}
    faults.extend(
        f"missing key {prefix}{f.name}"
        for f in dataclasses.fields(kind)
        if f.name not in value and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    )
    if len(faults) > before:
        return None
    try:
        return kind(**arguments)
    except ConfigError as error:
        faults.extend(f"{prefix}{fault}" for fault in error.faults)
        return None


def _scalar(kind: Any, value: Any, path: str, faults: list[str]) -> Any:
    if kind is Any:
        return value
    if kind is float and isinstance(value, (int, str)) and not isinstance(value, bool):
        # YAML 1.1 reads 1e-3 as a string, and learning rates are often written like this
        with contextlib.suppress(ValueError):
            return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        faults.append(f"{path} is {value!r}, expected {'a number' if kind is float else kind.__name__}")
    return value

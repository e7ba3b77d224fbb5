"""Parameters of the pre-training recipe, read from `params.yaml`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from elp_core.errors import ElpError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

SAMPLE_RATE = 16_000
HOP = 320
"""Samples from one frame to the next: 20 ms."""
WINDOW = 400
"""Samples of one frame: 25 ms, the receptive field of the CNN."""


class RecipeError(ElpError):
    """The recipe of the embedded backbone cannot start or continue."""


@dataclass(frozen=True)
class CorpusSettings:
    """Content of the corpus."""

    speeds: tuple[float, ...]
    synthetic_minutes: float
    held_out: float
    """Share of the clips (with all their speeds) that training does not use."""
    min_seconds: float
    reserved_variants: tuple[str, ...]
    """espeak-ng variants that are never used, so that evaluations may."""
    fsdd_first_take: int
    """FSDD takes below this one are not used."""


@dataclass(frozen=True)
class FeatureSettings:
    """Targets of iteration 1: k-means classes of MFCCs."""

    classes: int
    fit_frames: int


@dataclass(frozen=True)
class NetworkSettings:
    """Architecture of the backbone (HuBERT, post-norm, layer norm in the CNN)."""

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    conv_dim: tuple[int, ...]
    conv_kernel: tuple[int, ...]
    conv_stride: tuple[int, ...]
    position_kernel: int
    position_groups: int
    dropout: float


@dataclass(frozen=True)
class BatchSettings:
    """Drawing and disturbing of windows."""

    seconds: float
    """Audio in one batch, whatever the window's length."""
    windows: tuple[float, ...]
    noise_seconds: float
    """Length of each noise that stretches are drawn from."""
    noisy: float
    overlapped: float
    telephone: float
    snr_db: tuple[float, ...]


@dataclass(frozen=True)
class TrainingSettings:
    """Objective and optimiser."""

    front_end_steps: int
    """Steps in which the CNN alone learns the first targets, before the encoder joins."""
    front_end_rate: float
    mask_probability: float
    mask_span: int
    unmasked_weight: float
    learning_rate: float
    weight_decay: float
    warm_up: float
    clip_norm: float
    precision: str
    """`float32`, `bfloat16`, or `auto`: bfloat16 if the device multiplies it natively."""
    checkpoint_minutes: float


@dataclass(frozen=True)
class IterationSettings:
    """One round of masked prediction; the schedule ends at `steps` or at `max_minutes`, whichever is first."""

    steps: int
    max_minutes: float
    target_layer: int = 0
    """Layer of the previous iteration that is clustered; 0 means MFCCs (first iteration only)."""
    classes: int = 0
    fit_frames: int = 0
    noisy: float | None = None
    """Share of noisy windows in this iteration; that of `BatchSettings` by default."""


@dataclass(frozen=True)
class Recipe:
    """The whole recipe."""

    seed: int
    data: Path
    export: Path
    corpus: CorpusSettings
    features: FeatureSettings
    network: NetworkSettings
    batches: BatchSettings
    training: TrainingSettings
    iterations: tuple[IterationSettings, ...]


T = TypeVar("T", bound="DataclassInstance")


def _build(kind: type[T], values: Any, where: str) -> T:
    known = {f.name for f in fields(kind)}
    if not isinstance(values, dict) or (unknown := set(values) - known):
        detail = f"unknown {sorted(unknown)}" if isinstance(values, dict) else f"got {values!r}"
        raise RecipeError(f"params.yaml: {where}: {detail}; expected the keys {sorted(known)}")
    try:
        return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
    except TypeError as error:
        raise RecipeError(f"params.yaml: {where}: {error}; expected the keys {sorted(known)}") from error


def read_recipe(path: Path = Path("params.yaml")) -> Recipe:
    """Read the recipe.

    Args:
        path: A YAML file with a `pretraining` mapping.

    Raises:
        RecipeError: The file is missing, or a key is unknown or missing.
    """
    try:
        values = dict(yaml.safe_load(path.read_text(encoding="utf-8"))["pretraining"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise RecipeError(f"no recipe in {path}: {error!r}; run from the folder that holds params.yaml") from error
    parts: dict[str, Any] = {
        "corpus": CorpusSettings,
        "features": FeatureSettings,
        "network": NetworkSettings,
        "batches": BatchSettings,
        "training": TrainingSettings,
    }
    for name, kind in parts.items():
        values[name] = _build(kind, values.get(name), f"pretraining.{name}")
    values["iterations"] = [
        _build(IterationSettings, v, f"pretraining.iterations[{i}]") for i, v in enumerate(values.get("iterations", ()))
    ]
    values["data"], values["export"] = Path(values.get("data", "")), Path(values.get("export", ""))
    return _build(Recipe, values, "pretraining")

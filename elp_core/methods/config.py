"""Configurations of the methods, by name and as plain values."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from elp_core._ranges import Checked, below, later, positive, within
from elp_core.config import ElpConfig, TrainConfig, from_dict, to_dict
from elp_core.errors import ConfigError


@dataclass(frozen=True)
class FullConfig:
    """Full fine-tuning: everything after the CNN learns, in copies of its own."""


@dataclass(frozen=True)
class WeightedSumConfig:
    """Nothing in the network learns; the head gets a learned weighted sum of its states (SUPERB, arXiv 2105.01051)."""


@dataclass(frozen=True)
class TopLayersConfig(Checked):
    """The last layers learn, in copies of their own."""

    count: int = within(2, 1)


LoraTarget = Literal["q_proj", "k_proj", "v_proj", "out_proj", "intermediate_dense", "output_dense"]
LoraStart = Literal["zero", "principal"]


@dataclass(frozen=True)
class LoraConfig(Checked):
    """Low-rank updates of linear layers (arXiv 2106.09685), made by `peft`."""

    rank: int = within(8, 1)
    alpha: int = within(16, 1)
    """The update is scaled by alpha / rank."""
    targets: tuple[str, ...] = ("q_proj", "v_proj")
    """Linear layers in each encoder layer: ``q_proj``, ``k_proj``, ``v_proj``, ``out_proj`` of the attention,
    ``intermediate_dense`` and ``output_dense`` of the feed-forward block."""
    dropout: float = below(0.1)
    """Of the update's input while training."""
    magnitude: bool = later(False)
    """DoRA (arXiv 2402.09353, eq. 5): the update changes directions, and the norms of the weight's rows are trained."""
    start: LoraStart = later("zero")  # noqa: RUF009
    """``principal``: PiSSA (arXiv 2404.02948), the update starts as the largest singular components of the weight, and
    the weight is used without them. Dropout would then switch parts of the backbone off."""

    def other_faults(self) -> list[str]:
        """Return the faults of targets that no encoder layer has, and of a start that fits nothing else."""
        known, faults = get_args(LoraTarget), []
        if not self.targets or set(self.targets) - set(known):
            faults.append(f"targets is {list(self.targets)}, expected some of {', '.join(known)}")
        if self.start not in get_args(LoraStart):
            faults.append(f"start is {self.start!r}, expected one of {', '.join(get_args(LoraStart))}")
        if self.start == "principal" and (self.dropout or self.magnitude):
            faults.append("start is 'principal', expected no dropout and no magnitude with it")
        return faults


@dataclass(frozen=True)
class BottleneckConfig(Checked):
    """Bottlenecks after attention and after the feed-forward block; norms are tuned too (arXiv 1902.00751)."""

    bottleneck: int = positive(64)
    dropout: float = below(0.1)
    """Inside the bottlenecks while training."""


@dataclass(frozen=True)
class NormsConfig:
    """The gains and biases of the layers' own layer norms learn, or the biases of their linear layers as well."""

    biases: bool = False
    """BitFit (Ben Zaken et al. 2022, arXiv 2106.10199). The keys' bias is left out: the softmax cancels it."""


@dataclass(frozen=True)
class ConvConfig(Checked):
    """ConvAdapters of the SURE benchmark after every feed-forward block (arXiv 2303.03267, section 2.3)."""

    bottleneck: int = within(32, 1)
    """Channels between the two convolutions that change the width."""
    reduction: int = within(16, 1)
    """The squeeze-and-excitation gate has this part of the width inside, and one dimension or more."""


@dataclass(frozen=True)
class DeepPromptConfig(Checked):
    """Prompts in every layer (deep prompts: P-tuning v2, arXiv 2110.07602; for speakers arXiv 2501.16542).

    The first layer's prompts are pseudo features, like those of the P-adapter; each later layer has its own in their
    place.
    """

    count: int = within(5, 1)
    """Prompts in each layer."""


@dataclass(frozen=True)
class ParallelConfig(Checked):
    """Inner and inter adapters, both parallel (Sang and Hansen 2024, arXiv 2403.00293; UniPET-SPK, arXiv 2501.16542).

    Inner adapters run next to the feed-forward blocks, inter adapters next to the path of each layer's output to the
    head, where a learned weighted sum joins them. Sizes and initialisation are ours.
    """

    inner: int = within(64, 1)
    """Bottleneck of the adapters inside the layers."""
    inter: int = within(64, 1)
    """Bottleneck of the adapters of the layers' outputs."""
    dropout: float = below(0.1)
    """Inside the bottlenecks while training."""


MethodConfig = (
    ElpConfig | FullConfig | WeightedSumConfig | TopLayersConfig | LoraConfig | BottleneckConfig | NormsConfig
    | ConvConfig | DeepPromptConfig | ParallelConfig
)  # fmt: skip

KINDS: dict[str, type[Any]] = {
    "elp": ElpConfig,
    "full": FullConfig,
    "weighted-sum": WeightedSumConfig,
    "top-layers": TopLayersConfig,
    "lora": LoraConfig,
    "bottleneck": BottleneckConfig,
    "norms": NormsConfig,
    "conv": ConvConfig,
    "prefix": DeepPromptConfig,
    "inter": ParallelConfig,
}
"""Values of ``method`` in plain values."""


def method_to_dict(config: MethodConfig) -> dict[str, Any]:
    """Return plain JSON values; ``method`` names the kind, and is left out for ELP."""
    name = next(name for name, kind in KINDS.items() if kind is type(config))
    return to_dict(config) if name == "elp" else {"method": name, **to_dict(config)}


def method_from_dict(values: Mapping[str, Any], where: str = "configuration") -> MethodConfig:
    """Build a configuration from the result of `method_to_dict`.

    Raises:
        ConfigError: The method is unknown, or as in `elp_core.config.from_dict`.
    """
    name = values.get("method", "elp")
    if name not in KINDS:
        raise ConfigError(where, [f"method is {name!r}, expected one of {', '.join(KINDS)}"])
    config: MethodConfig = from_dict(KINDS[name], {k: v for k, v in values.items() if k != "method"}, where)
    return config


@dataclass(frozen=True)
class Method:
    """One way to fit a backbone to a task."""

    config: MethodConfig
    about: str
    """One line for people."""
    lr_encoder: float | None = None
    """Peak learning rate inside the encoder instead of `TrainConfig`'s: pre-trained weights need small steps."""

    def rates(self, train: TrainConfig) -> TrainConfig:
        """Return `train` with the method's own rate."""
        return train if self.lr_encoder is None else dataclasses.replace(train, lr_encoder=self.lr_encoder)


METHODS: dict[str, Method] = {
    "full": Method(FullConfig(), "full fine-tuning, CNN frozen", 1e-4),
    "weighted-sum": Method(WeightedSumConfig(), "frozen; weighted sum of all states (SUPERB)"),
    "top-2": Method(TopLayersConfig(2), "the last two layers", 1e-4),
    "lora-attention": Method(LoraConfig(), "LoRA, rank 8, on queries and values"),
    "lora-ffn": Method(LoraConfig(targets=("intermediate_dense", "output_dense")), "LoRA, rank 8, feed-forward block"),
    "dora": Method(LoraConfig(magnitude=True), "DoRA, rank 8, on queries and values"),
    "pissa": Method(LoraConfig(alpha=8, dropout=0.0, start="principal"), "PiSSA, rank 8, on queries and values", 1e-4),
    "norms": Method(NormsConfig(), "the layer norms"),
    "bitfit": Method(NormsConfig(biases=True), "the layer norms and all biases of the layers (BitFit)"),
    "bottleneck": Method(BottleneckConfig(), "Houlsby bottlenecks after attention and feed-forward block"),
    "conv": Method(ConvConfig(), "ConvAdapters after the feed-forward block"),
    "prefix": Method(DeepPromptConfig(), "five prompts in every layer"),
    "inter": Method(ParallelConfig(), "parallel adapters inside the layers and on their outputs"),
    "e": Method(ElpConfig(layer=None, prompt=None), "E-adapters and norms"),
    "l": Method(ElpConfig(encoder=None, prompt=None, tune_norms=False), "L-adapters"),
    "el": Method(ElpConfig(prompt=None), "E- and L-adapters, norms"),
    "elp": Method(ElpConfig(), "E-, L- and P-adapters, norms"),
}
"""Build one with ``build(backbone, METHODS[name].config, task, seed)`` of `elp_core.assemble`."""

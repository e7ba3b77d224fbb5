"""`Backbone`: a frozen speech encoder from any checkpoint of a supported family."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from elp_core.backbones.convolutions import convolve
from elp_core.backbones.families import (
    FAMILIES,
    MEL,
    PARTS,
    architecture,
    make_config,
    make_model,
    refuse_unknown_form,
)
from elp_core.backbones.fingerprint import fingerprint_of, tensor_digests
from elp_core.backbones.frames import FrameLaw, blank, positions, real_frames
from elp_core.backbones.mel import MEL_LAW, STACKED, MelFeatures
from elp_core.backbones.preprocessing import read_preprocessing, standardise
from elp_core.backbones.weights import canonical, find_folder, read_json, read_tensors
from elp_core.errors import AudioError, BackboneError, first_faults
from elp_core.types import Samples

TINY = "elp:tiny"
"""The embedded default; its weights are part of the package."""


class Backbone(nn.Module):
    """A frozen encoder: no gradient, always in eval mode. Make one with `from_pretrained`.

    B clips, T samples, F frames, C feature channels, D dimensions. Waveforms are float32 mono 16 kHz.
    """

    feature_extractor: nn.Module
    """The CNN, or our log mel energies for a family that takes those."""
    feature_projection: nn.Module
    encoder: Any

    def __init__(self, model: nn.Module, config: Any, name: str, normalize: bool, digests: Mapping[str, str]) -> None:
        super().__init__()
        family = FAMILIES[config.model_type]
        mel = family.processor == MEL
        width = config.feature_projection_input_dim if mel else config.conv_dim[-1]
        for part in PARTS:
            absent = mel and part == "feature_extractor"
            self.add_module(part, MelFeatures(width // STACKED) if absent else getattr(model, part))
        self.requires_grad_(False)
        self.config = config
        self.id = name
        """The name that it was loaded by."""
        self.family: str = config.model_type
        self.hidden_size: int = config.hidden_size
        """D."""
        self.feature_size: int = width
        """C."""
        self.conformer = family.conformer
        """Whether layers are Conformer blocks."""
        self.pre_norm = bool(getattr(config, "do_stable_layer_norm", False))
        """Whether layers normalise their input (large style) instead of their output (base style)."""
        self.normalize = normalize
        """Whether each waveform is first scaled to zero mean and unit variance."""
        self.digests = dict(digests)
        """``dtype shape sha256`` by tensor name."""
        self.architecture = architecture(config, normalize)
        self.fingerprint = fingerprint_of(self.digests, self.architecture)
        self._law = MEL_LAW if mel else FrameLaw(config.conv_kernel, config.conv_stride)
        self.hop: Samples = self._law.hop
        """Samples from one frame to the next."""
        self.min_samples = self.samples_needed(1)
        """Samples of the shortest clip that has a frame."""
        # not `self.train`, which ignores its argument
        super().train(False)

    @classmethod
    def from_pretrained(cls, id_or_path: str | Path) -> Backbone:
        """Load a checkpoint: a folder, a hub id, or ``elp:tiny``.

        Raises:
            BackboneError: There is none, it is of no supported family, no file describes its preprocessing, it expects
                another sampling rate than 16,000 Hz, or weights and configuration do not fit.
        """
        name = str(id_or_path)
        folder = Path(__file__).parent / "tiny" if name == TINY else find_folder(name)
        config = make_config(read_json(folder / "config.json"), f"{folder}/config.json")
        # before the weights, which take longer
        normalize = read_preprocessing(folder, config)
        tensors = read_tensors(folder, config.model_type)
        with torch.random.fork_rng(devices=[]):  # transformers draws a mask embedding even on the device meta
            model = make_model(config, "meta")
        _fill(model, tensors, str(folder))
        return cls(model, config, name, normalize, tensor_digests(tensors))

    @classmethod
    def from_model(cls, model: Any, name: str, normalize: bool = False) -> Backbone:
        """Wrap a transformers model of a supported family; its submodules are shared, and frozen by this call."""
        refuse_unknown_form(model.config, name)
        tensors = canonical(model.state_dict(), model.config.model_type)
        return cls(model, model.config, name, normalize, tensor_digests(tensors))

    @property
    def layers(self) -> nn.ModuleList:
        """Return the encoder's transformer layers."""
        found: nn.ModuleList = self.encoder.layers
        return found

    @property
    def device(self) -> torch.device:
        """Return the device that the backbone is on now."""
        return next(self.parameters()).device

    @property
    def layer_count(self) -> int:
        """Return the number of transformer layers."""
        return len(self.layers)

    def train(self, mode: bool = True) -> Backbone:
        """Stay in eval mode for any `mode`: a frozen backbone has no dropout and drops no layer."""
        del mode
        return self

    def frame_counts(self, lengths: torch.Tensor) -> torch.Tensor:
        """Return the frames [B] of clips of `lengths` [B] samples."""
        return self._law.counts(lengths)

    def samples_needed(self, frames: int) -> Samples:
        """Return the length in samples of the shortest clip that has so many frames."""
        return self._law.samples(frames)

    # frozen parameters are not enough: in train mode transformers' CNN asks for the gradient of the waveform
    @torch.no_grad()
    def features(
        self, waveforms: torch.Tensor, lengths: torch.Tensor, *, keep_padding: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return CNN features [B, F, C], zero after each clip's frames, and frame counts [B], of waveforms [B, T].

        For a family that takes log mel energies, the features are those (`mel`).
        A CNN with group norm normalises over time, so only clips of one length run together, without padding. Others
        may run on what follows the longest clip too (`keep_padding`): so fewer shapes are computed, with equal results.

        Raises:
            AudioError: ``shape`` if waveforms and lengths do not fit each other, ``too_short`` if a clip has no frame.
        """
        self._refuse_odd(waveforms, lengths)
        counts = self.frame_counts(lengths)
        if self.normalize:
            waveforms = standardise(waveforms, lengths)
        if isinstance(self.feature_extractor, MelFeatures):
            energies: torch.Tensor = self.feature_extractor(waveforms, lengths)
            return energies, counts
        if self.config.model_type != "data2vec-audio" and self.config.feat_extract_norm == "group":
            return self._by_length(waveforms, lengths, counts), counts
        waveforms = waveforms if keep_padding else waveforms[:, : int(lengths.max())]
        layers: Any = self.feature_extractor.conv_layers
        if all(hasattr(layer, "layer_norm") and hasattr(layer, "conv") for layer in layers):
            found = convolve(self.feature_extractor, waveforms)
        else:
            found = self.feature_extractor(waveforms).transpose(1, 2)
        found = found[:, : int(counts.max())]
        return blank(found, real_frames(counts, found.shape[1])), counts

    def project(self, features: torch.Tensor) -> torch.Tensor:
        """Project CNN features [B, F, C] to the encoder's dimension, [B, F, D]."""
        # under autocast the CNN gives half precision; some families return the normalised features too
        projected = self.feature_projection(features.float())
        result: torch.Tensor = projected[0] if isinstance(projected, tuple) else projected
        return result

    def embed(self, hidden: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """Return the first layer's input [B, F, D]: features with positions, normalised in base-style backbones.

        A Conformer has its positions in the attention of each layer.
        """
        real = real_frames(counts, hidden.shape[1])
        hidden = blank(hidden, real)
        if self.conformer:
            return hidden
        hidden = hidden + positions(self.encoder.pos_conv_embed, hidden, real)
        return hidden if self.pre_norm else self._norm(hidden)

    def finish(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the backbone's output from its last layer's [B, F, D]: pre-norm encoders normalise it again."""
        return self._norm(hidden) if self.pre_norm else hidden

    def _norm(self, hidden: torch.Tensor) -> torch.Tensor:
        # base style has it before the layers, large style after them
        result: torch.Tensor = self.encoder.layer_norm(hidden)
        return result

    def _by_length(self, waveforms: torch.Tensor, lengths: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        found = waveforms.new_zeros(len(lengths), int(counts.max()), self.feature_size)
        for length in sorted(set(lengths.tolist())):
            # without its padding, which the norm over time would count
            rows = (lengths == length).nonzero().squeeze(1).to(waveforms.device)
            part = self.feature_extractor(waveforms[rows, :length]).transpose(1, 2)
            found[rows, : part.shape[1]] = part.to(found.dtype)
        return found

    def _refuse_odd(self, waveforms: torch.Tensor, lengths: torch.Tensor) -> None:
        fits = waveforms.ndim == 2 and lengths.shape == waveforms.shape[:1] and len(waveforms) > 0
        if not fits or waveforms.dtype != torch.float32 or lengths.dtype != torch.int64:
            raise AudioError(
                "shape",
                f"waveforms are {str(waveforms.dtype)[6:]} {list(waveforms.shape)} and lengths "
                f"{str(lengths.dtype)[6:]} {list(lengths.shape)}; "
                "expected float32 [B, T] and int64 [B] of one clip or more",
            )
        shortest, longest = (int(bound) for bound in torch.aminmax(lengths))
        if longest > waveforms.shape[1]:
            raise AudioError(
                "shape", f"a length says {longest} samples, the waveforms hold {waveforms.shape[1]}; expected no more"
            )
        if shortest < self.min_samples:
            raise AudioError(
                "too_short",
                f"a clip of {shortest} samples has no frame; this backbone needs {self.min_samples} or more",
            )


def _fill(model: nn.Module, tensors: Mapping[str, torch.Tensor], where: str) -> None:
    """Give the model its weights (floating ones as float32); refuse any missing, unknown or of another shape."""
    expected = {name: tensor for name, tensor in model.state_dict().items() if name.partition(".")[0] in PARTS}
    faults = [f"missing {name}" for name in expected if name not in tensors]
    faults += [f"unexpected {name}" for name in tensors if name not in expected]
    faults += [
        f"{name} is {list(tensor.shape)}, expected {list(expected[name].shape)}"
        for name, tensor in tensors.items()
        if name in expected and tensor.shape != expected[name].shape
    ]
    if faults:
        raise BackboneError(
            f"{where}: weights and config.json do not belong together: {first_faults(faults)}; "
            "fetch the checkpoint again"
        )
    cast = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    model.load_state_dict(cast, strict=False, assign=True)

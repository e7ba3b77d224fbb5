"""Frozen speech backbones: loading, fingerprint, and their forward pass with adapters passed in."""

from elp_core.backbones.fingerprint import fingerprint, tensor_digests
from elp_core.backbones.forward import encode, layer_outputs
from elp_core.backbones.load import TINY, Backbone

__all__ = ["TINY", "Backbone", "encode", "fingerprint", "layer_outputs", "tensor_digests"]

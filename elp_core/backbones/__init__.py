"""Frozen speech backbones: loading, fingerprint, and their forward pass with adapters passed in."""

from elp_core.backbones.fingerprint import fingerprint_of, tensor_digests
from elp_core.backbones.forward import Adapters, layer_outputs
from elp_core.backbones.load import TINY, Backbone
from elp_core.backbones.prefix import CNN, Prefix, longest_prefix, prefix_values, resume

__all__ = [
    "CNN",
    "TINY",
    "Adapters",
    "Backbone",
    "Prefix",
    "fingerprint_of",
    "layer_outputs",
    "longest_prefix",
    "prefix_values",
    "resume",
    "tensor_digests",
]

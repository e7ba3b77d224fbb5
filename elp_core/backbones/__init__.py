"""Frozen speech backbones: loading, fingerprint, and their forward pass with adapters passed in."""

from elp_core.backbones.fingerprint import fingerprint_of, tensor_digests
from elp_core.backbones.forward import CNN, Adapters, Prefix, layer_outputs, longest_prefix, prefix_values, resume
from elp_core.backbones.load import TINY, Backbone

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

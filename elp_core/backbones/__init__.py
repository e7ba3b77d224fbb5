"""Frozen speech backbones: loading, fingerprint, and their forward pass with adapters passed in."""

from elp_core.backbones.fingerprint import fingerprint, tensor_digests
from elp_core.backbones.forward import encode, layer_outputs
from elp_core.backbones.load import TINY, Backbone
from elp_core.backbones.network_copies import private_network
from elp_core.backbones.prefix import CNN, Prefix, longest_prefix, prefix_values, resume

__all__ = [
    "CNN",
    "TINY",
    "Backbone",
    "Prefix",
    "encode",
    "fingerprint",
    "layer_outputs",
    "longest_prefix",
    "prefix_values",
    "private_network",
    "resume",
    "tensor_digests",
]

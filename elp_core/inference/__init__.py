"""Answers for waveforms: those of one model, or of many adapters on one backbone."""

from elp_core.inference.adapter_cache import HostedAdapter
from elp_core.inference.host import AdapterHost, Request
from elp_core.inference.predict import predict

__all__ = ["AdapterHost", "HostedAdapter", "Request", "predict"]

"""Answers for waveforms: one model's, or those of many adapters on one backbone."""

from elp_core.inference.adapter_cache import Hosted
from elp_core.inference.host import AdapterHost, Request
from elp_core.inference.predict import predict

__all__ = ["AdapterHost", "Hosted", "Request", "predict"]

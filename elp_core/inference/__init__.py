"""Answers for waveforms."""

from elp_core.inference.predict import predict

__all__ = ["predict"]

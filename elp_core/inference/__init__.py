"""Answers for waveforms: those of one model, or of many adapters on one backbone; transcripts of long recordings."""

from elp_core.inference.adapter_cache import HostedAdapter
from elp_core.inference.host import AdapterHost, Request
from elp_core.inference.predict import predict
from elp_core.inference.recogniser import Recogniser
from elp_core.inference.transcribe import Segment, Transcript, transcribe
from elp_core.inference.voice_activity import VoiceActivityConfig
from elp_core.inference.windows import WindowConfig

__all__ = [
    "AdapterHost",
    "HostedAdapter",
    "Recogniser",
    "Request",
    "Segment",
    "Transcript",
    "VoiceActivityConfig",
    "WindowConfig",
    "predict",
    "transcribe",
]

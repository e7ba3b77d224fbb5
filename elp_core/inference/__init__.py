"""Answers of one model, or of many adapters on one backbone; long recordings: transcripts, and their alignment."""

from elp_core.inference.adapter_cache import HostedAdapter
from elp_core.inference.align_recording import AlignedSegment, align_recording
from elp_core.inference.aligned_segments import CutConfig
from elp_core.inference.host import AdapterHost
from elp_core.inference.host_request import Request
from elp_core.inference.predict import classify, predict
from elp_core.inference.recogniser import Recogniser
from elp_core.inference.transcribe import Segment, Transcript, transcribe
from elp_core.inference.voice_activity import VoiceActivityConfig
from elp_core.inference.windows import WindowConfig

__all__ = [
    "AdapterHost",
    "AlignedSegment",
    "CutConfig",
    "HostedAdapter",
    "Recogniser",
    "Request",
    "Segment",
    "Transcript",
    "VoiceActivityConfig",
    "WindowConfig",
    "align_recording",
    "classify",
    "predict",
    "transcribe",
]

"""What gives the log-probabilities of letters for waveforms: a model, or an adapter of a host."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import torch

from elp_core.assemble import waveform_frames
from elp_core.audio import Waveform
from elp_core.errors import ConfigError
from elp_core.inference.host import AdapterHost
from elp_core.inference.host_request import Request
from elp_core.inference.windows import FrameTimes
from elp_core.inference.word_times import LogProbabilities
from elp_core.model import ElpModel
from elp_core.tasks import SpeechRecognition, Task


@dataclass(frozen=True)
class Recogniser:
    """An adapter that recognises speech, wherever it is."""

    task: SpeechRecognition
    times: FrameTimes
    emit: Callable[[Sequence[Waveform]], list[LogProbabilities]]
    """Waveforms float32 [samples] at 16 kHz to log-probabilities float32 [frames, classes], one for each."""

    @classmethod
    def of(cls, model: ElpModel) -> Self:
        """Return a model, on its device, as a recogniser. It stays in the mode (training or not) that it is in.

        Raises:
            ConfigError: The model's task writes no transcripts.
        """
        task = _recognition(model.task)

        @torch.inference_mode()
        def emit(waveforms: Sequence[Waveform]) -> list[LogProbabilities]:
            was_training = model.training
            model.eval()
            try:
                return task.log_probabilities(model.head, *waveform_frames(model, waveforms))
            finally:
                model.train(was_training)

        return cls(task, FrameTimes.of(model.backbone), emit)

    @classmethod
    def hosted(cls, host: AdapterHost, name: str) -> Self:
        """Return an adapter of a host as a recogniser; a replacement under its name is used from the next call on.

        Raises:
            ConfigError: The adapter's task writes no transcripts.
            HostError: The name is not in use.
        """

        def emit(waveforms: Sequence[Waveform]) -> list[LogProbabilities]:
            return host.log_probabilities([Request(name, waveform) for waveform in waveforms])

        return cls(_recognition(host.task(name)), FrameTimes.of(host.backbone), emit)


def _recognition(task: Task) -> SpeechRecognition:
    if not isinstance(task, SpeechRecognition):
        raise ConfigError("transcribe", [f"the task {task.name} writes no transcripts, only asr does"])
    return task

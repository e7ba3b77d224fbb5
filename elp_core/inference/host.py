"""`AdapterHost`: many adapters on one backbone in one process, in batches that mix them."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from elp_core.adapters import Part, mixed_frames
from elp_core.assemble import in_batches
from elp_core.backbones import Backbone
from elp_core.config import ElpConfig, Precision
from elp_core.data.collate import collate, collate_features
from elp_core.errors import ConfigError
from elp_core.inference.adapter_cache import AdapterCache, HostedAdapter, LoadedAdapter
from elp_core.inference.batch_shapes import padded_together, rounded_up
from elp_core.inference.host_request import PooledOutput, Request, task_outputs
from elp_core.inference.predict import check_waveform
from elp_core.metrics.verification import Match
from elp_core.model import ElpModel
from elp_core.tasks import Comparing, SpeechRecognition, Task
from elp_core.types import SAMPLE_RATE, Seconds

_Read = Callable[[Task, nn.Module, torch.Tensor, torch.Tensor], list[Any]]
"""Task, head, frames [B, F, D] and counts [B] to one value for each clip."""
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, eq=False)
class _Row:
    """One request under way, with the adapter that its name meant when the call began."""

    place: int
    """Among the call's requests."""
    waveform: npt.NDArray[np.float32]
    sound: bytes
    """Digest of the samples: requests for one sound share its CNN features."""
    hosted: HostedAdapter
    loaded: LoadedAdapter


class AdapterHost:
    """Adapters by name on one frozen backbone. Every method may be called from many threads at once.

    Each answer is that of its adapter alone to 1e-5. A call of `answer` keeps the adapters that the names meant when it
    began, even if they are replaced or removed meanwhile.

    Args:
        backbone: On the device that does the work.
        memory_bytes: Limit for the bytes of adapters and heads in memory; None is no limit. Over it, the least recently
            used bundles are dropped, and read from disk, verified again, at their next use. Models given in memory and
            adapters that are answering stay, so adapters in use at one time may exceed the limit.
        batch_seconds: Audio in a batch after padding; it changes speed and memory, never an answer.
        precision: ``bf16`` or ``fp16`` compute in mixed precision on a GPU; answers then agree to that precision only.
            A CPU computes in float32, as in training.

    Raises:
        ConfigError: The precision is another one, or the limit is under 0.
    """

    def __init__(
        self,
        backbone: Backbone,
        memory_bytes: int | None = None,
        batch_seconds: Seconds = 32.0,
        precision: Precision = "no",
    ) -> None:
        faults = [] if precision in get_args(Precision) else [f"precision is {precision!r}, expected no, bf16 or fp16"]
        if memory_bytes is not None and memory_bytes < 0:
            faults.append(f"memory_bytes is {memory_bytes}, expected 0 or more, or None for no bound")
        if faults:
            raise ConfigError("host", faults)
        self.backbone = backbone
        self._cache = AdapterCache(backbone, memory_bytes)
        self._batch_seconds = batch_seconds
        self._precision = precision

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the adapters served, sorted."""
        return self._cache.names

    @property
    def resident_bytes(self) -> int:
        """Bytes of the adapters and heads that are in memory."""
        return self._cache.nbytes

    def load(self, name: str, folder: Path, now: bool = True) -> None:
        """Serve a bundle under a new name: any text, such as ``plant-a/asr``.

        The folder must stay if memory is limited. Without `now`, every byte is verified, and the bundle is opened at
        its first use.

        Raises:
            BundleError: The bundle is incomplete, altered or malformed.
            FingerprintMismatch: It belongs to another backbone.
            HostError: The name is in use, or the bundle is of another method than ELP.
        """
        self._cache.add(name, self._cache.open(folder) if now else self._cache.verify(folder))

    def add(self, name: str, model: ElpModel) -> None:
        """Serve a model under a new name. From then on the host owns it: on the host's device, in eval mode.

        It raises FingerprintMismatch and HostError as `load`.
        """
        self._cache.add(name, self._cache.open(model))

    def replace(self, name: str, source: Path | ElpModel | HostedAdapter) -> HostedAdapter:
        """Serve another adapter under `name`: all calls of `answer` that begin after this one returned use it.

        The new adapter is in memory before the name changes; if that fails, the old one is still served. The source
        is a bundle, a model, or the return value of an earlier `replace` or `remove` of this host. The result is the
        previous adapter, for a way back: ``host.replace(name, before)``.

        Raises:
            BundleError, FingerprintMismatch: As `load`.
            HostError: The name is not in use.
        """
        return self._cache.replace(name, source if isinstance(source, HostedAdapter) else self._cache.open(source))

    def remove(self, name: str) -> HostedAdapter:
        """Stop serving `name`, and return its adapter; raises HostError if the name is not in use."""
        return self._cache.remove(name)

    def answer(self, requests: Sequence[Request]) -> list[Any]:
        """Return one answer for each request, in their order, as the task of its adapter gives it.

        The CNN runs once for each different waveform, the encoder once for each batch, whatever adapters it mixes.

        Raises:
            AudioError: Naming the first waveform that cannot be used.
            HostError: A name is not in use.
            BundleError: A bundle has to be read from disk and is not the one that was registered.
        """
        return self._run(requests, lambda task, head, frames, counts: task.predict(head, frames, counts))

    def log_probabilities(self, requests: Sequence[Request]) -> list[npt.NDArray[np.float32]]:
        """Return the log-probabilities of the letters, float32 [frames, classes], for each request, in their order.

        Raises:
            ConfigError: The adapter of a request writes no transcripts.
            AudioError, HostError, BundleError: As `answer`.
        """

        def read(task: Task, head: nn.Module, frames: torch.Tensor, counts: torch.Tensor) -> list[Any]:
            if not isinstance(task, SpeechRecognition):
                raise ConfigError("host", [f"the task {task.name} writes no transcripts, only asr has letters"])
            return task.log_probabilities(head, frames, counts)

        return self._run(requests, read)

    def outputs(self, requests: Sequence[Request]) -> list[Any]:
        """Return what the answers are made of, for each request in their order; tasks may be mixed.

        It is the log-probabilities float32 [frames, classes] of letters (ASR), the probabilities float32 [classes] of
        a clip's classes (SER, SIC), and else the answer itself, such as an embedding float32 [E] (ASV).

        Raises:
            AudioError, HostError, BundleError: As `answer`.
        """
        return self._run(requests, task_outputs)

    def pooled_outputs(self, requests: Sequence[Request]) -> list[PooledOutput]:
        """Return `outputs`, each with the mean of the CNN features that it was computed from; raise as `answer`."""
        means: dict[int, npt.NDArray[np.float32]] = {}

        def keep(row: _Row, features: torch.Tensor) -> None:
            means[row.place] = features.float().mean(0).cpu().numpy()

        values = self._run(requests, task_outputs, keep)
        return [PooledOutput(value, means[place]) for place, value in enumerate(values)]

    def compare(self, name: str, enrolment: Sequence[Any], test: Any) -> Match:
        """Compare answers of the adapter under `name`: whether `test` is of the speaker of `enrolment`, [E] each.

        Raises:
            ConfigError: The adapter compares nothing.
            CorpusError: There is no answer to compare with, or they are of another adapter.
            HostError, BundleError: As `task`.
        """
        with self._cache.pinned([name]) as found:
            loaded = found[0][1]
            if not isinstance(loaded.task, Comparing):
                raise ConfigError("host", [f"the task {loaded.task.name} compares no recordings, only asv does"])
            return loaded.task.compare(loaded.head, enrolment, test)

    def digest(self, name: str) -> str:
        """Return the digest of the bundle that is served under `name` now; empty for a model given in memory.

        Raises:
            HostError: The name is not in use.
            BundleError: As `task`.
        """
        with self._cache.pinned([name]) as found:
            return found[0][0].digest

    def task(self, name: str) -> Task:
        """Return the task of the adapter that is served under `name` now.

        Raises:
            HostError: The name is not in use.
            BundleError: The bundle has to be read from disk and is not the one that was registered.
        """
        with self._cache.pinned([name]) as found:
            return next(iter(found))[1].task

    def _run(
        self, requests: Sequence[Request], read: _Read, keep: Callable[[_Row, torch.Tensor], None] | None = None
    ) -> list[Any]:
        """Return what `read` returns for each request; `keep` is given the CNN features [F, C] of each."""
        for place, request in enumerate(requests):
            check_waveform(place, request.waveform, self.backbone.min_samples)
        with (
            self._cache.pinned([request.adapter for request in requests]) as found,
            torch.inference_mode(),
            self._autocast(),
        ):
            rows = [
                _Row(place, request.waveform, hashlib.sha256(request.waveform.tobytes()).digest(), *one)
                for place, (request, one) in enumerate(zip(requests, found, strict=True))
            ]
            # requests for one sound in a row, so that they share a batch or two neighbouring ones
            rows.sort(key=lambda row: (len(row.waveform), row.sound))
            # of the previous batch only: in this order no older sound comes back
            features: dict[bytes, torch.Tensor] = {}

            def answer_batch(positions: list[int]) -> list[Any]:
                nonlocal features
                batch = [rows[position] for position in positions]
                features = self._features(batch, features)
                if keep:
                    for row in batch:
                        keep(row, features[row.sound])
                answered = dict(self._answers(batch, features, read))
                return [answered[row] for row in batch]

            durations = [len(row.waveform) / SAMPLE_RATE for row in rows]
            answers = in_batches(durations, self._batch_seconds, answer_batch)
        by_place = {row.place: answer for row, answer in zip(rows, answers, strict=True)}
        return [by_place[place] for place in range(len(requests))]

    def _features(self, batch: Sequence[_Row], known: dict[bytes, torch.Tensor]) -> dict[bytes, torch.Tensor]:
        """Return CNN features [F, C] by sound; `known` are those of the previous batch."""
        sounds = {row.sound: row.waveform for row in batch}
        new = {sound: waveform for sound, waveform in sounds.items() if sound not in known}
        found = {sound: known[sound] for sound in sounds if sound in known}
        device = self.backbone.device
        for part in padded_together(list(new), lambda sound: len(new[sound]), device):
            waveforms, lengths = collate([new[sound] for sound in part])
            waveforms = F.pad(waveforms, (0, rounded_up(waveforms.shape[1]) - waveforms.shape[1]))
            features, counts = self.backbone.features(waveforms.to(device), lengths.to(device), keep_padding=True)
            found.update(
                (sound, row[:count]) for sound, row, count in zip(part, features, counts.tolist(), strict=True)
            )
        return found

    def _answers(
        self, batch: Sequence[_Row], features: dict[bytes, torch.Tensor], read: _Read
    ) -> Iterator[tuple[_Row, Any]]:
        groups, parts = [], []
        device = self.backbone.device
        for together in padded_together(batch, lambda row: len(features[row.sound]), device):
            found = _by_adapter(together)
            padded, counts = collate_features([features[row.sound] for group in found for row in group])
            sizes = [len(group) for group in found]
            groups += found
            parts += [
                Part(group[0].loaded.adapters, own, real)
                for group, own, real in zip(found, torch.split(padded, sizes), torch.split(counts, sizes), strict=True)
            ]
        for group, part, frames in zip(groups, parts, mixed_frames(self.backbone, parts), strict=True):
            task, head = group[0].loaded.task, group[0].loaded.head
            yield from zip(group, read(task, head, frames, part.counts), strict=True)

    def _autocast(self) -> torch.autocast:
        place, dtype = self.backbone.device.type, _DTYPES.get(self._precision)
        # oneDNN in torch 2.13 gives wrong bfloat16 convolutions on CPUs with AMX, if a group has 8 or 12 channels
        return torch.autocast(place, dtype, enabled=dtype is not None and place != "cpu")


def _by_adapter(batch: Sequence[_Row]) -> list[list[_Row]]:
    """Return the rows of each adapter; adapters that `mixed_frames` can run as one follow each other."""
    groups: dict[HostedAdapter, list[_Row]] = {}
    configs: dict[ElpConfig, int] = {}
    for row in batch:
        groups.setdefault(row.hosted, []).append(row)
        configs.setdefault(row.loaded.adapters.config, len(configs))

    def likeness(group: list[_Row]) -> tuple[int, int, int]:
        config = group[0].loaded.adapters.config
        return (config.prompt.count if config.prompt else 0, configs[config], len(group))

    return sorted(groups.values(), key=likeness)

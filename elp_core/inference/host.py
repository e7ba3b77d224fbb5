"""`AdapterHost`: many adapters on one backbone in one process, in batches that mix them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import torch

from elp_core.adapters import Part, mixed_frames
from elp_core.audio import Waveform
from elp_core.backbones import Backbone
from elp_core.config import ElpConfig, Precision
from elp_core.data.collate import collate, collate_features
from elp_core.data.sampler import length_buckets
from elp_core.errors import ConfigError
from elp_core.inference.adapter_cache import AdapterCache, Hosted, Parts
from elp_core.inference.predict import check_waveform
from elp_core.model import ElpModel
from elp_core.types import SAMPLE_RATE, Seconds

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Request:
    """A waveform, and the name of the adapter that shall answer it."""

    adapter: str
    waveform: npt.NDArray[np.float32]
    """float32 mono 16 kHz, [samples]."""


@dataclass(frozen=True)
class _Row:
    """One request on its way: its place among the others, and what answers it."""

    place: int
    waveform: Waveform
    sound: bytes
    """Digest of the samples: requests for one sound share its CNN features."""
    hosted: Hosted
    parts: Parts


class AdapterHost:
    """Adapters by name on one frozen backbone. Every method may be called from many threads at once.

    Each answer is that of its adapter alone to 1e-5. A call of `answer` keeps the adapters that the names meant when it
    began, whatever is replaced or removed meanwhile.

    Args:
        backbone: on the device that shall do the work.
        memory_bytes: bound on the bytes of adapters and heads in memory; None is no bound. Over it, the least recently
            used bundles are let go, and read from disk, verified again, at their next use. Models given in memory and
            adapters that are answering stay, so that the bound may be passed by what is in use at one time.
        batch_seconds: audio in a batch after padding; it changes speed and memory, never an answer.
        precision: ``bf16`` or ``fp16`` compute in mixed precision; answers then agree to that precision only.

    Raises:
        ConfigError: for another precision, or a bound under 0.
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
        """Serve a bundle under a new name.

        Args:
            name: any text, such as ``plant-a/asr``.
            folder: of the bundle; it must stay there where memory is bounded.
            now: False verifies every byte and opens the bundle at its first use.

        Raises:
            BundleError: where it is no bundle as written.
            FingerprintMismatch: where it belongs to another backbone.
            HostError: where the name is in use.
        """
        self._cache.put(name, self._cache.opened(folder) if now else self._cache.registered(folder))

    def add(self, name: str, model: ElpModel) -> None:
        """Serve a model under a new name. It is the host's from then on: moved to its device, in eval mode.

        Raises:
            FingerprintMismatch: where it was made on another backbone.
            HostError: where the name is in use.
        """
        self._cache.put(name, self._cache.opened(model))

    def replace(self, name: str, source: Path | ElpModel | Hosted) -> Hosted:
        """Let `name` be served by another adapter: all calls of `answer` that begin after this one returned see it.

        The new one is ready in memory before the name changes hands; where that fails, the old one goes on serving.

        Args:
            name: in use.
            source: a bundle, a model, or what an earlier `replace` or `remove` of this host gave back.

        Returns:
            The adapter before, for a way back: ``host.replace(name, before)``.

        Raises:
            BundleError, FingerprintMismatch: as `load`.
            HostError: where there is no such name.
        """
        if isinstance(source, Hosted):
            self._cache.ready(source)
            return self._cache.exchange(name, source)
        return self._cache.exchange(name, self._cache.opened(source))

    def remove(self, name: str) -> Hosted:
        """Serve `name` no longer; its adapter is handed back.

        Raises:
            HostError: where there is no such name.
        """
        return self._cache.take_off(name)

    def answer(self, requests: Sequence[Request]) -> list[Any]:
        """One answer for each request, in their order, as the task of its adapter gives it.

        The CNN runs once for each different waveform, the encoder once for each batch, whatever adapters it mixes.

        Raises:
            AudioError: naming the first waveform that cannot be used.
            HostError: where there is no such name.
            BundleError: where a bundle has to be read from disk and is not the one that was registered.
        """
        for place, request in enumerate(requests):
            check_waveform(place, request.waveform, self.backbone.min_samples)
        answers: list[Any] = [None] * len(requests)
        with (
            self._cache.pinned([request.adapter for request in requests]) as found,
            torch.inference_mode(),
            self._autocast(),
        ):
            rows = [
                _Row(place, request.waveform, hashlib.sha256(request.waveform.tobytes()).digest(), *one)
                for place, (request, one) in enumerate(zip(requests, found, strict=True))
            ]
            features: dict[bytes, torch.Tensor] = {}
            for batch in _batches(rows, self._batch_seconds):
                features = self._features(batch, features)
                for row, answer in self._answers(batch, features):
                    answers[row.place] = answer
        return answers

    def _features(self, batch: Sequence[_Row], known: dict[bytes, torch.Tensor]) -> dict[bytes, torch.Tensor]:
        """CNN features [F, C] by sound; those of the batch before are not worked out again."""
        sounds = {row.sound: row.waveform for row in batch}
        new = {sound: waveform for sound, waveform in sounds.items() if sound not in known}
        found = {sound: known[sound] for sound in sounds if sound in known}
        if new:
            waveforms, lengths = collate(list(new.values()))
            features, counts = self.backbone.features(waveforms.to(self._device), lengths.to(self._device))
            found.update((sound, row[:count]) for sound, row, count in zip(new, features, counts.tolist(), strict=True))
        return found

    def _answers(self, batch: Sequence[_Row], features: dict[bytes, torch.Tensor]) -> Iterator[tuple[_Row, Any]]:
        groups = _by_adapter(batch)
        padded, counts = collate_features([features[row.sound] for group in groups for row in group])
        sizes = [len(group) for group in groups]
        parts = [
            Part(group[0].parts.adapters, mine, real)
            for group, mine, real in zip(groups, torch.split(padded, sizes), torch.split(counts, sizes), strict=True)
        ]
        for group, part, frames in zip(groups, parts, mixed_frames(self.backbone, parts), strict=True):
            task, head = group[0].parts.task, group[0].parts.head
            yield from zip(group, task.predict(head, frames, part.counts), strict=True)

    def _autocast(self) -> torch.autocast:
        dtype = _DTYPES.get(self._precision)
        return torch.autocast(self._device.type, dtype, enabled=dtype is not None)

    @property
    def _device(self) -> torch.device:
        return next(self.backbone.parameters()).device


def _batches(rows: Sequence[_Row], seconds: Seconds) -> Iterator[list[_Row]]:
    """Rows in order of length, so that little is padding, one sound's side by side; up to `seconds` in a batch."""
    ordered = sorted(rows, key=lambda row: (len(row.waveform), row.sound))
    durations = [len(row.waveform) / SAMPLE_RATE for row in ordered]
    for batch in length_buckets(durations, seconds, 0, 0, shuffle=False):
        yield [ordered[place] for place in batch]


def _by_adapter(batch: Sequence[_Row]) -> list[list[_Row]]:
    """The rows of each adapter, in an order that puts side by side what `mixed_frames` can run as one."""
    groups: dict[Hosted, list[_Row]] = {}
    kinds: dict[ElpConfig, int] = {}
    for row in batch:
        groups.setdefault(row.hosted, []).append(row)
        kinds.setdefault(row.parts.adapters.config, len(kinds))

    def likeness(group: list[_Row]) -> tuple[int, int, int]:
        config = group[0].parts.adapters.config
        return (config.prompt.count if config.prompt else 0, kinds[config], len(group))

    return sorted(groups.values(), key=likeness)

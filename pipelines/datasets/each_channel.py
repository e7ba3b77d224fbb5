"""The option `--channel each`: a clip whose file has channels that differ becomes a clip for each channel."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from elp_core.audio import differing_channels
from pipelines.datasets.worker_processes import WorkerProcess, needs_no_bound

if TYPE_CHECKING:
    from pipelines.datasets.delivery import SourceClip


class EachChannel:
    """Makes clips of channels, and looks into each file once; `process` decodes those without plain samples."""

    def __init__(self, process: WorkerProcess) -> None:
        self._process = process
        self._counts: dict[str, int] = {}

    def clips(self, clip: SourceClip) -> list[SourceClip]:
        """Return a clip for each channel of its file, or the clip itself if they are one sound or it names a channel.

        The speakers are ``NAME-left`` and ``NAME-right`` (``NAME-channel-2`` … with more than two channels); without a
        name, the file's name is used: two channels of a call are two people. Text and label are the same.
        """
        if clip.channel is not None or clip.fault:
            return [clip]
        if clip.sha256 not in self._counts:
            plain = needs_no_bound(clip.audio)
            found = [_differing(clip.audio)] if plain else self._process.each(_differing, [clip.audio], lambda _: 1)
            self._counts[clip.sha256] = next(iter(found))
        count = self._counts[clip.sha256]
        if count < 2:
            return [clip]
        sides = ("left", "right") if count == 2 else tuple(f"channel-{number}" for number in range(count))
        name = clip.speaker or clip.path
        return [replace(clip, channel=number, side=side, speaker=f"{name}-{side}") for number, side in enumerate(sides)]


def _differing(audio: Path | bytes) -> int:
    try:
        return differing_channels(audio)
    except ImportError:
        raise
    except Exception:
        # not only AudioError: decoders raise what they like; it is measured as it is, and goes to quarantine
        return 1

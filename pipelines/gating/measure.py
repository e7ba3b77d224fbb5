"""What the gate measures of a challenger in addition to its scores: size, speed, backbone, and overlap of the data."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from elp_core.audio import load
from elp_core.backbones import Backbone, tensor_digests
from elp_core.data.collate import collate
from elp_core.model import ElpModel
from elp_core.types import SAMPLE_RATE, Clip, Seconds
from pipelines.datasets.versions import load_split
from pipelines.errors import VersioningError
from pipelines.registry.adapter_version import AdapterVersion
from pipelines.registry.ancestry import TENSOR_ROLES, ancestors, by_bundle
from pipelines.registry.client.server_api import registered_records
from pipelines.registry.lineage import Lineage, ids_digest
from pipelines.registry.slot import Slot
from pipelines.registry.verdict import GateCheck, Speed

ROUNDS = 5
MOST_AUDIO: Seconds = 8.0
"""Audio in a round; if every clip is longer, the shortest clip is used alone."""


def memory_digest(backbone: Backbone) -> str:
    """Return the ``sha256:…`` of the backbone's tensors as they are in memory."""
    digests = tensor_digests(backbone.state_dict())
    lines = "".join(f"{name} {line}\n" for name, line in digests.items())
    return f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"


@torch.inference_mode()
def measure_speed(model: ElpModel, clips: Sequence[Clip], rounds: int = ROUNDS) -> Speed:
    """Time the adapter's answers and the backbone alone on the same clips, alternately, and keep the best of each.

    Other load on the machine only adds time, and adds it to both. The best of several rounds is therefore close to the
    work itself, and a busy machine fails no good adapter. The model is in eval mode; a first round is not counted.
    """
    device = model.backbone.device
    waveforms = [load(clip.audio) for clip in _within_most_audio(clips)]
    padded, lengths = (part.to(device) for part in collate(waveforms))

    def backbone_alone() -> None:
        model.detach()
        try:
            model(padded, lengths)
        finally:
            model.attach()

    def with_adapter() -> None:
        frames, counts = model(padded, lengths)
        model.task.predict(model.head, frames, counts)

    # the first round also pays for loading kernels and allocating memory
    times = [(_seconds(backbone_alone, device), _seconds(with_adapter, device)) for _ in range(rounds + 1)][1:]
    audio = sum(lengths.tolist()) / SAMPLE_RATE
    return Speed(audio, min(alone for alone, _ in times), min(adapted for _, adapted in times), device.type)


def overlap_checks(
    repository: str,
    version: AdapterVersion,
    bundle: Path,
    golden: Sequence[Clip],
    closed_set: bool,
    cache: Path,
    uri: str = "",
) -> tuple[GateCheck, GateCheck]:
    """Return whether a clip, or in an open set a speaker, of the golden set is in the training data.

    The training data is read again from the dataset version that the bundle's lineage names, and must have the digest
    that the lineage states. The clips of all adapters that its tensors come from count, too; the server at `uri` knows
    these adapters. Their speakers are named and do not count: two sites may have one name for two people.
    """
    lineage = Lineage.from_json(json.loads((bundle / "lineage.json").read_text(encoding="utf-8")))
    tag = lineage.dataset.tag
    trained = load_split(repository, tag, version.slot, ("train", "validation"), cache, "meta")
    same = ids_digest(clip.id for clip in trained) == lineage.training.ids
    shared = {clip.id for clip in trained} & {clip.id for clip in golden}
    detail = f"the clips of {tag} are not the clips that the bundle's lineage states as its training data"
    if same:
        detail = f"{len(shared)} of {len(golden)} golden clips are among the {len(trained)} training clips ({tag})"
    speakers = {clip.speaker for clip in golden} - {""}
    inherited, named = _inherited(repository, lineage, golden, cache, uri)
    detail += f"; {inherited}" if inherited else ""
    known = {clip.speaker for clip in trained} & speakers
    overlap = f"{len(known)} of {len(speakers)} golden speakers are in the training data"
    if closed_set:
        overlap += "; the data is declared a closed set, so the error rates are valid for known speakers only"
    elif named:
        overlap += f"; {named}"
    return (
        GateCheck("no clip in training", same and not shared and not inherited, detail),
        GateCheck("speakers", closed_set or not known, overlap),
    )


def _inherited(repository: str, lineage: Lineage, golden: Sequence[Clip], cache: Path, uri: str) -> tuple[str, str]:
    """Return which adapter that gave a challenger tensors knows a golden clip, or may, and who has golden speakers.

    Both are sentences, empty if there is none.
    """
    if not lineage.all_learned:
        return "", ""
    pinned, speakers = {clip.id for clip in golden}, {clip.speaker for clip in golden} - {""}
    named: dict[str, int] = {}
    # a teacher gave labels of other clips, and no tensors that could know an answer
    for one in ancestors(lineage.all_learned, by_bundle(registered_records(uri)), TENSOR_ROLES):
        if one.adapter is None:
            return f"the server has no record of {one.learned.name}, which it learned from", ""
        tag, name = one.adapter.dataset, one.adapter.name
        try:
            clips = load_split(repository, tag, Slot.parse(one.adapter.slot), ("train", "validation"), cache, "meta")
        except VersioningError as error:
            return f"it learned from {name}, whose training data cannot be read: {error}", ""
        ids = {clip.id for clip in clips}
        if ids_digest(ids) != one.adapter.clips_digest:
            return f"it learned from {name}, and the clips of {tag} are not those that its lineage states", ""
        if shared := len(ids & pinned):
            return f"it learned from {name}, which was trained on {shared} of the golden clips ({tag})", ""
        if same := len({clip.speaker for clip in clips} & speakers):
            named[name] = same
    if not named:
        return "", ""
    others = ", ".join(f"{name} ({same})" for name, same in named.items())
    return "", f"it learned from adapters with speakers of the same names, who may be the same people: {others}"


def _seconds(work: Callable[[], None], device: torch.device) -> float:
    def synchronize() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    synchronize()
    start = time.perf_counter()
    work()
    synchronize()
    return time.perf_counter() - start


def _within_most_audio(clips: Sequence[Clip]) -> list[Clip]:
    """Return clips in their order that are together no longer than `MOST_AUDIO`, or the shortest clip."""
    chosen, total = list[Clip](), 0.0
    for clip in clips:
        if total + clip.duration <= MOST_AUDIO:
            chosen.append(clip)
            total += clip.duration
    return chosen or [min(clips, key=lambda clip: clip.duration)]

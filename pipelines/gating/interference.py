"""The interference check: does a challenger change the answers of other slots' champions on the same host?"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from elp_core.assemble import build
from elp_core.audio import Waveform, load
from elp_core.backbones import Backbone
from elp_core.bundle import load_bundle
from elp_core.config import ElpConfig
from elp_core.errors import AudioError, BundleError, FingerprintMismatch, HostError
from elp_core.inference import AdapterHost, Request
from elp_core.model import ElpModel
from elp_core.tasks import Task
from pipelines.datasets.versions import load_golden
from pipelines.errors import RegistryError, VersioningError
from pipelines.registry.adapter_version import AdapterVersion
from pipelines.registry.client import model_registry
from pipelines.registry.client.bundle_models import download_bundle
from pipelines.registry.policies import SafetyPolicy
from pipelines.registry.verdict import Interference, SlotOutputs

if TYPE_CHECKING:
    import torch
    from mlflow import MlflowClient

_OTHER_SLOT_FAULTS = (AudioError, BundleError, FingerprintMismatch, HostError, RegistryError, VersioningError)
"""Errors of another slot's data or bundle, for which the challenger is not responsible."""
_STAND_IN_SEED = 1


@dataclass(frozen=True)
class OtherChampion:
    """Another slot's champion and the golden clips that it answers."""

    version: AdapterVersion
    model: ElpModel
    waveforms: tuple[Waveform, ...]

    @property
    def name(self) -> str:
        """Return its slot's name."""
        return str(self.version.slot)


def check_interference(
    client: MlflowClient,
    challenger: AdapterVersion,
    backbone: Backbone,
    policy: SafetyPolicy,
    repository: str,
    cache: Path,
    log: Callable[[str], None],
) -> Interference:
    """Compare the answers of other slots' champions without the challenger, with a stand-in, and with the challenger.

    If there are more slots than the policy compares, the challenger's digest selects them, so that other versions
    are compared with other slots. A slot whose champion or golden set cannot be loaded is reported as skipped. Every
    slot is skipped if the challenger's method is not ELP, because such an adapter shares no host.
    """
    most = policy.interference_slots
    others = [slot for slot in model_registry.list_slots(client) if slot != challenger.slot] if most else []
    others.sort(key=lambda slot: hashlib.sha256(f"{challenger.bundle_digest} {slot}".encode()).digest())
    if not others:
        return Interference((), 0, (), True)
    # a slot is looked up only when it is needed
    found = (model_registry.find_champion(client, slot) for slot in others)
    champions = (one for one in found if one is not None and one.fingerprint == backbone.fingerprint)
    model = load_bundle(download_bundle(client, challenger, cache), backbone)
    if not isinstance(model.config, ElpConfig):
        # it is never in one batch with others; its effect on the backbone is a check of its own
        kind = type(model.config).__name__
        names = [version.name for version in itertools.islice(champions, most)]
        return Interference((), len(others), tuple(f"{n}: a host takes ELP adapters, not {kind}" for n in names), True)
    loaded, skipped = list[OtherChampion](), list[str]()
    for version in champions:
        try:
            bundle = load_bundle(download_bundle(client, version, cache), backbone)
            clips = load_golden(repository, "latest", version.slot, cache).clips[: policy.interference_clips]
            loaded.append(OtherChampion(version, bundle, tuple(load(clip.audio) for clip in clips)))
        except _OTHER_SLOT_FAULTS as error:
            first_line = str(error).partition("\n")[0]
            skipped.append(f"{version.name}: {first_line}")
        if len(loaded) == most:
            break
    if not loaded:
        return Interference((), len(others), tuple(skipped), True)
    log(f"interference check of {challenger.name}: comparing the answers of {len(loaded)} of {len(others)} other slots")
    compared, repeatable = compare_on_host(loaded, model, backbone)
    return Interference(compared, len(others), tuple(skipped), repeatable)


def compare_on_host(
    champions: Sequence[OtherChampion], challenger: ElpModel, backbone: Backbone
) -> tuple[tuple[SlotOutputs, ...], bool]:
    """Return digests of each champion's outputs in four settings, and whether this machine gives the same bits twice.

    The last bits of a matrix product may depend on its number of rows. Therefore only batches of equal sizes are
    compared: batches without the challenger with each other, and batches with the challenger with batches that contain
    an untrained adapter of its shape. The challenger answers every clip too, so that each batch mixes both.
    """
    stand_in = build(backbone, challenger.config, challenger.task, _STAND_IN_SEED)
    host = AdapterHost(backbone)
    for champion in champions:
        host.add(champion.name, _with_exact_task(champion.model))
    alone = [Request(champion.name, waveform) for champion in champions for waveform in champion.waveforms]
    mixed = [*alone, *(Request("", request.waveform) for request in alone)]

    def outputs(requests: Sequence[Request]) -> list[bytes]:
        return host.answer(requests)[: len(alone)]

    # both settings without the challenger twice: a host with non-deterministic kernels must not blame the challenger
    before, before_again = outputs(alone), outputs(alone)
    host.add("", _with_exact_task(stand_in))
    with_stand_in, with_stand_in_again = outputs(mixed), outputs(mixed)
    host.replace("", _with_exact_task(challenger))
    with_challenger = outputs(mixed)
    host.remove("")
    settings = (before, outputs(alone), with_stand_in, with_challenger)
    compared, start = list[SlotOutputs](), 0
    for champion in champions:
        version, clips = champion.version, len(champion.waveforms)
        digests = [hashlib.sha256(b"".join(answers[start : start + clips])).hexdigest() for answers in settings]
        compared.append(SlotOutputs(champion.name, version.version, version.bundle_digest, clips, *digests))
        start += clips
    return tuple(compared), (before, with_stand_in) == (before_again, with_stand_in_again)


class _ExactTask:
    """A task that answers with a digest of its answer and of all frames that its head processed."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def predict(self, head: torch.nn.Module, frames: torch.Tensor, counts: torch.Tensor) -> list[bytes]:
        answers = self.task.predict(head, frames, counts)
        return [
            hashlib.sha256(_as_bytes(answer) + _as_bytes(processed[:count].cpu().numpy())).digest()
            for answer, processed, count in zip(answers, frames, counts.tolist(), strict=True)
        ]


def _with_exact_task(model: ElpModel) -> ElpModel:
    model.task = cast(Task, _ExactTask(model.task))
    return model


def _as_bytes(value: Any) -> bytes:
    """Return an answer as bytes: text, or the numbers of an array."""
    return value.encode() if isinstance(value, str) else bytes(value.tobytes())

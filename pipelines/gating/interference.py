"""Whether a challenger changes what other slots' champions answer: all of them on one host, compared bit for bit."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from elp_core.assemble import build
from elp_core.audio import Waveform, load
from elp_core.backbones import Backbone
from elp_core.bundle import load_bundle
from elp_core.config import ElpConfig
from elp_core.errors import AudioError, BundleError, ElpError, FingerprintMismatch, HostError
from elp_core.inference import AdapterHost, Request
from elp_core.model import ElpModel
from elp_core.tasks import Task
from pipelines.datasets.versions import load_golden
from pipelines.errors import RegistryError, VersioningError
from pipelines.registry.adapter_version import AdapterVersion, Tags
from pipelines.registry.client import bundle_models as models
from pipelines.registry.client import model_registry as registry
from pipelines.registry.policies import SafetyPolicy
from pipelines.registry.slot import Slot
from pipelines.registry.verdict import Neighbour, Neighbourhood

if TYPE_CHECKING:
    import torch
    from mlflow import MlflowClient

_CANNOT = (AudioError, BundleError, FingerprintMismatch, HostError, RegistryError, VersioningError)
"""What is wrong with another slot, and no fault of the challenger."""
_STAND_IN_SEED = 1


@dataclass(frozen=True)
class Guest:
    """Another slot's champion, and the golden clips that it answers."""

    version: AdapterVersion
    model: ElpModel
    waveforms: tuple[Waveform, ...]

    @property
    def name(self) -> str:
        """Its slot."""
        return str(self.version.slot)


def compare_neighbours(
    client: MlflowClient,
    challenger: AdapterVersion,
    backbone: Backbone,
    policy: SafetyPolicy,
    repository: str,
    cache: Path,
    log: Callable[[str], None],
) -> Neighbourhood:
    """Let champions of other slots answer alone, beside a stand-in, beside the challenger, and alone again.

    Which slots, where there are more than the policy compares, follows from the challenger's digest: other versions
    meet others. A slot whose champion or golden set cannot be had is named, and holds nobody up; so is
    every slot where the challenger is of another method than ELP, which shares no host.

    Args:
        client: connection to the MLflow server.
        challenger: the version that is judged.
        backbone: shared by all.
        policy: how many slots, and clips of each.
        repository: the workspace's Git repository.
        cache: folder for bundles and data.
        log: takes one line of progress at a time.
    """
    others = [slot for slot in registry.list_slots(client) if slot != challenger.slot] if policy.neighbours else []
    others.sort(key=lambda slot: hashlib.sha256(f"{challenger.bundle_digest} {slot}".encode()).digest())
    if not others:
        return Neighbourhood((), 0, (), True)
    champions = _champions(client, others, backbone)
    model = load_bundle(models.download_bundle(client, challenger, cache), backbone)
    if not isinstance(model.config, ElpConfig):
        # it never stands in one batch with others; what it does to the backbone is a check of its own
        kind = type(model.config).__name__
        names = [version.name for version in itertools.islice(champions, policy.neighbours)]
        apart = tuple(f"{name}: a host takes ELP adapters, no {kind}" for name in names)
        return Neighbourhood((), len(others), apart, True)
    guests: list[Guest] = []
    skipped: list[str] = []
    for version in champions:
        try:
            guests.append(_invite(client, version, backbone, policy.neighbour_clips, repository, cache))
        except _CANNOT as error:
            skipped.append(f"{version.name}: {_first_line(error)}")
        if len(guests) == policy.neighbours:
            break
    if not guests:
        return Neighbourhood((), len(others), tuple(skipped), True)
    log(f"comparing the answers of {len(guests)} of {len(others)} other slots beside {challenger.name}")
    compared, repeatable = compare_on_host(guests, model, backbone)
    return Neighbourhood(compared, len(others), tuple(skipped), repeatable)


def _champions(client: MlflowClient, slots: Sequence[Slot], backbone: Backbone) -> Iterator[AdapterVersion]:
    """The slots' champions on this backbone; a slot is looked up when its turn comes."""
    for slot in slots:
        version = registry.find_champion(client, slot)
        if version is not None and version.tags.get(Tags.FINGERPRINT) == backbone.fingerprint:
            yield version


def compare_on_host(
    guests: Sequence[Guest], challenger: ElpModel, backbone: Backbone
) -> tuple[tuple[Neighbour, ...], bool]:
    """Digests of what each guest puts out in four settings, and whether this machine gives the same bits twice.

    The sums of a matrix product may depend on how many rows it has. So batches are compared with batches of the same
    sizes only: those of the guests alone with each other, and those beside the challenger with those beside an
    untrained adapter of its shape. Every clip of a guest is the challenger's too: each batch mixes the two.
    """
    stand_in = build(backbone, challenger.config, challenger.task, _STAND_IN_SEED)
    host = AdapterHost(backbone)
    for guest in guests:
        host.add(guest.name, _exact(guest.model))
    alone = [Request(guest.name, waveform) for guest in guests for waveform in guest.waveforms]
    beside = [*alone, *(Request("", request.waveform) for request in alone)]

    def outputs(requests: Sequence[Request]) -> list[bytes]:
        return host.answer(requests)[: len(alone)]

    before, again = outputs(alone), outputs(alone)
    host.add("", _exact(stand_in))
    with_stand_in, with_stand_in_again = outputs(beside), outputs(beside)
    host.replace("", _exact(challenger))
    with_challenger = outputs(beside)
    host.remove("")
    settings = (before, outputs(alone), with_stand_in, with_challenger)
    repeatable = (before, with_stand_in) == (again, with_stand_in_again)
    return tuple(_neighbours(guests, settings)), repeatable


def _neighbours(guests: Sequence[Guest], settings: Sequence[Sequence[bytes]]) -> Iterator[Neighbour]:
    """One a guest, of the outputs in each setting in the order of the guests' clips."""
    start = 0
    for guest in guests:
        part = slice(start, start + len(guest.waveforms))
        start = part.stop
        digests = [hashlib.sha256(b"".join(outputs[part])).hexdigest() for outputs in settings]
        version = guest.version
        yield Neighbour(guest.name, version.version, version.bundle_digest, len(guest.waveforms), *digests)


def _invite(
    client: MlflowClient, version: AdapterVersion, backbone: Backbone, count: int, repository: str, cache: Path
) -> Guest:
    model = load_bundle(models.download_bundle(client, version, cache), backbone)
    clips = load_golden(repository, "latest", version.slot, cache).clips[:count]
    return Guest(version, model, tuple(load(clip.audio) for clip in clips))


class _Exact:
    """A task that answers with the digest of all that its head saw and said."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def predict(self, head: torch.nn.Module, frames: torch.Tensor, counts: torch.Tensor) -> list[bytes]:
        answers = self.task.predict(head, frames, counts)
        return [
            hashlib.sha256(_raw(answer) + _raw(heard[:count].cpu().numpy())).digest()
            for answer, heard, count in zip(answers, frames, counts.tolist(), strict=True)
        ]


def _exact(model: ElpModel) -> ElpModel:
    model.task = cast(Task, _Exact(model.task))
    return model


def _raw(value: Any) -> bytes:
    """An answer as bytes: text, or the numbers of an array."""
    return value.encode() if isinstance(value, str) else bytes(value.tobytes())


def _first_line(error: ElpError) -> str:
    return str(error).partition("\n")[0]

"""A running `elp serve` in a thread of the test process, with untrained bundles of every task."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import torch

from elp_core.assemble import build
from elp_core.bundle import bundle_digest, load_bundle, write_bundle
from elp_core.class_answer import ClassCalibration
from elp_core.model import ElpModel
from elp_core.tasks import make_task
from elp_core.tasks.classification import ClipClassification
from elp_core.testing import save_tiny, tiny_backbone
from pipelines.errors import ServiceError
from pipelines.local.settings import Settings
from pipelines.registry.slot import Slot
from pipelines.serving.champion_source import Champion, ChampionSource, FetchedBundle
from pipelines.serving.http.api_keys import ApiKeyFile
from pipelines.serving.http.serve_options import ServeOptions
from pipelines.serving.http.serve_process import (
    OpenService,
    listening_socket,
    open_service,
    web_server,
)
from tests.support.bundles import SMALL, lineage
from tests.support.clips import two_speakers
from tests.support.mlflow_server import free_port

BACKBONE = tiny_backbone("hubert")
TASKS = ("asr", "asv", "ser", "sic")


@dataclass
class FolderChampions:
    """Champions that a test appoints; `away` is a registry that does not answer."""

    versions: dict[Slot, tuple[int, Path] | None] = field(default_factory=dict)
    away: bool = False
    name: str = "folders"

    def champions(self) -> Mapping[Slot, Champion | None]:
        if self.away:
            raise ServiceError("no MLflow server answers")
        return {slot: Champion(found[0]) if found else None for slot, found in self.versions.items()}

    def fetch(self, slot: Slot, version: int | str) -> FetchedBundle:
        found = self.versions[slot]
        assert found
        assert found[0] == version
        return FetchedBundle(found[0], found[1], bundle_digest(found[1]))

    def updates_stopped(self) -> str:
        return ""


@dataclass(frozen=True)
class SpeechServer:
    """A server that answers at `url`."""

    url: str
    opened: OpenService
    keys: Path
    client: httpx.Client

    def ask(self, route: str, model: str, audio: bytes, **fields: str) -> httpx.Response:
        """POST one recording."""
        files = {"file": ("clip.wav", audio)}
        return self.client.post(f"/v1/{route}", data={"model": model, **fields}, files=files)


def write_varied(folder: Path, slot: Slot, seed: int, calibration: ClassCalibration | None = None) -> Path:
    """Write a bundle whose answers differ for each seed and each sound; return its folder."""
    task = make_task(slot.task, two_speakers())
    if isinstance(task, ClipClassification):
        task = replace(task, calibration=calibration)
    model = build(BACKBONE, SMALL, task, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.trainable().values():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    write_bundle(folder, model.eval(), lineage(slot, str(seed), BACKBONE.fingerprint), {})
    return folder


def loaded(folder: Path) -> ElpModel:
    """Return the model of a bundle, for answers of its own."""
    return load_bundle(folder, BACKBONE)


@contextlib.contextmanager
def speech_server(
    source: ChampionSource,
    folder: Path,
    options: ServeOptions | None = None,
    *,
    required: bool = False,
    slots: Mapping[str, Mapping[str, object]] | None = None,
    backbone: str = "",
) -> Iterator[SpeechServer]:
    """Serve in a thread until the block ends; `folder` is for the file of keys, and the backbone if none is named.

    `slots` are the slots' own settings.
    """
    keys = folder / "api-keys.json"
    if not backbone:
        backbone = str(folder / "backbone")
        if not Path(backbone).is_dir():
            save_tiny(Path(backbone))
    options = replace(options or ServeOptions(every=0.05, decoders=1), port=free_port())
    silent: list[str] = []
    settings = Settings(backbone=backbone, slots=slots or {})
    with (
        contextlib.closing(listening_socket(options)) as listener,
        open_service(source, settings, options, ApiKeyFile(keys, required, "local-key"), silent.append) as opened,
    ):
        server = web_server(opened.app, options)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            with httpx.Client(base_url=options.address, timeout=60, trust_env=False, verify=False) as client:
                wait_until(lambda: server.started)
                yield SpeechServer(options.address, opened, keys, client)
        finally:
            server.should_exit = True
            thread.join()


def wait_until(happened, seconds: float = 60.0) -> None:
    """Return as soon as something is so; fail after `seconds`."""
    ends = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < ends, "it did not happen in time"
        time.sleep(0.01)

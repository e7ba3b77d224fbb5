"""A workspace with a champion, and sessions of audio that its site sends."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from elp_core.testing import save_tiny
from pipelines.datasets.ingest import add_delivery
from pipelines.local.initialise import init_workspace
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.monitoring.look_list import monitor_folder
from pipelines.monitoring.monitor_slot import LookResult, monitor_slot
from pipelines.monitoring.sent_audio import SentAudio
from pipelines.registry.client.connection import connect
from pipelines.registry.slot import Slot
from tests.support.bundles import add_bundle
from tests.support.clips import voice, wav
from tests.support.deliveries import WORDS, write_manifest
from tests.support.versions import make_champion
from tests.support.workspaces import isolate

SETTINGS = """
remote: .elp/remote
backbone: {backbone}
servers: {{mlflow_uri: "{uri}", prefect_api: "{prefect_api}"}}
defaults: {{asr: {{monitor: {{block_clips: 2, retrain: {{max_age_days: 0}}}}}}}}
"""


@dataclass(frozen=True)
class Watched:
    """A workspace with a champion of one slot on a server."""

    workspace: Workspace
    uri: str
    slot: Slot

    def look(self, source: Path, slot: Slot | None = None) -> LookResult:
        """Look at what a site sent."""
        place, slot = self.workspace, slot or self.slot
        return monitor_slot(
            str(place.root), slot, place.settings, SentAudio(source, log=lambda line: None), mlflow_uri=self.uri,
            cache=place.cache, folder=monitor_folder(place.state, slot), log=lambda line: None,
        )  # fmt: skip


def _sound(session: int, take: int, noise: float = 0.0) -> bytes:
    clip = voice(0.4, 180 + 9 * (session % 20) + 5 * take, 1000 + 10 * session + take)
    return wav(clip * 0.5 + noise * np.random.default_rng(session).standard_normal(len(clip)).astype(np.float32))


def write_sessions(folder: Path, first: int, count: int, noise: float = 0.0) -> Path:
    """Write a folder of sessions of two recordings each."""
    for session in range(first, first + count):
        (folder / f"session-{session}").mkdir(parents=True)
        for take in range(2):
            (folder / f"session-{session}" / f"{take}.wav").write_bytes(_sound(session, take, noise))
    return folder


def watched_slot(folder: Path, uri: str, slot: Slot, prefect_api: str = "") -> Watched:
    """Make the workspace, with nine speakers in the golden set, and a policy that retrains at once."""
    with pytest.MonkeyPatch.context() as patch:
        isolate(folder / "home", patch)
        save_tiny(folder / "backbone")
        workspace = init_workspace(folder / "workspace")
        text = SETTINGS.format(backbone=folder / "backbone", uri=uri, prefect_api=prefect_api)
        (workspace.root / "elp.yaml").write_text(text)
        subprocess.run(["git", "-C", str(workspace.root), "commit", "-q", "-am", "Set it up"], check=True)
        workspace = open_workspace(workspace.root)
        rows = []
        for speaker in range(16):
            for take in range(3):
                name = f"{speaker}_{take}.wav"
                (folder / name).write_bytes(_sound(100 + speaker, take))
                split = "test" if speaker < 9 else "validation" if speaker < 11 else "train"
                rows.append({"audio_filepath": name, "text": WORDS[take], "speaker": f"s{speaker}", "split": split})
        add_delivery(workspace, slot, write_manifest(folder, rows))
    # outside of the block: the server's keys sign
    client = connect(uri)
    make_champion(client, add_bundle(client, slot, slot.site, folder))
    return Watched(workspace, uri, slot)

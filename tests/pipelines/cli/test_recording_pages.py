"""The commands of the pages about long and annotated recordings, as they are shown, in one workspace."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest

from elp_core.testing import save_tiny
from pipelines.cli.main import run
from pipelines.local.workspace import Workspace
from pipelines.registry.client.connection import connect
from pipelines.registry.slot import Slot
from tests.docs.pages import fences
from tests.elp_core.test_media import encode
from tests.support.bundles import add_bundle
from tests.support.clips import voice, wav
from tests.support.versions import make_champion

pytestmark = pytest.mark.integration


def _commands(page: str) -> list[str]:
    return [line for fence in fences("sh") if fence.page == page for line in fence.commands if line.startswith("elp ")]


@pytest.fixture
def shown(workspace: Workspace, mlflow_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a workspace whose slot plant-a/asr has a champion, with the files that the pages name."""
    save_tiny(tmp_path / "backbone")
    settings = f"servers: {{mlflow_uri: '{mlflow_uri}'}}\nbackbone: '{tmp_path / 'backbone'}'\n"
    (workspace.root / "elp.yaml").write_text(settings)
    client = connect(mlflow_uri)
    make_champion(client, add_bundle(client, Slot("plant-a", "asr"), "pages", tmp_path))
    monkeypatch.chdir(workspace.root)
    sound = voice(2.0, 300.0, 1)
    Path("call.wav").write_bytes(wav(sound))
    Path("stereo.wav").write_bytes(wav(np.stack([sound, voice(2.0, 500.0, 2)], axis=1)))
    encode(Path("meeting.m4a"), "aac")
    Path("names.txt").write_text("Kowalski\n")
    return workspace.root


@pytest.mark.parametrize("page", ["long-recordings.md", "decoding.md"])
def test_the_commands_that_transcribe_run(page: str, shown: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands = [line for line in _commands(page) if "--lm " not in line]
    assert len(commands) >= 2
    for line in commands:
        words, _, target = line.partition(" > ")
        assert run(shlex.split(words)[1:]) == 0, (line, capsys.readouterr().err)
        out = capsys.readouterr().out
        if target:
            assert out == "" or out.startswith("1\n00:00:")
    assert run(["predict", "plant-a/asr", "stereo.wav"]) == 1
    assert "channels that differ, and they are not mixed unasked; add --channel left" in capsys.readouterr().err


def test_an_annotated_folder_becomes_a_version(shown: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shown / "annotated"
    folder.mkdir()
    parts = [voice(1.0, 200.0 + 30 * number, number) for number in range(12)]
    (folder / "call.wav").write_bytes(wav(np.concatenate(parts)))
    turns = [
        f"call 1 speaker-{chr(97 + n % 6)} {n} {n + 0.9:.2f} open the door {'abcdefghijkl'[n]}\n" for n in range(11)
    ]
    (folder / "call.stm").write_text("".join([*turns, "call 1 late 20 21 out of the file\n"]))
    for line in _commands("annotated-recordings.md"):
        assert run(shlex.split(line)[1:]) == 0, (line, capsys.readouterr().err)
        out = capsys.readouterr().out
        if "--dry-run" in line:
            assert "11" in out
    assert "out_of_file" in out
    assert "line 12: the segment from 20.000 s to 21.000 s is not in its file, which lasts 12.000 s" in out

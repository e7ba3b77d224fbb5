from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import soundfile

from elp_core.testing import save_tiny
from pipelines.registry.client.connection import connect
from pipelines.registry.slot import Slot
from tests.support.bundles import add_bundle
from tests.support.clips import voice, wav
from tests.support.command import Elp, elp_in
from tests.support.versions import make_champion

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = pytest.mark.integration


@pytest.fixture
def elp(mlflow_uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Elp:
    """Run `elp` in a workspace whose slot cli-words/asr has a champion, with call.wav in the current folder."""
    root = tmp_path / "workspace"
    root.mkdir()
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    save_tiny(tmp_path / "backbone")
    settings = f"servers: {{mlflow_uri: '{mlflow_uri}'}}\nbackbone: '{tmp_path / 'backbone'}'\n"
    (root / "elp.yaml").write_text(settings + "slots: {cli-words/asr: {decode: {beam: 4, hotwords: [Ab]}}}\n")
    client: MlflowClient = connect(mlflow_uri)
    make_champion(client, add_bundle(client, Slot("cli-words", "asr"), "k1", tmp_path))
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("call.wav", "other.wav")):
        Path(name).write_bytes(wav(voice(0.6, 200.0 + 40 * number, number)))
    return elp_in(root, capsys)


def test_every_format_has_the_same_words(elp: Elp) -> None:
    code, text, _ = elp("predict", "cli-words/asr", "call.wav")
    assert code == 0
    found = json.loads(elp("predict", "cli-words/asr", "call.wav", "--format", "json")[1])
    assert found["file"] == "call.wav"
    assert found["text"] == text.strip() == " ".join(w["text"] for s in found["segments"] for w in s["words"])
    word = found["segments"][0]["words"][0]
    assert 0 <= word["start"] < word["end"] <= found["seconds"] == 0.6
    assert 0 < word["confidence"] <= 1
    whole = json.loads(elp("predict", "cli-words/asr", "call.wav", "--json")[1])
    assert whole["answers"] == [found["text"]]
    assert whole["transcripts"][0]["segments"] == found["segments"]
    assert elp("predict", "cli-words/asr", "call.wav", "--format", "srt")[1].startswith("1\n00:00:00,")
    assert elp("predict", "cli-words/asr", "call.wav", "--format", "vtt")[1].startswith("WEBVTT\n\n00:00:00.")
    two = json.loads(elp("predict", "cli-words/asr", "call.wav", "other.wav", "--format", "json")[1])
    assert [one["file"] for one in two] == ["call.wav", "other.wav"]
    assert len(elp("predict", "cli-words/asr", "call.wav", "other.wav")[1].splitlines()) == 3


def test_hotwords_come_from_a_file_or_from_the_slot(elp: Elp) -> None:
    Path("names.txt").write_text("Kowalski\n")
    code, out, _ = elp("predict", "cli-words/asr", "call.wav", "--hotwords", "names.txt", "--hotword-weight", "40")
    assert code == 0
    assert out != elp("predict", "cli-words/asr", "call.wav")[1]
    code, _, err = elp("predict", "cli-words/asr", "call.wav", "--hotwords", "nowhere.txt")
    assert (code, "the hotwords nowhere.txt cannot be read: No such file" in err) == (2, True)
    Path("names.txt").write_text("株式会社\n")
    code, _, err = elp("predict", "cli-words/asr", "call.wav", "--hotwords", "names.txt")
    assert (code, "cannot spell the hotword '株式会社'" in err) == (2, True)


def test_a_file_that_was_cut_off_is_refused(elp: Elp) -> None:
    content = io.BytesIO()
    soundfile.write(content, voice(3.0, 200.0, 0), 16_000, format="MP3")
    Path("call.mp3").write_bytes(content.getvalue())
    assert elp("predict", "cli-words/asr", "call.mp3")[0] == 0
    Path("call.mp3").write_bytes(content.getvalue()[: len(content.getvalue()) // 2])
    code, _, err = elp("predict", "cli-words/asr", "call.mp3")
    assert (code, "call.mp3 is not what it says: its header says 3." in err) == (1, True)
    both = io.BytesIO()
    soundfile.write(both, voice(3.0, 200.0, 0), 16_000, format="OGG")
    # libsndfile decodes the first of two streams only
    Path("call.ogg").write_bytes(both.getvalue() * 2)
    code, _, err = elp("predict", "cli-words/asr", "call.ogg")
    assert (code, "its bytes hold 6.00 s, it decodes to 3.00 s" in err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("x/asv", "a.wav", "b.wav", "--format", "srt"), "x/asv writes no transcripts; --format is for SITE/asr"),
        (("x/ser", "a.wav", "--no-vad"), "x/ser writes no transcripts; --no-vad is for SITE/asr"),
        (("x/asv", "a.wav", "b.wav", "--lm", "x", "--beam", "5"), "no transcripts; --beam, --lm are for SITE/asr"),
        (("x/asr", "a.wav", "b.wav", "--format", "srt"), "writes one file of subtitles, got 2 recordings"),
        (("x/asr", "a.wav", "--format", "json", "--json"), "give it without --format"),
        (("x/asr", "a.wav", "--hotword-weight", "3"), "need beam search"),
        (("x/asr", "a.wav", "--beam", "5", "--hotword-weight", "3"), "add --hotwords FILE"),
    ],
)
def test_wrong_use_is_a_usage_error(elp: Elp, arguments: tuple[str, ...], said: str) -> None:
    code, _, err = elp("predict", *arguments)
    assert code == 2
    assert said in err

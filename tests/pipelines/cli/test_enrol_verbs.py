"""`elp enrol` from the first recording to the revocation."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from elp_core.tasks import SpeakerVerification
from elp_core.testing import save_tiny
from pipelines.registry.client.connection import connect
from pipelines.registry.slot import Slot
from tests.support.bundles import add_bundle
from tests.support.clips import voice, wav
from tests.support.command import Elp, elp_in
from tests.support.versions import make_champion

pytestmark = pytest.mark.integration

SLOT = Slot("cli-voices", "asv")


@pytest.fixture
def elp(mlflow_uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Elp:
    """Run `elp` in a workspace whose slot has two versions, with recordings in the current folder."""
    root = tmp_path / "workspace"
    root.mkdir()
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    save_tiny(tmp_path / "backbone")
    (root / "elp.yaml").write_text(f"servers: {{mlflow_uri: '{mlflow_uri}'}}\nbackbone: '{tmp_path / 'backbone'}'\n")
    client, task = connect(mlflow_uri), SpeakerVerification(("anna", "bert"), threshold=-1.0)
    make_champion(client, add_bundle(client, SLOT, "k1", tmp_path, task))
    add_bundle(client, SLOT, "k2", tmp_path, task)
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("one.wav", "two.wav", "call.wav")):
        Path(name).write_bytes(wav(voice(1.5, 200.0, number)))
    return elp_in(root, capsys)


def test_a_voice_from_enrolment_to_revocation(elp: Elp) -> None:
    slot = str(SLOT)
    assert elp("enrol", "list", slot)[1].startswith(f"no voice is enrolled in {slot}; enrol one: elp enrol add")
    consent = ("--consent", "form 7")
    code, text, _ = elp("enrol", "add", slot, "anna", "one.wav", "two.wav", *consent, "--keep-audio")
    assert (code, text.startswith(f"anna is enrolled for {slot} v1 (voice ")) == (0, True)
    assert "2 recordings, 3 s, cohesion " in text
    code, text, _ = elp("enrol", "add", slot, "bert", "call.wav", "call.wav", *consent, "--min-seconds", "1")
    assert (code, "warning: the voice would be accepted as anna, too" in text) == (0, True)
    assert text.splitlines()[0].endswith("1 recording, 1.5 s")
    assert "1 repeated recording left out" in text
    code, text, _ = elp("enrol", "match", slot, "anna", "call.wav")
    assert (code, text.startswith("accepted as anna: score ")) == (0, True)
    assert json.loads(elp("enrol", "match", slot, "anna", "call.wav", "--json")[1])["version"] == 1
    code, _, err = elp("enrol", "match", slot, "anna", "call.wav", "--version", "2")
    assert (code, "scores across bundles mean nothing; renew it: elp enrol migrate" in err) == (1, True)
    code, text, err = elp("enrol", "migrate", slot, "--version", "2")
    assert (code, f"1 enrolled voice of {slot} cannot be compared with v2" in err) == (1, True)
    assert text.splitlines() == [
        f"{slot} v2: renewed 1, had one already 0",
        "not renewed: bert: its recordings were not kept: enrol the speaker again",
    ]
    assert elp("enrol", "match", slot, "anna", "call.wav", "--version", "2")[0] == 0
    rows = [line.split() for line in elp("enrol", "list", slot)[1].splitlines()]
    assert [(row[0], row[1]) for row in rows[1:]] == [("anna", "v1,"), ("bert", "v1")]
    for name, sound in (("silent.wav", [0.0]), ("two.wav", [200.0, 400.0])):
        channels = [voice(3.0, pitch, 9) if pitch else np.zeros(48_000, np.float32) for pitch in sound]
        soundfile.write(name, np.stack(channels, 1), 16_000)
    assert "silent.wav has no sound" in elp("enrol", "match", slot, "anna", "silent.wav")[2]
    assert "two.wav has 2 channels that differ" in elp("enrol", "add", slot, "carl", "two.wav", *consent)[2]
    assert elp("enrol", "add", slot, "carl", "two.wav", *consent, "--channel", "left")[0] == 0
    code, text, _ = elp("enrol", "revoke", slot, "anna", "--reason", "asked for it")
    assert (code, text.strip()) == (0, "anna is revoked: 2 templates deleted")
    code, _, err = elp("enrol", "match", slot, "anna", "call.wav")
    assert (code, f"anna is not enrolled in {slot}" in err) == (1, True)

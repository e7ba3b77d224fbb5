"""Voices are enrolled at a box and compared there: sealed in its own folder, bound to the bundle that it pulled."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import numpy as np
import pytest

from elp_core.fail_points import LOG_VARIABLE, VARIABLE
from elp_core.metrics.verification import Match
from elp_core.tasks import SpeakerVerification
from elp_core.testing import save_tiny
from pipelines.cli.main import run
from pipelines.distribution.pull_set import roll_back_set
from pipelines.errors import GateRefused, TemplateError, WorkspaceError
from pipelines.local.box_home import BoxSettings, active_set, write_box
from pipelines.registry.slot import Slot
from pipelines.serving.box_champions import BoxChampions
from pipelines.serving.http.api_keys import add_api_key
from pipelines.serving.http.serve_options import ServeOptions
from pipelines.serving.voices.box_templates import box_templates, voices_at
from pipelines.serving.voices.enrolment import enrol_voice, revoke_voice
from pipelines.serving.voices.listing import enrolled_voices
from pipelines.serving.voices.matching import match_voice
from pipelines.serving.voices.verifier import Verifier
from pipelines.serving.voices.voice_place import box_voices
from tests.support.bundles import make_bundle
from tests.support.clips import voice, wav
from tests.support.delivery_by_hand import NOW, Depot, ship_fingerprint
from tests.support.speech_server import SpeechServer, speech_server, wait_until

pytestmark = pytest.mark.integration
SLOT = Slot("plant-a", "asv")
ANNA = [voice(1.0, 150.0, seed) for seed in (1, 2, 3)]
BERT = [voice(1.0, 320.0, seed) for seed in (4, 5, 6)]


@pytest.fixture
def publish(depot: Depot, tmp_path: Path) -> Callable[[int], None]:
    """Publish a version of the slot that accepts everybody."""

    def published(version: int) -> None:
        folder = tmp_path / f"v{version}" / "bundle"
        folder.parent.mkdir()
        make_bundle(folder, SLOT, f"k{version}", task=SpeakerVerification(("anna", "bert"), threshold=-1.0))
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        shipped = depot.ship(str(SLOT), version, "", files=files)
        depot.publish(NOW + timedelta(hours=version), plant_a=[shipped])

    return published


@pytest.fixture
def pulled(depot: Depot, publish: Callable[[int], None], box: Path, tmp_path: Path) -> Path:
    """A box with plant-a/asv v1."""
    publish(1)
    _pull(depot, box, tmp_path, 1)
    return box


def _pull(depot: Depot, box: Path, tmp_path: Path, hour: int) -> None:
    if not (tmp_path / "backbone").is_dir():
        save_tiny(tmp_path / "backbone")
    write_box(box, BoxSettings("plant-a", backbone=str(tmp_path / "backbone")))
    depot.pull(box, depot.medium(tmp_path / "medium"), NOW + timedelta(hours=hour))


def _verifier(box: Path) -> Verifier:
    """A verifier of the pulled bundle whose embeddings are spectra, which cost nothing."""
    adapter = active_set(box).site_set.adapters[0]

    def embed(waveforms):
        bands = [np.abs(np.fft.rfft(one, 16_000))[:1024].astype(np.float32) for one in waveforms]
        return [one / np.linalg.norm(one) for one in bands]

    def compare(enrolled, test):
        return Match(float(np.mean(enrolled, 0) @ test), None)

    return Verifier(SLOT, adapter.version, adapter.bundle, ship_fingerprint(), -1.0, embed, compare)


def test_a_voice_is_enrolled_over_http_and_bound_to_the_pulled_bundle(
    depot: Depot, publish: Callable[[int], None], pulled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ServeOptions(every=0.05, decoders=1, voices=box_voices(pulled))

    def elp(*words: str) -> tuple[int, str]:
        code = run(["enrol", *words, "--box", str(pulled)])
        said = capsys.readouterr()
        return code, said.out + said.err

    with speech_server(BoxChampions(pulled), tmp_path, options) as server:
        _, text = add_api_key(server.keys, "door", [str(SLOT)], [str(SLOT)])
        key = {"authorization": f"Bearer {text}"}

        def verify(name: str, recording: np.ndarray) -> httpx.Response:
            data, files = {"model": str(SLOT), "voice": name}, {"file": ("clip.wav", wav(recording))}
            return server.client.post("/v1/verify", data=data, files=files, headers=key)

        made = _enrol(server, key, "Anna", ANNA, keep_audio="true")
        assert (made.status_code, made.json()["recordings"], made.json()["audio_kept"]) == (200, 3, True)
        assert _enrol(server, key, "Bert", BERT).status_code == 200
        again = _enrol(server, key, "ANNA ", ANNA)
        assert (again.status_code, "this name is enrolled in plant-a/asv since" in again.text) == (409, True)
        first = verify("anna", ANNA[0])
        assert (first.json()["accepted"], first.headers["elp-version"]) == (True, "1")
        assert verify("Carl", ANNA[0]).json()["error"]["code"] == "not_enrolled"

        publish(2)
        _pull(depot, pulled, tmp_path, 2)
        wait_until(lambda: server.opened.served.find(SLOT).version == 2)
        refused = verify("Anna", ANNA[0])
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "other_bundle")
        assert first.headers["elp-bundle-digest"] in refused.text
        assert box_templates(pulled).unrenewed() == {str(SLOT): 2}
        code, said = elp("migrate", str(SLOT))
        assert (code, "v2: renewed 1, had one already 0" in said) == (1, True)
        assert "not renewed: Bert: its recordings were not kept" in said
        assert [verify(name, ANNA[0]).status_code for name in ("Anna", "Bert")] == [200, 409]
        # side by side: the set before finds its templates
        roll_back_set(pulled)
        wait_until(lambda: server.opened.served.find(SLOT).version == 1)
        assert [verify(name, ANNA[0]).status_code for name in ("Anna", "Bert")] == [200, 200]
        assert elp("revoke", str(SLOT), "anna", "--reason", "asked for it") == (
            0,
            "anna is revoked: 2 templates deleted\n",
        )
        assert verify("Anna", ANNA[0]).status_code == 404
    code, said = elp("list", str(SLOT), "--json")
    assert [(one["name"], one["versions"]) for one in json.loads(said)] == [("Bert", [1])]
    assert not list(voices_at(pulled).glob("recordings/*"))
    code, said = elp("list", str(SLOT), "--record")
    assert (code, said.splitlines()[-1].endswith("asked for it")) == (0, True)
    entries = box_templates(pulled).entries()
    assert [(one.event, one.version) for one in entries] == [
        *[("voice enrolled", version) for version in (1, 1, 2)],
        ("voice revoked", None),
    ]
    assert (entries[0].by, entries[-1].reason) == ("API key door", "asked for it")


def _enrol(
    server: SpeechServer, key: dict[str, str], name: str, given: list[np.ndarray], **more: str
) -> httpx.Response:
    fields = {"model": str(SLOT), "voice": name, "consent": "form 7", **more}
    files = [("file", ("clip.wav", wav(one))) for one in given]
    return server.client.post("/v1/enrol", data=fields, files=files, headers=key)


def test_what_is_stored_opens_at_its_own_box_only(depot: Depot, pulled: Path, tmp_path: Path) -> None:
    place, verifier = box_voices(pulled), _verifier(pulled)
    # a name so long that the sealed text, which is random, does not have its letters by chance
    made = enrol_voice("Anna Katharina", ANNA, verifier, place, consent="form 7").template
    database = voices_at(pulled) / "templates.sqlite3"
    assert database.stat().st_mode & 0o77 == 0
    assert b"katharina" not in database.read_bytes().lower()
    other = tmp_path / "other"
    _pull(depot, other, tmp_path, 1)
    theirs = box_voices(other)
    enrol_voice("Bert", BERT, verifier, theirs, consent="form 8")
    shutil.copy(database, voices_at(other))
    with pytest.raises(TemplateError, match="sealed with another key than this machine's"):
        enrolled_voices(SLOT, theirs)
    with pytest.raises(TemplateError, match="sealed with another key than this machine's"):
        enrol_voice("Carl", BERT, verifier, theirs, consent="form 9")
    with pytest.raises(TemplateError, match="Anna is not enrolled"):
        match_voice("Anna", ANNA[0], verifier, theirs)
    # a lost key is not replaced by one that opens nothing
    (voices_at(pulled) / "voices.key").unlink()
    with pytest.raises(TemplateError, match="has no key of enrolled voices"):
        enrol_voice("Carl", BERT, verifier, place, consent="form 9")
    assert not (voices_at(pulled) / "voices.key").exists()
    for changed, said in (
        (replace(made, voice="3" * 32, person="4" * 64, bundle="sha256:" + "0" * 64), "has no plant-a/asv v1 with"),
        (replace(made, voice="3" * 32, person="4" * 64, slot="plant-b/asv"), "has no plant-b/asv v1 with"),
        (made, "has a template for this bundle already"),
        (replace(made, voice="3" * 32), "this name is enrolled in plant-a/asv since"),
    ):
        with pytest.raises(GateRefused, match=said):
            place.store.add(changed)
    with pytest.raises(GateRefused, match="there is no enrolled voice"):
        place.store.revoke("5" * 32, "asked for it")
    database.write_bytes(b"no database" * 100)
    (voices_at(pulled) / "recordings").mkdir()
    box_voices(pulled)
    with pytest.raises(WorkspaceError, match=r"restore the folder \.elp/voices from a copy"):
        place.store.templates(SLOT)


def _change(box: Path, verifier: Verifier, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    place = box_voices(box)
    enrol_voice("Anna", ANNA, verifier, place, consent="form 7", keep_audio=True)
    revoke_voice("Anna", SLOT, place, reason="asked for it")


def _ended(box: Path, verifier: Verifier, **environment: str) -> int | None:
    process = multiprocessing.get_context("fork").Process(target=_change, args=(box, verifier, environment))
    process.start()
    process.join(60)
    return process.exitcode


def test_a_power_cut_at_any_point_leaves_a_voice_whole_or_none(pulled: Path, tmp_path: Path) -> None:
    verifier, log = _verifier(pulled), tmp_path / "points.log"
    shutil.copytree(pulled, tmp_path / "logged")
    assert _ended(tmp_path / "logged", verifier, **{LOG_VARIABLE: str(log)}) == 0
    points = list(dict.fromkeys(log.read_text().splitlines()))
    assert {"before box voices#2", "after box voices#3", "before folder *#1", "before revoked recordings#1"} <= set(
        points
    )
    seen = set()
    for number, point in enumerate(points):
        box = tmp_path / f"box-{number}"
        shutil.copytree(pulled, box)
        assert _ended(box, verifier, **{VARIABLE: point}) == -signal.SIGKILL, point
        place = box_voices(box)
        found = enrolled_voices(SLOT, place)
        kept = [folder.name for folder in voices_at(box).glob("recordings/*")]
        # recordings without a voice are gone, and a voice that says that they are kept has them all
        assert kept == [one.voice for one in found], point
        assert [len(place.folder.recordings(one)) for one in kept] in ([], [3]), point
        seen.add((len(found), point.startswith("after")))
        if found:
            assert match_voice("Anna", ANNA[0], verifier, place).accepted
        else:
            enrol_voice("Anna", ANNA, verifier, place, consent="form 7", keep_audio=True)
    assert {count for count, _ in seen} == {0, 1}

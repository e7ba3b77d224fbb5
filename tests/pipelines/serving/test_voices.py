"""Voices are enrolled, compared, renewed and revoked on a real server, and a promotion waits for their renewal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from elp_core.tasks import SpeakerVerification
from elp_core.testing import save_tiny
from pipelines.errors import GateRefused, TemplateError, UsageError
from pipelines.local.settings import Settings
from pipelines.registry.client import server_api
from pipelines.registry.client.connection import connect
from pipelines.registry.client.voices import list_templates, send_template
from pipelines.registry.slot import Slot
from pipelines.serving.champion_source import RegistryChampions
from pipelines.serving.voices.enrolment import enrol_voice, revoke_voice
from pipelines.serving.voices.listing import enrolled_voices
from pipelines.serving.voices.matching import match_voice
from pipelines.serving.voices.renewal import renew_voices
from pipelines.serving.voices.template_store import RegistryTemplates
from pipelines.serving.voices.verifier import Verifier, load_verifier
from pipelines.serving.voices.voice_folder import VoiceFolder
from pipelines.serving.voices.voice_place import VoicePlace
from tests.support.bundles import add_bundle
from tests.support.clips import voice
from tests.support.versions import make_champion, record_verdict

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from elp_core.metrics.scores import FloatArray

pytestmark = pytest.mark.integration

ANNA = [voice(1.0, 150.0, seed) for seed in (1, 2, 3)]
BERT = [voice(1.0, 320.0, seed) for seed in (4, 5, 6)]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("backbone")
    save_tiny(folder)
    return Settings(backbone=str(folder))


@pytest.fixture
def client(mlflow_uri: str) -> MlflowClient:
    return connect(mlflow_uri)


@pytest.fixture
def folder(tmp_path: Path) -> VoiceFolder:
    return VoiceFolder(tmp_path / "voices")


@pytest.fixture
def place(folder: VoiceFolder, mlflow_uri: str) -> VoicePlace:
    return VoicePlace(folder, RegistryTemplates(mlflow_uri))


@pytest.fixture
def add(
    client: MlflowClient, settings: Settings, mlflow_uri: str, cache: Path, tmp_path: Path
) -> Callable[[Slot, int], Verifier]:
    """Register a version of a slot that accepts every pair of recordings, and load it."""

    def made(slot: Slot, version: int, threshold: float = -1.0) -> Verifier:
        add_bundle(client, slot, f"k{version}", tmp_path, SpeakerVerification(("anna", "bert"), threshold=threshold))
        return load_verifier(slot, settings, RegistryChampions(mlflow_uri, cache), version)

    return made


@pytest.fixture
def enrol(place: VoicePlace) -> Callable[..., Any]:
    def enrolled(name: str, waveforms: list[FloatArray], verifier: Verifier, **more: Any) -> Any:
        options = {"consent": "form 7", "keep_audio": True} | more
        return enrol_voice(name, waveforms, verifier, place, **options)

    return enrolled


def test_an_enrolled_voice_is_compared_and_its_name_stays_on_this_machine(
    add: Any, enrol: Any, place: VoicePlace, mlflow_uri: str, client: MlflowClient
) -> None:
    slot = Slot("compared", "asv")
    verifier = add(slot, 1)
    # a name so long that the sealed text, which is random, does not have its letters by chance
    done = enrol("Anna Katharina", ANNA, verifier)
    assert (done.template.quality.recordings, done.template.quality.seconds) == (3, 3.0)
    assert done.resembles == ()
    same = match_voice("anna katharina", np.concatenate(ANNA), verifier, place)
    other = match_voice("Anna Katharina", BERT[0], verifier, place)
    assert same.score > 0.99
    assert same.score > other.score
    assert same.bundle == verifier.bundle
    (stored,) = list_templates(mlflow_uri, slot)
    assert stored == done.template
    entries = server_api.ledger_entries(mlflow_uri, slot)
    assert entries[-1].event == "voice enrolled"
    assert "katharina" not in (str(stored) + "".join(entry.text for entry in entries)).casefold()
    # everybody is accepted by this threshold, so the second voice is said to resemble the first
    assert enrol("Bert", BERT, verifier).resembles == ("Anna Katharina",)
    assert [one.name for one in enrolled_voices(slot, place)] == ["Anna Katharina", "Bert"]


def test_a_template_of_another_bundle_is_an_error_that_names_both(
    add: Any, enrol: Any, place: VoicePlace, mlflow_uri: str
) -> None:
    slot = Slot("mismatched", "asv")
    first, second = add(slot, 1), add(slot, 2)
    assert first.bundle != second.bundle
    enrol("Anna", ANNA, first)
    with pytest.raises(TemplateError, match="scores across bundles mean nothing") as error:
        match_voice("Anna", ANNA[0], second, place)
    assert first.bundle in str(error.value)
    assert second.bundle in str(error.value)


def test_a_promotion_waits_until_every_voice_is_renewed(
    add: Any, enrol: Any, place: VoicePlace, mlflow_uri: str, client: MlflowClient
) -> None:
    slot = Slot("waiting", "asv")
    first = add(slot, 1)
    champion = make_champion(client, server_api.model_registry.get(client, slot, 1))
    enrol("Anna", ANNA, first)
    enrol("Bert", BERT, first, keep_audio=False)
    second = add(slot, 2)
    record_verdict(client, server_api.model_registry.get(client, slot, 2), against=champion, voices="wait")

    def promote() -> None:
        server_api.change_champion(mlflow_uri, "promote", slot, version=2, by="ann", reason="better")

    with pytest.raises(GateRefused, match="2 enrolled voices are not renewed for it; renew them: elp enrol migrate"):
        promote()
    done = renew_voices(second, place)
    assert (done.renewed, done.present) == (("Anna",), 0)
    assert [(one.name, one.reason) for one in done.left] == [
        ("Bert", "its recordings were not kept: enrol the speaker again")
    ]
    with pytest.raises(GateRefused, match="1 enrolled voices are not renewed"):
        promote()
    revoke_voice("Bert", slot, place, reason="left the plant")
    promote()
    again = renew_voices(second, place)
    assert (again.renewed, again.present, again.left) == ((), 1, ())
    # side by side: a rollback finds the template of the former champion
    for verifier in (first, second):
        assert match_voice("Anna", ANNA[0], verifier, place).accepted
    server_api.change_champion(mlflow_uri, "rollback", slot, by="ann", reason="worse")


def test_a_revoked_voice_is_gone_with_its_recordings(add: Any, enrol: Any, place: VoicePlace, mlflow_uri: str) -> None:
    slot = Slot("revoked", "asv")
    verifier = add(slot, 1)
    kept = enrol("Anna", ANNA, verifier).template
    assert len(place.folder.recordings(kept.voice)) == 3
    with pytest.raises(GateRefused, match="this name is enrolled in revoked/asv since"):
        enrol("ANNA ", ANNA, verifier)
    assert revoke_voice("Anna", slot, place, reason="asked for it") == 1
    assert place.folder.recordings(kept.voice) == []
    (left,) = list_templates(mlflow_uri, slot, revoked=True)
    assert (left.sealed, bool(left.revoked_at)) == ("", True)
    with pytest.raises(TemplateError, match="Anna is not enrolled in revoked/asv"):
        match_voice("Anna", ANNA[0], verifier, place)
    with pytest.raises(TemplateError, match="Anna is not enrolled"):
        revoke_voice("Anna", slot, place, reason="again")
    with pytest.raises(GateRefused, match="was revoked, or is that of another person"):
        send_template(mlflow_uri, kept)
    assert enrol("Anna", ANNA, verifier).template.voice != kept.voice
    events = [entry.event for entry in server_api.ledger_entries(mlflow_uri, slot)]
    assert events[-4:] == ["refused", "voice revoked", "refused", "voice enrolled"]


def test_recordings_that_are_no_basis_are_refused(
    add: Any, enrol: Any, place: VoicePlace, mlflow_uri: str, settings: Settings, cache: Path
) -> None:
    slot = Slot("unfit", "asv")
    with pytest.raises(UsageError, match="compares no voices"):
        load_verifier(Slot("unfit", "asr"), settings, RegistryChampions(mlflow_uri, cache))
    verifier = add(slot, 1, 1.1)
    with pytest.raises(TemplateError, match=r"1\.0 s of the recordings are not silent, and an enrolment needs 2 s"):
        enrol("Anna", ANNA[:1], verifier)
    with pytest.raises(
        TemplateError, match=r"1\.0 s of the recordings are not silent \(2 repeated recordings left out\)"
    ):
        enrol("Anna", ANNA[:1] * 3, verifier)
    with pytest.raises(TemplateError, match=r"0\.0 s of the recordings are not silent"):
        enrol("Anna", [np.zeros(64_000, np.float32)], verifier)
    with pytest.raises(TemplateError, match=r"recording \d of 3 does not sound like the others"):
        enrol("Anna", ANNA, verifier)
    with pytest.raises(TemplateError, match="reference of the consent"):
        enrol("Anna", ANNA, verifier, consent=" ")
    assert list_templates(mlflow_uri, slot) == []


def test_the_server_refuses_templates_that_do_not_belong_to_a_version(add: Any, enrol: Any, mlflow_uri: str) -> None:
    from dataclasses import replace

    slot = Slot("forged", "asv")
    made = enrol("Anna", ANNA, add(slot, 1)).template
    other = {"voice": "3" * 32, "person": "4" * 64}
    with pytest.raises(GateRefused, match="the bundle of forged/asv v1 is sha256:"):
        send_template(mlflow_uri, replace(made, **other, bundle="sha256:" + "0" * 64))
    with pytest.raises(GateRefused, match="forged/asv v9 is not in the registry"):
        send_template(mlflow_uri, replace(made, **other, version=9))
    with pytest.raises(GateRefused, match="stored sealed, and not revoked"):
        send_template(mlflow_uri, replace(made, **other, sealed=""))
    with pytest.raises(GateRefused, match="has a template for this bundle already"):
        send_template(mlflow_uri, made)


def test_a_kept_recording_that_was_altered_or_a_missing_key_is_named(tmp_path: Path) -> None:
    folder = VoiceFolder(tmp_path / "voices")
    with pytest.raises(TemplateError, match="has no key of enrolled voices"):
        folder.key()
    key = folder.key(make=True)
    assert folder.key(make=True) == key
    assert (tmp_path / "voices" / "voices.key").stat().st_mode & 0o77 == 0
    folder.keep("5" * 32, ANNA)
    for kept, given in zip(folder.recordings("5" * 32), ANNA, strict=True):
        np.testing.assert_array_equal(kept, given.astype(np.float32))
    (sealed,) = (tmp_path / "voices" / "recordings" / ("5" * 32)).glob("1.sealed")
    assert b"WAVEfmt " not in sealed.read_bytes()
    content = bytearray(sealed.read_bytes())
    content[40] ^= 1
    sealed.write_bytes(bytes(content))
    with pytest.raises(TemplateError, match=r"recording 1 of voice 55555555 in .* does not open"):
        folder.recordings("5" * 32)
    (tmp_path / "voices" / "voices.key").write_bytes(b"short")
    with pytest.raises(TemplateError, match="has 5 bytes, expected 32"):
        folder.key()

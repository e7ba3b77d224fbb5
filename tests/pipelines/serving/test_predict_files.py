from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from elp_core.class_answer import ClassCalibration
from elp_core.decoding import DecodeConfig
from elp_core.errors import AudioError, FingerprintMismatch
from elp_core.tasks import IntentClassification, SpeakerVerification
from elp_core.testing import save_tiny
from pipelines.cli.predict_verb import _text
from pipelines.errors import RegistryError, UsageError
from pipelines.local.settings import Settings
from pipelines.registry.client.connection import connect
from pipelines.registry.slot import Slot
from pipelines.serving.champion_source import RegistryChampions
from pipelines.serving.predict_files import predict_files
from tests.support.bundles import add_bundle
from tests.support.clips import voice, wav
from tests.support.versions import make_champion

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = pytest.mark.integration


@pytest.fixture
def client(mlflow_uri: str) -> MlflowClient:
    return connect(mlflow_uri)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("backbone")
    save_tiny(folder)
    return Settings(backbone=str(folder))


@pytest.fixture
def options(mlflow_uri: str, cache: Path) -> dict[str, Any]:
    return {"source": RegistryChampions(mlflow_uri, cache)}


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "one.wav", tmp_path / "two.wav"]
    for number, path in enumerate(paths):
        path.write_bytes(wav(voice(0.5, 200.0 + 50 * number, number)))
    return paths


def test_the_champion_transcribes_each_file(
    client: MlflowClient, settings: Settings, options: dict[str, Any], files: list[Path], tmp_path: Path
) -> None:
    slot = Slot("heard", "asr")
    make_champion(client, add_bundle(client, slot, "k1", tmp_path))
    answer = predict_files(slot, settings, files, **options)
    assert (answer.version, len(answer.answers), answer.score) == (1, 2, None)
    searched = predict_files(slot, settings, files, decode=DecodeConfig(beam=20), **options)
    assert searched.answers != answer.answers
    assert searched == predict_files(slot, settings, files, decode=DecodeConfig(beam=20), **options)


def test_a_file_of_no_class_is_none_of_these(
    client: MlflowClient, settings: Settings, options: dict[str, Any], files: list[Path], tmp_path: Path
) -> None:
    slot, classes = Slot("classed", "sic"), ("agree", "refuse")
    for version, floor in ((1, 0.0), (2, 0.9999)):
        task = IntentClassification(classes, calibration=ClassCalibration(2.0, floor, 40))
        add_bundle(client, slot, f"k{version}", tmp_path, task)
    known, strange = (predict_files(slot, settings, files, version=v, **options) for v in (1, 2))
    assert set(known.answers) <= set(classes)
    assert _text(known).splitlines()[1].endswith(known.answers[0])
    assert strange.answers == ("", "")
    assert [one.none_of_these for one in strange.classes] == [True, True]
    assert 0.5 <= strange.classes[0].probability < 0.9999
    assert f"none of these (likeliest: {strange.classes[0].likeliest}, probability 0." in _text(strange)


def test_two_recordings_are_compared_at_the_stored_threshold(
    client: MlflowClient, settings: Settings, options: dict[str, Any], files: list[Path], tmp_path: Path
) -> None:
    slot = Slot("heard", "asv")
    add_bundle(client, slot, "k1", tmp_path)
    same = predict_files(slot, settings, [files[0], files[0]], version=1, **options)
    other = predict_files(slot, settings, files, version=1, **options)
    assert same.score == pytest.approx(1.0, abs=1e-5)
    assert (same.threshold, same.accepted) == (0.5, True)
    assert other.score is not None
    assert other.score < same.score
    silent = tmp_path / "silent.wav"
    silent.write_bytes(wav(np.zeros(8000, np.float32)))
    with pytest.raises(AudioError, match=r"silent\.wav has no sound, so no voice can be compared"):
        predict_files(slot, settings, [silent, files[0]], version=1, **options)


def test_the_threshold_in_the_bundle_decides_and_several_recordings_enrol(
    client: MlflowClient, settings: Settings, options: dict[str, Any], files: list[Path], tmp_path: Path
) -> None:
    slot = Slot("enrolled", "asv")
    for version, threshold in enumerate((-1.0, 1.1), 1):
        task = SpeakerVerification(("anna", "bert"), threshold=threshold)
        add_bundle(client, slot, f"k{version}", tmp_path, task)
    admitted, refused = (predict_files(slot, settings, [*files, files[0]], version=v, **options) for v in (1, 2))
    assert (admitted.threshold, admitted.accepted) == (-1.0, True)
    assert (refused.threshold, refused.accepted) == (1.1, False)
    assert admitted.score == refused.score == pytest.approx(1.0, abs=0.2)
    assert admitted.answers == ()


@pytest.mark.parametrize("task", ["ser", "sic"])
def test_each_file_gets_its_class(
    task: str, client: MlflowClient, settings: Settings, options: dict[str, Any], files: list[Path], tmp_path: Path
) -> None:
    slot = Slot("heard", task)
    add_bundle(client, slot, "k1", tmp_path)
    answer = predict_files(slot, settings, files, version=1, **options)
    assert len(answer.answers) == 2
    assert set(answer.answers) <= {"agree", "refuse"}


def test_wrong_use_is_told(settings: Settings, options: dict[str, Any], files: list[Path]) -> None:
    with pytest.raises(UsageError, match="compares recordings, got 1"):
        predict_files(Slot("x", "asv"), settings, files[:1], **options)
    with pytest.raises(UsageError, match="x/asv writes no transcripts; --beam, --lm and --hotwords are for SITE/asr"):
        predict_files(Slot("x", "asv"), settings, files, decode=DecodeConfig(beam=5), **options)
    with pytest.raises(UsageError, match="no file to answer"):
        predict_files(Slot("x", "asr"), settings, [], **options)
    with pytest.raises(RegistryError, match="has no champion yet; train and promote one: elp retrain x/asr"):
        predict_files(Slot("x", "asr"), settings, files, **options)


def test_another_backbone_and_a_missing_file_are_refused(
    client: MlflowClient, settings: Settings, options: dict[str, Any], files: list[Path], tmp_path: Path
) -> None:
    slot = Slot("refused", "asr")
    add_bundle(client, slot, "k1", tmp_path)
    with pytest.raises(AudioError, match=r"nowhere\.wav"):
        predict_files(slot, settings, [tmp_path / "nowhere.wav"], version=1, **options)
    save_tiny(tmp_path / "other", seed=1)
    with pytest.raises(FingerprintMismatch, match="the adapter belongs to a backbone with fingerprint"):
        predict_files(slot, replace(settings, backbone=str(tmp_path / "other")), files, version=1, **options)

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from elp_core.languages import LanguageConfig
from elp_core.task_specs import RecognitionOptions
from elp_core.tasks import SpeechRecognition
from elp_core.testing import save_tiny
from pipelines.local.workspace import Workspace
from pipelines.registry.client.connection import connect
from pipelines.registry.slot import Slot
from tests.support.bundles import add_bundle
from tests.support.clips import voice, wav
from tests.support.command import Elp, elp_in
from tests.support.versions import make_champion

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = pytest.mark.integration


OWN, GERMAN = Slot("aligns", "asr"), Slot("aligns-german", "asr")


@pytest.fixture(scope="module")
def champions(mlflow_uri: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The slot `OWN` has an untrained English champion, `GERMAN` a German one; the address of the server."""
    client: MlflowClient = connect(mlflow_uri)
    german = SpeechRecognition(options=RecognitionOptions(language=LanguageConfig("de")))
    for slot, task in ((OWN, None), (GERMAN, german)):
        make_champion(client, add_bundle(client, slot, f"k-{slot.site}", tmp_path_factory.mktemp("bundle"), task))
    return mlflow_uri


@pytest.fixture
def elp(
    workspace: Workspace,
    champions: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Elp:
    """Run `elp` in a workspace, with a long recording and its transcript in the current folder."""
    save_tiny(tmp_path / "backbone")
    settings = f"servers: {{mlflow_uri: '{champions}'}}\nbackbone: '{tmp_path / 'backbone'}'\n"
    (workspace.root / "elp.yaml").write_text(settings)
    monkeypatch.chdir(tmp_path)
    Path("meetings").mkdir()
    Path("meetings/monday.wav").write_bytes(wav(voice(25.0, 300.0, 1)))
    Path("meetings/monday.txt").write_text("Open the door. Close the valve.")
    return elp_in(workspace.root, capsys)


@pytest.mark.parametrize(
    ("slot", "which", "code", "words"),
    [
        ("aligns/ser", "champion", 2, "aligns/ser has no transcripts to align; --align is for SITE/asr"),
        ("aligns/asr", "aligns/asv", 2, "aligns/asv has no transcripts to align; --align is for SITE/asr"),
        ("aligns/asr", "the best", 2, "'the best' is not a slot; expected SITE/TASK"),
        (
            "aligns/asr",
            "aligns/asr@new",
            2,
            "'aligns/asr@new' names no version; expected such as aligns/asr@v3",
        ),
        ("fresh/asr", "champion", 1, "fresh/asr has no champion to align with; name the slot of another site with one"),
        ("fresh/asr", "aligns/asr@v9", 1, "aligns/asr: no version 9 in the registry"),
        (
            "fresh/asr",
            "aligns-german/asr",
            2,
            "aligns-german/asr version 1 writes German, normaliser de/1 (",
        ),
    ],
)
def test_an_adapter_that_cannot_align_is_refused(slot: str, which: str, code: int, words: str, elp: Elp) -> None:
    for more in ((), ("--dry-run",)):
        ended, out, err = elp("data", "add", slot, "meetings", "--align", which, *more)
        assert (ended, out) == (code, "")
        assert words in err


def test_an_untrained_adapter_finds_nothing_and_the_delivery_is_refused(elp: Elp, workspace: Workspace) -> None:
    code, out, err = elp("data", "add", "aligns/asr", "meetings", "--align", "champion", "--dry-run")
    assert code == 1
    assert "aligned with" in out
    assert "aligns/asr version 1" in out
    assert "clips are unusable" in err
    planned = json.loads(
        elp("data", "add", "fresh/asr", "meetings", "--align", "aligns/asr@v1", "--dry-run", "--json")[1]
    )
    assert (planned["alignment"]["adapter"], planned["alignment"]["version"]) == ("aligns/asr", 1)
    assert planned["alignment"]["bundle"].startswith("sha256:")
    assert set(planned["quarantine"]) <= {"badly_aligned", "not_spoken", "not_in_transcript"}
    assert elp("data", "add", "fresh/asr", "meetings", "--align", "aligns/asr")[0] == 1
    assert not (workspace.root / "data" / "fresh").exists()

"""An erasure finds a person under every spelling, delivered now or stored by an older release."""

from __future__ import annotations

import itertools
import unicodedata
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from elp_core.names import normal_name
from pipelines.audit.data_index import FILE, open_index
from pipelines.audit.erasure_plan import plan_erasure
from pipelines.audit.trained_on import find_trained_on
from pipelines.datasets.delivery import SourceClip
from pipelines.datasets.drop import drop_clips
from pipelines.datasets.ingest import add_delivery
from pipelines.datasets.slot_shards import slot_shards
from pipelines.datasets.subject import Subject
from pipelines.errors import DataRefused, VersioningError
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot
from tests.support.deliveries import silence, write_delivery
from tests.support.proof import ring
from tests.support.records import Recorded
from tests.support.spellings import spellings

pytestmark = pytest.mark.integration
NAME = "Jürgen"
_NUMBERS = itertools.count()
NFC, NFD = (unicodedata.normalize(form, NAME) for form in ("NFC", "NFD"))


def _older(patch: pytest.MonkeyPatch) -> None:
    """Store names as they are delivered, as releases before the normal form did."""
    patch.setattr(SourceClip, "__post_init__", lambda self: None)


def _spelt(folder: Path, names: list[str], seed: int = 0, split: str = "train") -> Path:
    """A delivery in which each of anna's clips has one of the names; the last one, always the same, is silent."""
    changes = {f"anna_{take}": {"speaker": name, "split": split} for take, name in enumerate(names)}
    changes[f"anna_{len(names) - 1}"]["bytes"] = silence()
    return write_delivery(folder, each=len(names), seed=seed, **changes)


def _speakers(workspace: Workspace, slot: Slot) -> set[str]:
    found = set()
    for folder in ("shards", "golden", "quarantine"):
        for shard in slot_shards(workspace, slot, folder):
            found |= {
                normal_name(name or "") for name in pq.read_table(shard, columns=["speaker"])["speaker"].to_pylist()
            }
    return found


@settings(
    max_examples=3,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    old=st.lists(spellings(NAME), min_size=4, max_size=4),
    new=st.lists(spellings(NAME), min_size=4, max_size=4),
    asked=spellings(NAME),
)
def test_nothing_of_a_person_is_left_under_any_spelling(
    workspace: Workspace, tmp_path: Path, old: list[str], new: list[str], asked: str
) -> None:
    name = f"s{next(_NUMBERS)}"
    slot, folder = Slot(name, "asr"), tmp_path / name
    with pytest.MonkeyPatch.context() as patch:
        _older(patch)
        patch.setattr("pipelines.datasets.judged_delivery.set_faults", lambda *args, **more: [])
        add_delivery(workspace, slot, _spelt(folder / "old", old))
    add_delivery(workspace, slot, _spelt(folder / "new", new, seed=1))
    subject, records = Subject(speaker=asked), Recorded(ring(folder))
    with open_index(workspace, lambda line: None) as db:
        before = find_trained_on(db, records, subject, slot)
        assert plan_erasure(db, records, subject, slot).slots[0].holds
    assert before.clips == 6
    assert before.speakers == (NFC,)
    done = drop_clips(workspace, slot, subject)
    assert (done.clips, done.quarantined) == (6, 1)
    assert normal_name(asked) not in _speakers(workspace, slot)
    with open_index(workspace, lambda line: None) as db:
        held = find_trained_on(db, records, subject, slot).holdings
        assert {one.tag for one in held} <= {slot.tag(1), slot.tag(2)}


def test_two_spellings_of_a_speaker_in_two_splits_are_a_leak(workspace: Workspace, tmp_path: Path) -> None:
    manifest = write_delivery(tmp_path, anna_0={"speaker": NFC}, anna_1={"speaker": NFD, "split": "test"})
    with pytest.raises(DataRefused, match=r"leakage: 1 speaker in more than one split \(Jürgen\)"):
        add_delivery(workspace, Slot("plant", "asr"), manifest)


def test_a_speaker_of_an_older_release_keeps_the_split_of_the_stored_clips(
    workspace: Workspace, tmp_path: Path
) -> None:
    slot = Slot("plant", "asr")
    with pytest.MonkeyPatch.context() as patch:
        _older(patch)
        add_delivery(workspace, slot, _spelt(tmp_path / "old", [NFD] * 3, split="validation"))
    version = add_delivery(workspace, slot, _spelt(tmp_path / "new", [NFC] * 3, seed=1, split=""))
    assert "doubtful_names" not in (workspace.root / slot.folder / "dataset.json").read_text()
    assert (version.version, version.speakers, version.closed_set) == (2, 4, False)


def test_the_same_delivery_in_another_spelling_brings_nothing_new(workspace: Workspace, tmp_path: Path) -> None:
    slot = Slot("plant", "asr")
    with pytest.MonkeyPatch.context() as patch:
        _older(patch)
        first = add_delivery(workspace, slot, _spelt(tmp_path / "one", [NFD, f" {NFC}", NFD]))
    again = add_delivery(workspace, slot, _spelt(tmp_path / "two", [NFC] * 3))
    assert again.version == first.version


def test_an_index_of_an_older_release_is_built_again(workspace: Workspace, tmp_path: Path) -> None:
    slot = Slot("plant", "asr")
    with pytest.MonkeyPatch.context() as patch:
        _older(patch)
        add_delivery(workspace, slot, _spelt(tmp_path / "one", [NFD] * 3))
        patch.setattr("pipelines.audit.data_index.FORMAT", 2)
        patch.setattr("pipelines.audit.data_index.normal_name", lambda name: name)
        with open_index(workspace, lambda line: None) as db:
            assert db.execute("SELECT COUNT(*) FROM clip WHERE speaker = ?", (NFD,)).fetchone()[0]
    assert (workspace.state / FILE).is_file()
    with open_index(workspace, lambda line: None) as db:
        assert find_trained_on(db, Recorded(ring(tmp_path)), Subject(speaker=NFC), slot).clips == 2


def test_similar_names_are_named_and_stay(workspace: Workspace, tmp_path: Path) -> None:
    slot = Slot("plant", "asr")
    version = add_delivery(workspace, slot, write_delivery(tmp_path, bert_0={"speaker": "ANNA"}))
    assert version.doubtful_names == {"speaker": 2}
    record = (workspace.root / slot.folder / "dataset.json").read_text()
    assert "doubtful_names" in record
    # Git keeps the record for ever
    assert "ANNA" not in record
    with open_index(workspace, lambda line: None) as db:
        assert find_trained_on(db, Recorded(ring(tmp_path)), Subject(speaker="anna"), slot).similar == {"ANNA": 1}
        with pytest.raises(VersioningError, match=r"holds speaker Anna; .*similar names: 'ANNA', 'anna'"):
            plan_erasure(db, Recorded(ring(tmp_path)), Subject(speaker="Anna"), slot)
    assert drop_clips(workspace, slot, Subject(speaker="anna")).similar == {"ANNA": 1}

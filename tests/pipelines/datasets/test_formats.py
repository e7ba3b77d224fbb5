from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.datasets.delivery import DeliveryOptions, delivery_options
from pipelines.datasets.importers import choose_importer
from pipelines.datasets.measuring import split_of
from pipelines.errors import IntakeError, UsageError
from tests.support.deliveries import write_delivery


def test_the_format_is_found_out(tmp_path: Path) -> None:
    manifest = write_delivery(tmp_path / "nemo", each=1)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "metadata.csv").write_text("file_name\n")
    (tmp_path / "fsdd" / "recordings").mkdir(parents=True)
    found = [
        choose_importer(source).name for source in (manifest, tmp_path / "nemo", tmp_path / "folder", tmp_path / "fsdd")
    ]
    assert found == ["nemo", "nemo", "audiofolder", "fsdd"]


def test_a_named_format_is_taken_at_its_word(tmp_path: Path) -> None:
    assert choose_importer(tmp_path, "fsdd").name == "fsdd"


def test_an_unknown_format_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown format 'ark'; expected one of lhotse, label-studio, nemo, audiofold"):
        choose_importer(tmp_path, "ark")


def test_a_source_of_no_known_format_says_what_each_expects(tmp_path: Path) -> None:
    with pytest.raises(IntakeError, match=r"has no known format[\s\S]*audiofolder: a folder with metadata"):
        choose_importer(tmp_path)


def test_a_source_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IntakeError, match="does not exist"):
        choose_importer(tmp_path / "gone")


def test_noise_names_the_condition_unless_told_otherwise() -> None:
    assert delivery_options({"noise": "factory", "snr": "5"}).forced_condition == "factory-5db"
    assert delivery_options({"noise": "factory", "condition": "hall"}).forced_condition == "hall"
    assert delivery_options({"noise": None, "condition": ""}) == DeliveryOptions()


def test_every_wrong_option_is_named() -> None:
    with pytest.raises(UsageError, match=r"unknown option speed; noise is 'rain'.*snr is loud.*condition is 'A B'"):
        delivery_options({"speed": 2, "noise": "rain", "snr": "loud", "condition": "A B"})
    with pytest.raises(UsageError, match="snr is given without noise"):
        delivery_options({"snr": 5})


@given(st.text(min_size=1), st.floats(0, 0.4), st.floats(0, 0.4))
def test_a_speaker_has_one_split_and_larger_shares_never_take_test_speakers_away(
    key: str, val: float, test: float
) -> None:
    split = split_of(key, val, test)
    assert split == split_of(key, val, test)
    if split == "test":
        assert split_of(key, val, test + 0.1) == "test"


def test_shares_are_kept_over_many_speakers() -> None:
    found = [split_of(f"speaker-{number}", 0.1, 0.2) for number in range(4000)]
    assert abs(found.count("test") / 4000 - 0.2) < 0.02
    assert abs(found.count("validation") / 4000 - 0.1) < 0.02

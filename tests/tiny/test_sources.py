import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tiny.packages import PACKAGES, SpeechPackage, Unpacked, fetch, unpack
from tiny.settings import RecipeError
from tiny.sources import from_package, fsdd

TONE = np.sin(np.arange(8000) / 5)


def audio(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, TONE, 8000, format="OGG" if path.suffix == ".ogg" else "WAV")
    return path


def package(name: str) -> SpeechPackage:
    return next(p for p in PACKAGES if p.name == name)


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    for take in (0, 4, 5, 9, 10, 49):
        audio(tmp_path / "fsdd" / "recordings" / f"3_theo_{take}.wav")
    return tmp_path / "fsdd"


def test_test_and_validation_takes_are_never_listed(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELP_FSDD", str(digits))
    assert [c.path.stem for c in fsdd(digits, 10).clips] == ["3_theo_10", "3_theo_49"]


def test_the_archive_serves_as_well_as_the_folder(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tarfile.open(tmp_path / "fsdd.tar.gz", "w:gz") as archive:
        archive.add(digits / "recordings", "recordings")
    monkeypatch.setenv("ELP_FSDD", str(tmp_path / "fsdd.tar.gz"))
    assert [c.speaker for c in fsdd(tmp_path / "work", 10).clips] == ["fsdd/theo"] * 2


def test_missing_fsdd_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ELP_FSDD", raising=False)
    with pytest.raises(RecipeError, match="set ELP_FSDD to its folder"):
        fsdd(tmp_path, 10)


@pytest.mark.parametrize(
    ("name", "path", "speaker"),
    [
        ("asterisk-core-sounds-en-wav", "usr/share/asterisk/sounds/en_US_f_Allison/digits/1.wav", "en_US_f_Allison"),
        ("asterisk-prompt-it-menardi-wav", "usr/share/asterisk/sounds/it_IT_f_Menardi/a.wav", "it_IT_f_Menardi"),
        ("klettres-data", "usr/share/klettres/de/alpha/a.ogg", "klettres/de"),
        ("fillets-ng-data-cs", "usr/share/games/fillets-ng/sound/city/cs/vit-m-a.ogg", "fillets-ng-data-cs/m"),
        (
            "fillets-ng-data-cs",
            "usr/share/games/fillets-ng/sound/city/cs/vit-hs-a.ogg",
            "fillets-ng-data-cs/other/city",
        ),
    ],
)
def test_the_speaker_is_read_off_the_path(tmp_path: Path, name: str, path: str, speaker: str) -> None:
    audio(tmp_path / path)
    assert [c.speaker for c in from_package(Unpacked(package(name), "1", tmp_path)).clips] == [speaker]


def test_music_is_left_out(tmp_path: Path) -> None:
    audio(tmp_path / "usr/share/games/fillets-ng/sound/music/cs/tune.ogg")
    with pytest.raises(RecipeError, match="fillets-ng-data-cs 1 holds no audio"):
        from_package(Unpacked(package("fillets-ng-data-cs"), "1", tmp_path))


def test_without_apt_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RecipeError, match=r"apt-get is not on this machine.*ELP_PRETRAINING_DEBS"):
        fetch("klettres-data", tmp_path)


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not on this machine")
def test_a_package_at_hand_is_unpacked_without_a_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tmp_path / "tree"
    audio(tree / "usr/share/klettres/de/alpha/a.ogg")
    (tree / "DEBIAN").mkdir()
    control = "Package: klettres-data\nVersion: 4.2\nArchitecture: all\nMaintainer: a <a@example.org>\nDescription: a\n"
    (tree / "DEBIAN" / "control").write_text(control)
    subprocess.run(["dpkg-deb", "-b", tree, tmp_path / "klettres-data_4.2_all.deb"], check=True, capture_output=True)
    monkeypatch.setenv("ELP_PRETRAINING_DEBS", str(tmp_path))
    source = from_package(unpack(package("klettres-data"), tmp_path / "work"))
    assert (source.version, source.licence, len(source.clips)) == ("4.2", "GPL-2+", 1)

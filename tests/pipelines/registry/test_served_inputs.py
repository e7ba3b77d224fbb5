"""What a served adapter takes for a path, and what for encoded audio in JSON."""

from __future__ import annotations

import base64
import warnings
from pathlib import Path

import pytest

from elp_core.audio import encode_flac
from elp_core.errors import AudioError
from elp_core.testing import tone

with warnings.catch_warnings():
    # MLflow warns about type hints that the class leaves to itself
    warnings.simplefilter("ignore", UserWarning)
    from pipelines.registry.pyfunc.adapter import _waveform

SOUND = encode_flac(tone(300, 1.0))


def test_a_file_wins_over_what_its_name_may_encode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # this name is base64, too
    Path("anna").write_bytes(SOUND)
    assert len(_waveform("anna")) == len(_waveform(base64.encodebytes(SOUND).decode())) == 16_000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("clips/anna", "clips/anna does not exist or is not a file"),
        (base64.b64encode(b"no sound" * 2000).decode(), r"bm8g.{36}… \(21,336 characters\) is no file here and no aud"),
        (base64.b64encode(SOUND).decode()[:-3], "is no file here and no audio in base64; send it again"),
    ],
)
def test_what_is_neither_is_refused_without_all_of_its_text(text: str, words: str) -> None:
    with pytest.raises(AudioError, match=words) as refused:
        _waveform(text)
    assert len(str(refused.value)) < 200

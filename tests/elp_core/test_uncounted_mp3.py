"""MP3 without a count of its frames: libsndfile guesses the length from the first bit rate, which changes in ABR."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from elp_core.audio import load, load_info, load_part, probe
from elp_core.containers import file_length, require_one_length
from elp_core.containers.mp3 import uncounted
from pipelines.datasets.importers.file_seconds import file_seconds

SECONDS = 8


def mp3(path: Path, options: dict[str, str], rate: int = 16_000, quiet: float = 0.7, counted: bool = False) -> Path:
    """An MP3 file of the LAME encoder: silence for a share of it, then noise."""
    import av

    total = rate * SECONDS
    sound = np.zeros(total, np.float32)
    sound[int(quiet * total) :] = 0.3 * np.random.default_rng(1).standard_normal(total - int(quiet * total))
    muxer = {"write_xing": str(int(counted)), "id3v2_version": "0"}
    with av.open(str(path), "w", format="mp3", options=muxer) as container:
        stream = container.add_stream("libmp3lame", rate=rate, options=options)
        stream.layout = "mono"
        if "q" not in options:
            stream.bit_rate = 64_000
        for begin in range(0, total, 1152):
            frame = av.AudioFrame.from_ndarray(sound[None, begin : begin + 1152], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = rate, begin
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("options", [{}, {"abr": "1"}, {"q": "4"}])
@pytest.mark.parametrize("rate", [16_000, 44_100])
@pytest.mark.parametrize("quiet", [0.7, 0.3, 0.0])
@pytest.mark.parametrize("counted", [True, False])
def test_its_frames_say_how_long_it_is(
    tmp_path: Path, options: dict[str, str], rate: int, quiet: float, counted: bool
) -> None:
    path = mp3(tmp_path / "a.mp3", options, rate, quiet, counted)
    for source in (path, path.read_bytes()):
        samples, info = load_info(source)
        # the encoder's padding is a tenth of a second
        assert len(samples) / 16_000 == pytest.approx(SECONDS, abs=0.15)
        assert info.seconds == pytest.approx(SECONDS, abs=0.15)
    assert file_seconds(path) == pytest.approx(SECONDS, abs=0.15)
    require_one_length("it", file_length(path.read_bytes()), len(samples) / 16_000, float(SECONDS))
    assert (uncounted(path.read_bytes()) is None) == counted


def test_the_loud_end_of_a_file_is_read_and_found_by_seeking(tmp_path: Path) -> None:
    path = mp3(tmp_path / "a.mp3", {"abr": "1"}, quiet=0.0)
    import soundfile

    guessed = soundfile.info(path).frames
    whole = load(path)
    # libsndfile alone would stop here
    assert len(whole) > guessed + 1_600
    part = load_part(path, len(whole) - 20_000, len(whole) - 4_000)
    assert np.abs(part - whole[-20_000:-4_000]).max() < 1e-4


def test_a_file_that_was_cut_off_is_still_one(tmp_path: Path) -> None:
    content = mp3(tmp_path / "a.mp3", {"abr": "1"}, quiet=0.0).read_bytes()
    found = file_length(content[: len(content) // 2 + 50])
    assert found is not None
    assert found.cut == "it ends inside a frame"
    assert probe(content[: len(content) // 2]).seconds == pytest.approx(SECONDS / 2, abs=0.3)

from __future__ import annotations

import builtins
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elp_core import audio, media, sound_files
from elp_core.audio import load, load_part, probe
from elp_core.errors import AudioError
from elp_core.inference.audio_blocks import audio_blocks
from elp_core.media import is_media
from elp_core.sound_files import opened
from tests.support.missing import skip_without

if importlib.util.find_spec("av") is None:
    skip_without("PyAV is not installed")
import av

KINDS: dict[str, dict[str, Any]] = {
    "phone.m4a": {"codec": "aac"},
    "lossless.m4a": {"codec": "alac"},
    "radio.aac": {"codec": "aac", "form": "adts"},
    "browser.webm": {"codec": "libopus", "rate": 48_000},
    "meeting.mp4": {"codec": "aac", "video": True, "layout": "stereo"},
    "meeting.mkv": {"codec": "aac", "video": True},
    "meeting.mov": {"codec": "aac", "video": True},
    "call.amr": {"codec": "libopencore_amrnb", "rate": 8000},
    "call.3gp": {"codec": "libopencore_amrnb", "rate": 8000},
    "film.avi": {"codec": "mp2", "video": True},
    "broadcast.ts": {"codec": "aac", "video": True, "form": "mpegts"},
}


def encode(
    path: Path,
    codec: str,
    form: str | None = None,
    rate: int = 44_100,
    layout: str = "mono",
    video: bool = False,
    seconds: float = 3.0,
) -> Path:
    """A tone of 440 Hz as a media file."""
    time = np.arange(round(rate * seconds)) / rate
    wave = (0.3 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    with av.open(str(path), "w", format=form) as container:
        options = {"options": {"b": "12200"}} if "amr" in codec else {}
        stream = container.add_stream(codec, rate=rate, layout=layout, **options)
        pictures = container.add_stream("mpeg4", rate=10) if video else None
        if pictures:
            pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        frame = av.AudioFrame.from_ndarray(np.stack([wave] * stream.channels), format="fltp", layout=layout)
        frame.sample_rate, frame.pts = rate, 0
        queue = av.AudioFifo()
        for part in av.AudioResampler(stream.codec_context.format.name, layout, rate).resample(frame):
            queue.write(part)
        while (part := queue.read(stream.codec_context.frame_size or 960) or queue.read(0, partial=True)) is not None:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
        if pictures:
            for number in range(round(10 * seconds)):
                picture = np.full((48, 64, 3), number % 64, np.uint8)
                container.mux(pictures.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(pictures.encode(None))
    return path


@pytest.mark.parametrize("name", KINDS)
def test_the_sound_of_every_container_is_read(name: str, tmp_path: Path) -> None:
    path = encode(tmp_path / name, **KINDS[name])
    assert is_media(path)
    assert is_media(path.read_bytes())
    samples = load(path)
    assert len(samples) / 16_000 == pytest.approx(3.0, abs=0.06)
    spectrum = np.abs(np.fft.rfft(samples[8000:40_000]))
    assert np.argmax(spectrum) * 0.5 == pytest.approx(440, abs=1)
    np.testing.assert_allclose(load(path.read_bytes()), samples, atol=1e-6)
    np.testing.assert_allclose(np.concatenate(list(audio_blocks(path))), samples, atol=1e-6)
    info = probe(path)
    assert info.channels == (2 if KINDS[name].get("layout") else 1)
    assert info.seconds == pytest.approx(3.0, abs=0.06)


def test_a_file_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = encode(tmp_path / "whole.webm", "libopus", rate=48_000)
    (tmp_path / "cut.webm").write_bytes(path.read_bytes()[:9000])
    with pytest.raises(AudioError, match=r"lasts 3\.0\d s by its header and \d\.\d\d s decoded") as caught:
        load(tmp_path / "cut.webm")
    assert caught.value.reason == "wrong_length"
    path = encode(tmp_path / "whole.m4a", "aac")
    (tmp_path / "cut.m4a").write_bytes(path.read_bytes()[:5000])
    with pytest.raises(AudioError, match="cannot be read as audio or video") as caught:
        load(tmp_path / "cut.m4a")
    assert caught.value.reason == "corrupt"


def test_a_video_without_sound_says_so(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "silent.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode(None))
    with pytest.raises(AudioError, match=r"silent\.mp4 has no sound") as caught:
        load(tmp_path / "silent.mp4")
    assert caught.value.reason == "no_audio"


@pytest.mark.parametrize(
    "content",
    [
        b"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nwhole.m4a\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile whole.m4a\n",
        b"\0\0\0\x18ftypM4A " + b"\xff" * 500,
        b"\x1a\x45\xdf\xa3" + bytes(range(256)) * 4,
        b"#!AMR\n" + b"\x3c" * 40,
        b"G" + b"\0" * 187 + b"G" + b"\0" * 500,
        b"OggS" + b"\0" * 200,
    ],
)
@pytest.mark.parametrize("name", ["sound.m4a", "sound.wav"])
def test_no_playlist_and_no_garbage_is_opened(content: bytes, name: str, tmp_path: Path) -> None:
    encode(tmp_path / "whole.m4a", "aac", seconds=0.5)
    (tmp_path / name).write_bytes(content)
    for source in (tmp_path / name, content):
        with pytest.raises(AudioError, match=r"cannot be read|breaks off|has no|has a header|has \d+ sample") as caught:
            load(source)
        assert caught.value.reason in ("corrupt", "empty", "too_short", "no_audio")


def test_without_the_package_the_command_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = encode(tmp_path / "phone.m4a", "aac", seconds=0.5)
    real = builtins.__import__

    def missing(name: str, *rest: Any, **named: Any) -> Any:
        if name == "av":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(AudioError, match=r"PyAV: pip install 'elp-foundry\[media\]'") as caught:
        load(path)
    assert caught.value.reason == "no_media_package"


def test_length_and_time_have_bounds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = encode(tmp_path / "call.amr", "libopencore_amrnb", rate=8000)
    monkeypatch.setattr(sound_files, "MAX_SECONDS", 2.0)
    monkeypatch.setattr(audio, "MAX_SECONDS", 2.0)
    with pytest.raises(AudioError, match="expected at most 1 h") as caught:
        load(path)
    assert caught.value.reason == "too_long"
    monkeypatch.setattr(media, "DECODE_SECONDS", -1.0)
    with pytest.raises(AudioError, match="s of sound") as caught:
        load(path)
    assert caught.value.reason == "too_slow"


@pytest.mark.parametrize("name", ["phone.m4a", "meeting.mkv", "call.amr"])
def test_a_part_is_what_is_there_in_the_whole(name: str, tmp_path: Path) -> None:
    path = encode(tmp_path / name, **{**KINDS[name], "seconds": 8.0})
    whole = load(path)
    for begin, end in ((0, 8000), (50_000, 66_000), (100_000, 120_000)):
        np.testing.assert_allclose(load_part(path, begin, end), whole[begin:end], atol=1e-4)
    with pytest.raises(AudioError, match="has no sound from"):
        load_part(path, 120_000, 140_000)
    with opened(path) as file:
        file.seek(4000)
        later = file.read(100)
        file.seek(1000)
        file.seek(4000)
        np.testing.assert_array_equal(file.read(100), later)
        assert len(later) == 100

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.datasets.importers.nemo import nemo_clips
from pipelines.errors import IntakeError
from tests.support.deliveries import write_delivery, write_manifest


def test_a_line_becomes_a_clip(tmp_path: Path) -> None:
    manifest = write_delivery(tmp_path, each=1, anna_0={"label": "calm", "condition": "headset"})
    clip = next(nemo_clips(manifest))
    assert (clip.path, clip.text, clip.speaker) == ("audio/anna_0.wav", "open the door", "anna")
    assert (clip.split, clip.label, clip.condition) == ("train", "calm", "headset")
    assert clip.seconds is None


def test_a_folder_is_searched_for_manifests_and_their_names_give_the_split(tmp_path: Path) -> None:
    write_delivery(tmp_path, each=1)
    (tmp_path / "manifest.jsonl").unlink()
    write_manifest(tmp_path, [{"audio_filepath": "audio/anna_0.wav"}], "train_manifest.json")
    write_manifest(tmp_path, [{"audio_filepath": "audio/bert_0.wav"}], "dev_manifest.json")
    assert {clip.path: clip.split for clip in nemo_clips(tmp_path)} == {
        "audio/anna_0.wav": "train",
        "audio/bert_0.wav": "validation",
    }


def test_offset_and_duration_cut_a_file(tmp_path: Path) -> None:
    manifest = write_delivery(tmp_path, each=1, anna_0={"offset": 0.1, "duration": 0.2})
    clip = next(nemo_clips(manifest))
    assert (clip.start, clip.seconds) == (0.1, 0.2)


def test_every_fault_is_listed_with_its_line(tmp_path: Path) -> None:
    manifest = write_delivery(tmp_path, each=1)
    broken = ["{no json", "[1]", '{"text": "no file"}', '{"audio_filepath": "gone.wav"}']
    broken += ['{"audio_filepath": "../out.wav"}', '{"audio_filepath": "audio/anna_0.wav", "split": "holdout"}']
    broken += ['{"audio_filepath": "audio/anna_0.wav", "offset": "soon"}']
    manifest.write_text(manifest.read_text() + "\n".join(broken))
    with pytest.raises(IntakeError, match="7 fault") as caught:
        list(nemo_clips(manifest))
    assert [fault.split(":")[0] for fault in caught.value.faults] == [f"manifest.jsonl, line {n}" for n in range(5, 12)]


@pytest.mark.parametrize(
    ("name", "says"),
    [("audio/none.wav", "does not exist"), ("/etc/hostname", "is outside"), ("../secret.wav", "is outside")],
)
def test_a_missing_file_and_a_file_outside_the_folder_are_refused(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / "secret.wav").write_bytes(b"RIFF")
    (tmp_path / "in").mkdir()
    manifest = write_manifest(tmp_path / "in", [{"audio_filepath": name}])
    with pytest.raises(IntakeError, match=rf"line 1: .*{says}"):
        list(nemo_clips(manifest))


def test_a_link_that_leads_outside_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "secret.wav").write_bytes(b"RIFF")
    (folder / "a.wav").symlink_to(tmp_path / "secret.wav")
    with pytest.raises(IntakeError, match="is outside"):
        list(nemo_clips(write_manifest(folder, [{"audio_filepath": "a.wav"}])))


def test_a_transcript_that_breaks_utf8_is_that_clip_s_fault(tmp_path: Path) -> None:
    manifest = write_delivery(tmp_path, each=1, anna_0={"text": "grün"})
    line = json.dumps({"audio_filepath": "audio/bert_0.wav", "text": "caf?"}).encode().replace(b"?", b"\xe9")
    text = "".join(json.dumps(json.loads(row), ensure_ascii=False) + "\n" for row in manifest.read_text().splitlines())
    manifest.write_bytes(text.encode() + line + b"\n")
    *good, bad = nemo_clips(manifest)
    assert bad.fault is not None
    assert (bad.fault.reason, bad.text) == ("not_utf8", "caf\\udce9")
    assert not any(clip.fault for clip in good)


def test_a_name_that_breaks_utf8_is_refused(tmp_path: Path) -> None:
    manifest = write_delivery(tmp_path, each=1)
    line = '{"audio_filepath": "audio/bert_0.wav", "text": "grün", "speaker": "Ren?"}'.encode().replace(b"?", b"\xe9")
    manifest.write_bytes(manifest.read_bytes() + line)
    with pytest.raises(IntakeError, match="line 5: a name has bytes that are not UTF-8"):
        list(nemo_clips(manifest))


def test_an_empty_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IntakeError, match="names no clip"):
        list(nemo_clips(write_manifest(tmp_path, [])))

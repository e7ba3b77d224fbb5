"""Data as people have it: folders, tables and manifests as the first delivery of a new user looks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.support.clips import voice, wav

SPEAKERS = ("anna", "berta", "carl", "dora", "emil", "frida")
WORDS = ("open the door", "close the valve", "stop the pump", "start line two")
GERMAN = ("öffne die Tür", "schließe das Ventil", "stoppe die Pumpe", "starte Linie zwei")
JAPANESE = ("ドアをあけて", "バルブをしめて", "ポンプをとめて", "ラインをうごかして")
TAKES = 4


def sound(speaker: int, take: int) -> np.ndarray:
    """Half a second and more of a voice, float32 [samples]; no two alike."""
    return voice(0.6 + 0.05 * take, 140 + 45 * speaker + 9 * take, 100 * speaker + take)


def _each(folder: Path, name: Callable[[str, int], str]) -> list[tuple[str, str, int]]:
    """Write a file for every speaker and take; return their names, speakers and takes."""
    rows = []
    for place, speaker in enumerate(SPEAKERS):
        for take in range(TAKES):
            path = folder / name(speaker, take)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(wav(sound(place, take)))
            rows.append((path.relative_to(folder).as_posix(), speaker, take))
    return rows


def _numbered(folder: Path) -> list[tuple[str, str, int]]:
    """Files whose names say nothing, as recorders write them."""
    numbers = iter(range(1, 1000))
    return _each(folder, lambda speaker, take: f"aufnahme{next(numbers):03}.wav")


def names_with_speakers(folder: Path) -> Path:
    _each(folder, lambda speaker, take: f"{speaker}_{take:02}.wav")
    return folder


def folder_per_speaker(folder: Path) -> Path:
    _each(folder, lambda speaker, take: f"{speaker}/{take:02}.wav")
    return folder


def folder_per_class(folder: Path) -> Path:
    numbers = iter(range(1, 1000))
    _each(folder, lambda speaker, take: f"{('alarm', 'running', 'idle')[take % 3]}/{next(numbers):03}.wav")
    return folder


def wavs_and_texts(folder: Path) -> Path:
    for name, _, take in _each(folder, lambda speaker, take: f"{speaker}-{take}.wav"):
        (folder / name).with_suffix(".txt").write_text(WORDS[take] + "\n", "utf-8")
    return folder


def table(folder: Path) -> Path:
    rows = [f"{name},{WORDS[take]}" for name, _, take in _numbered(folder)]
    (folder / "list.csv").write_text("\n".join(["path,text", *rows]) + "\n", "utf-8")
    return folder / "list.csv"


def german_table(folder: Path) -> Path:
    rows = [f"{name};{GERMAN[take]};{speaker}" for name, speaker, take in _numbered(folder / "ton")]
    (folder / "liste.csv").write_text("\n".join(["Datei;Wortlaut;Sprecher", *rows]) + "\n", "utf-8")
    return folder / "liste.csv"


def japanese_excel_table(folder: Path) -> Path:
    rows = [f"{name},{JAPANESE[take]},{speaker}" for name, speaker, take in _numbered(folder)]
    text = "\r\n".join(["音声ファイル,書き起こし,話者", *rows]) + "\r\n"
    (folder / "一覧.csv").write_bytes(text.encode("cp932"))
    return folder / "一覧.csv"


def nemo_manifest(folder: Path) -> Path:
    rows = [
        {"audio_filepath": name, "text": WORDS[take], "speaker": speaker}
        for name, speaker, take in _numbered(folder / "audio")
    ]
    lines = [json.dumps(row | {"audio_filepath": f"audio/{row['audio_filepath']}"}) + "\n" for row in rows]
    (folder / "manifest.jsonl").write_text("".join(lines), "utf-8")
    return folder / "manifest.jsonl"


def audiofolder(folder: Path) -> Path:
    rows = [f"{name},{WORDS[take]},{speaker}" for name, speaker, take in _numbered(folder)]
    (folder / "metadata.csv").write_text("\n".join(["file_name,transcription,speaker_id", *rows]) + "\n", "utf-8")
    return folder


def kaldi_folder(folder: Path) -> Path:
    rows = [(f"{speaker}-{take}", name, speaker, take) for name, speaker, take in _numbered(folder / "wav")]
    lists = {
        "wav.scp": [f"{key} wav/{name}" for key, name, _, _ in rows],
        "text": [f"{key} {WORDS[take]}" for key, _, _, take in rows],
        "utt2spk": [f"{key} {speaker}" for key, _, speaker, _ in rows],
    }
    for name, lines in lists.items():
        (folder / name).write_text("\n".join(lines) + "\n", "utf-8")
    return folder


def phone_recordings(folder: Path) -> Path:
    """Recordings of a phone, and the table that somebody made of them."""
    rows = []
    for name, speaker, take in _numbered(folder):
        path = folder / name
        phone = path.with_suffix(".m4a")
        _as_m4a(sound(SPEAKERS.index(speaker), take), phone)
        path.unlink()
        rows.append(f"{phone.name};{WORDS[take]};{speaker}")
    (folder / "recordings.csv").write_text("\n".join(["File;Transcript;Speaker", *rows]) + "\n", "utf-8-sig")
    return folder


def _as_m4a(samples: np.ndarray, path: Path) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16_000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


USUAL: dict[str, Callable[[Path], Path]] = {
    maker.__name__: maker
    for maker in (
        names_with_speakers, folder_per_speaker, folder_per_class, wavs_and_texts, table, german_table,
        japanese_excel_table, nemo_manifest, audiofolder, kaldi_folder, phone_recordings,
    )
}  # fmt: skip
"""The eleven forms."""

"""Small trees with the layouts of published corpora: tones in place of speech, the files as they are published."""

from __future__ import annotations

import gzip
import itertools
import json
from pathlib import Path
from typing import Any

from tests.support.clips import voice, wav

_NUMBERS = itertools.count(1)


def sound(path: Path, seconds: float = 0.5, pitch: float = 300.0) -> Path:
    """A recording that no other one equals, in the container that its suffix names."""
    kinds = {".flac": "FLAC", ".mp3": "MP3", ".wav": "WAV"}
    kind, number = kinds[path.suffix], next(_NUMBERS)
    path.parent.mkdir(parents=True, exist_ok=True)
    subtype = "MPEG_LAYER_III" if kind == "MP3" else "PCM_16"
    path.write_bytes(wav(voice(seconds, pitch + number % 97, number), kind=kind, subtype=subtype))
    return path


def text(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def librispeech(root: Path, parts: dict[str, tuple[int, ...]], each: int = 2) -> Path:
    """LibriSpeech/: the speakers of each part, one chapter with `each` clips a speaker."""
    top = root / "LibriSpeech"
    rows = [";ID  |SEX| SUBSET           |MINUTES| NAME"]
    for part, speakers in parts.items():
        for speaker in speakers:
            rows.append(f"{speaker:<4} | F | {part:<16} | 25.03 | A Name | or two")
            chapter_tree(top / part / str(speaker) / "1001", speaker, each)
    text(top / "SPEAKERS.TXT", *rows)
    return top


def librilight(root: Path, each: int = 1) -> Path:
    """librispeech_finetuning/: 1h/<0..5>/<clean, other> and 9h/<clean, other>, one speaker each."""
    top, speakers = root / "librispeech_finetuning", itertools.count(3000)
    for folder in (*(f"1h/{n}" for n in range(6)), "9h"):
        for kind in ("clean", "other"):
            speaker = next(speakers)
            chapter_tree(top / folder / kind / str(speaker) / "1001", speaker, each)
    text(top / "phones" / "10h_phones.txt", "3000-1001-0000 1 2 3")
    return top


def chapter_tree(folder: Path, speaker: int, each: int) -> None:
    names = [f"{speaker}-1001-{number:04d}" for number in range(each)]
    for name in names:
        sound(folder / f"{name}.flac", pitch=200 + speaker % 50)
    words = ("OPEN THE DOOR", "CLOSE THE VALVE", "STOP THE PUMP")
    lines = [f"{name} {words[number % 3]}" for number, name in enumerate(names)]
    text(folder / f"{speaker}-1001.trans.txt", *lines)


def voxceleb(root: Path, speakers: tuple[int, ...], tested: tuple[int, ...], name: str = "veri_test2.txt") -> Path:
    """wav/id1xxxx/<video>/0000n.wav, two videos with two clips a speaker, and a list of trials between the `tested`."""
    for speaker in (*speakers, *tested):
        for video in ("1zcIwhmdeo4", "7gWzIy6yIIk"):
            for number in (1, 2):
                sound(root / "wav" / f"id{speaker}" / video / f"{number:05d}.wav", pitch=200 + 5 * (speaker % 50))
    ids = [f"id{speaker}" for speaker in tested]
    same = [f"1 {one}/1zcIwhmdeo4/00001.wav {one}/7gWzIy6yIIk/0000{n}.wav" for one in ids for n in (1, 2)]
    pairs = itertools.combinations(ids, 2)
    other = [f"0 {a}/1zcIwhmdeo4/0000{n}.wav {b}/7gWzIy6yIIk/00001.wav" for a, b in pairs for n in (1, 2)]
    text(root / name, *same, *other)
    return root


def iemocap(root: Path, each: int = 3) -> Path:
    """IEMOCAP_full_release/: two dialogues a session, `each` utterances of each class for both voices."""
    top = root / "IEMOCAP_full_release"
    for session in range(1, 6):
        folder = top / f"Session{session}"
        for dialogue in (f"Ses0{session}F_impro01", f"Ses0{session}M_script01_1"):
            evaluation, words = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""], []
            for voice_of in "FM":
                labels = ("ang", "hap", "exc", "sad", "neu", "fru", "xxx")
                for number, label in enumerate(label for label in labels for _ in range(each)):
                    name = f"{dialogue}_{voice_of}{number:03d}"
                    pitch = 200 + 100 * ("ang", "hap", "exc", "sad", "neu", "fru", "xxx").index(label)
                    sound(folder / "sentences" / "wav" / dialogue / f"{name}.wav", pitch=pitch)
                    evaluation += [
                        f"[6.2901 - 8.2357]\t{name}\t{label}\t[2.5000, 2.5000, 2.5000]",
                        "C-E2:\tNeutral;\t()",
                    ]
                    words.append(f"{name} [006.2901-008.2357]: Excuse me.")
            text(folder / "dialog" / "EmoEvaluation" / f"{dialogue}.txt", *evaluation)
            text(folder / "dialog" / "transcriptions" / f"{dialogue}.txt", *words)
        (folder / "dialog" / "EmoEvaluation" / f"._Ses0{session}F_impro01.txt").write_bytes(b"\0\5\26\7Mac")
    return top


def fluent(root: Path, each: int = 2) -> Path:
    """fluent_speech_commands_dataset/: two intents, one speaker for each split."""
    top = root / "fluent_speech_commands_dataset"
    for split, speaker in (("train", "2BqVo8kVB2Skwgyb"), ("valid", "4aGjX3AG5xcxeL7a"), ("test", "5o9BvRGEGvhaeBwA")):
        rows = [",path,speakerId,transcription,action,object,location"]
        for number in range(each):
            for action, words, pitch in (("activate", "Turn on the lights", 250), ("deactivate", "Lights, off", 700)):
                name = f"wavs/speakers/{speaker}/{action}-{number}-5dbec3b8816a.wav"
                sound(top / name, pitch=pitch)
                rows.append(f'{len(rows) - 1},{name},{speaker},"{words}",{action},lights,none')
        text(top / "data" / f"{split}_data.csv", *rows)
    return top


def common_voice(root: Path, language: str = "de") -> Path:
    """cv-corpus/<language>/: train, dev and test of three voices, validated, invalidated and reported."""
    top = root / language
    header = "client_id path sentence_id sentence sentence_domain up_votes down_votes age gender accents variant"
    rows: dict[str, list[str]] = {name: [] for name in ("train", "dev", "test", "validated", "invalidated", "other")}
    sentences = ("Guten Tag, wie geht's?", 'Er sagte "ja".', "Die Tür ist zu.")
    for place, name in enumerate(("train", "dev", "test", "invalidated")):
        for number, sentence in enumerate(sentences):
            clip = f"common_voice_{language}_{place}{number}.mp3"
            sound(top / "clips" / clip)
            row = f"client{place}\t{clip}\ts{number}\t{sentence}\t\t2\t0\t\t\t\t\t{language}\t"
            rows[name].append(row)
            if name != "invalidated":
                rows["validated"].append(row)
    for name, lines in rows.items():
        text(top / f"{name}.tsv", f"{header} locale segment".replace(" ", "\t"), *lines)
    text(top / "reported.tsv", "sentence_id\tsentence\tlocale\treason", f"s2\t{sentences[2]}\tde\tgrammar-or-spelling")
    return top


def mls(root: Path) -> Path:
    """mls_german/: one book a split, with the limited sets of the training split."""
    top = root / "mls_german"
    for split, speaker in (("train", 10148), ("dev", 10536), ("test", 1054)):
        names = [f"{speaker}_10119_{number:06d}" for number in range(3)]
        for name in names:
            sound(top / split / "audio" / str(speaker) / "10119" / f"{name}.flac")
        text(top / split / "transcripts.txt", *(f"{name}\tguten tag auch" for name in names))
        link = "https://www.archive.org/download/a_book/a_book_01.mp3"
        text(top / split / "segments.txt", *(f"{name}\t{link}\t{n}.25\t{n}.75" for n, name in enumerate(names)))
    limited = top / "train" / "limited_supervision"
    text(limited / "1hr" / "0" / "handles.txt", "10148_10119_000000")
    text(limited / "9hr" / "handles.txt", "10148_10119_000001")
    text(top / "metainfo.txt", " SPEAKER   |   GENDER   |  PARTITION  |  MINUTES  |  BOOK ID  |  TITLE  |  CHAPTER")
    return top


def kaldi(root: Path, name: str = "train") -> Path:
    """A data folder with two calls, four segments, and channels A and B of one file."""
    folder = root / "data" / name
    sound(folder / "audio" / "call1.wav", 4.0)
    sound(folder / "audio" / "call2.wav", 4.0)
    text(folder / "wav.scp", "call1-A audio/call1.wav", "call1-B audio/call1.wav", "call2 audio/call2.wav")
    text(folder / "reco2file_and_channel", "call1-A call1 A", "call1-B call1 B", "call2 call2 B")
    text(
        folder / "segments",
        "anna-1 call1-A 0.5 1.25",
        "bert-1 call1-B 1.50 2.0",
        "carl-1 call2 0 1",
        "carl-2 call2 1 -1",
    )
    text(folder / "text", "anna-1 open the door", "bert-1 no", "carl-1 yes please", "carl-2 stop")
    text(folder / "utt2spk", "anna-1 anna", "bert-1 bert", "carl-1 carl", "carl-2 carl")
    text(folder / "spk2utt", "anna anna-1", "bert bert-1", "carl carl-1 carl-2")
    text(folder / "reco2dur", "call1-A 4.0", "call1-B 4.0", "call2 4.0")
    return folder


def lhotse_cut(name: str, source: str, supervisions: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """A cut of 3 s from 0.5 s on in a recording of 4 s with two channels, as lhotse's CutSet.to_file writes it."""
    recording = {
        "id": name,
        "sources": [{"type": "file", "channels": [0, 1], "source": source}],
        "sampling_rate": 16000,
        "num_samples": 64000,
        "duration": 4.0,
        "channel_ids": [0, 1],
    }
    defaults = {"recording_id": name, "start": 0.0, "duration": 1.0, "channel": 0, "language": "English"}
    parts = [{"id": f"{name}-{n}", **defaults, **one} for n, one in enumerate(supervisions)]
    cut = {"id": f"{name}-0", "start": 0.5, "duration": 3.0, "channel": [0, 1], "supervisions": parts}
    return {**cut, "recording": recording, "type": "MultiCut", **changes}


def lhotse(root: Path, cuts: list[dict[str, Any]], name: str = "cuts_train.jsonl.gz") -> Path:
    content = "".join(json.dumps(cut) + "\n" for cut in cuts).encode()
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return root / name


def jsut(root: Path) -> Path:
    """jsut_ver1.1/ with two subsets, and a folder of JVS next to it."""
    top = root / "jsut_ver1.1"
    for subset, words in (
        ("basic5000", "水をマレーシアから買わなくてはならないのです。"),
        ("travel1000", "ここはどこ？"),
    ):
        name = f"{subset.upper()}_0001"
        sound(top / subset / "wav" / f"{name}.wav")
        text(top / subset / "transcript_utf8.txt", f"{name}:{words}")
    return top


def jvs(root: Path) -> Path:
    top = root / "jvs_ver1"
    for speaker in ("jvs001", "jvs002"):
        sound(top / speaker / "parallel100" / "wav24kHz16bit" / "VOICEACTRESS100_001.wav")
        text(
            top / speaker / "parallel100" / "transcripts_utf8.txt",
            "VOICEACTRESS100_001:また、東寺のように、五大明王と、",
        )
    return top


def reazonspeech(root: Path) -> Path:
    sound(root / "v2" / "000" / "00734a5ac5b30.flac")
    sound(root / "v2" / "000" / "0112cf3a9b2d5.flac")
    rows = ("000/00734a5ac5b30.flac\t今日は晴れです。", "000/0112cf3a9b2d5.flac\tそうですね。")
    text(root / "v2-tsv" / "tiny.tsv", *rows)
    return root


def prompts(root: Path, language: str = "fr") -> Path:
    """A prompt set of Asterisk: one voice, names with folders, remarks in its list."""
    folder = root / f"{language}_CA_f_June"
    for name in ("agent-loggedoff", "digits/1"):
        sound(folder / f"{name}.wav")
    text(folder / f"core-sounds-{language}.txt", "; prompts", "agent-loggedoff: Agent déconnecté.", "digits/1: un")
    return folder

"""Deliveries that are spoilt in every way: values, keys, bytes, encodings, names of files."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.support.clips import voice, wav

Rows = list[dict[str, Any]]


class Files(dict[str, bytes | str]):
    """Content by name; a text is the target of a link."""

    def __repr__(self) -> str:
        """Sounds by their size: a failure is read by people."""
        sounds = (".wav", ".flac", ".mp3")
        shown = {name: len(content) if name.endswith(sounds) else content for name, content in self.items()}
        return f"{type(self).__name__}({shown})"


NAMES = ("anna", "bert", "carla", "doris")
_SOUNDS = {f"audio/{name}.wav": wav(voice(0.15, 200 + 40 * place, place)) for place, name in enumerate(NAMES)}
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp932", "cp1252", "latin-1", "euc_jp", "utf-7")
KEYS = (
    *("text", "transcription", "speaker", "speaker_id", "label", "split", "condition", "offset", "duration", "channel"),
    *(
        "channel_selector",
        "lang",
        "target_lang",
        "text_filepath",
        "start",
        "end",
        "taskname",
        "note",
        "",
        " Text ",
        "\ufeff",
    ),
)


def base_rows(key: str) -> Rows:
    """Four good rows; the file is named by `key`."""
    words = ("open the door", "grün", "ドア", "it's")
    return [
        {key: f"audio/{name}.wav", "text": text, "speaker": name, "label": "calm", "split": "train"}
        for name, text in zip(NAMES, words, strict=True)
    ]


def odd_values() -> st.SearchStrategy[Any]:
    """Any value of JSON, with those that programs write by mistake more often."""
    scalars = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(st.characters(codec=None), max_size=20),
        st.sampled_from(
            ["nan", "NaN", "7.0", "1e999", "-1", "0,5", "～", "left", "audio/anna.wav", "../x", "/etc/passwd"]
        ),
        st.sampled_from(
            ["C:\\a.wav", "a\0b", "~", "~root", ".", "audio", "[noise] yes", "(" * 50, "\ud800", "x" * 5000]
        ),
        st.sampled_from([10**400, 2**53, 7.0, -0.0, 1e-320, float("nan"), float("inf")]),
    )
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
        max_leaves=4,
    )


def json_lines(rows: Rows) -> str:
    """One object a line."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def json_array(rows: Rows) -> str:
    """An indented array."""
    return json.dumps(rows, indent=1)


def table(delimiter: str) -> Callable[[Rows], str]:
    """A table with a header of all keys; values are written as Python's csv does."""

    def write(rows: Rows) -> str:
        keys = list(dict.fromkeys(key for row in rows for key in row))
        text = io.StringIO()
        writer = csv.writer(text, delimiter=delimiter)
        writer.writerow(keys)
        writer.writerows([row.get(key) for key in keys] for row in rows)
        return text.getvalue()

    return write


LAYOUTS: dict[str, tuple[str, str, Callable[[Rows], str]]] = {
    "nemo": ("manifest.jsonl", "audio_filepath", json_lines),
    "nemo array": ("train_manifest.json", "audio_filepath", json_array),
    "audiofolder json": ("metadata.jsonl", "file_name", json_lines),
    "audiofolder csv": ("metadata.csv", "file_name", table(",")),
    "audiofolder semicolons": ("Metadata.CSV", "file_name", table(";")),
    "audiofolder tabs": ("metadata.tsv", "file_name", table("\t")),
}
"""Name of the manifest, key of the file, and how rows are written."""


@st.composite
def spoilt_rows(draw: st.DrawFn, key: str) -> Rows:
    """Good rows, and up to three changes of the first one: values, keys, a row twice or gone."""
    rows = base_rows(key)
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from(("value", "value", "value", "name", "key", "gone")))
        if kind == "value":
            rows[0][draw(st.sampled_from((key, *KEYS)))] = draw(odd_values())
        elif kind == "name":
            rows[0][draw(st.text(max_size=8))] = draw(odd_values())
        elif kind == "key" and rows[0]:
            old = draw(st.sampled_from(sorted(rows[0])))
            rows[0][draw(st.sampled_from((old.upper(), f" {old}", old.title())))] = rows[0].pop(old)
        elif rows[0]:
            rows[0].pop(draw(st.sampled_from(sorted(rows[0]))))
    return rows


@st.composite
def spoilt_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes with a few replaced, inserted or taken out, or cut off."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, max(len(changed) - 1, 0)))
        kind = draw(st.sampled_from(("replace", "insert", "delete", "cut", "twice")))
        some = draw(st.binary(min_size=1, max_size=8))
        if kind == "replace":
            changed[place : place + len(some)] = some
        elif kind == "insert":
            changed[place:place] = some
        elif kind == "delete":
            del changed[place : place + draw(st.integers(1, 40))]
        elif kind == "cut":
            del changed[place:]
        else:
            changed[place:place] = changed[place : place + 200]
    return bytes(changed)


@st.composite
def spoilt_delivery(draw: st.DrawFn, layout: str) -> Files:
    """A manifest that is spoilt in its values or in its bytes, and its sounds, of which one may be spoilt."""
    name, key, write = LAYOUTS[layout]
    spoil = draw(st.sampled_from(("rows", "rows", "rows", "bytes", "encoding", "sound", "file")))
    text = write(draw(spoilt_rows(key)) if spoil == "rows" else base_rows(key))
    ends = draw(st.sampled_from(("\n", "\n", "\r\n", "\r")))
    encoding = draw(st.sampled_from(ENCODINGS)) if spoil == "encoding" else "utf-8"
    content = text.replace("\n", ends).encode(encoding, "surrogatepass" if encoding.startswith("utf-8") else "replace")
    files = Files({**_SOUNDS, name: draw(spoilt_bytes(content)) if spoil in ("bytes", "encoding") else content})
    if spoil == "sound":
        files["audio/anna.wav"] = draw(spoilt_bytes(_SOUNDS["audio/anna.wav"]))
    if spoil == "file":
        sound = files.pop("audio/anna.wav")
        odd = ("audio/ANNA.wav", "audio/anna.wav ", "audio/anna.wav/x", "audio/anna.WAV", "Audio/anna.wav", "")
        if other := draw(st.sampled_from(odd)):
            files[other] = sound
        else:
            ends = ("bert.wav", "anna.wav", "..", "/etc/hostname", "/dev/null", "gone")
            files["audio/anna.wav"] = draw(st.sampled_from(ends))
    return files


TOKENS = (
    *(
        "",
        "nan",
        "-1",
        "1e999",
        "9" * 400,
        "9" * 5000,
        "0",
        "1,5",
        "ü",
        "\0",
        "\ud800",
        "x" * 3000,
        "../../etc/passwd",
        "<",
        "&lol;",
    ),
    *(
        "[",
        "]",
        "{",
        "null",
        "true",
        '"',
        "'",
        "\u3000",
        "\ufeff",
        "٣",
        "００",
        "inf",
        "C:\\a.wav",
        "-->",
        "%s",
        "~",
        ".",
        "\x1b",
    ),
)


@st.composite
def spoilt_text(draw: st.DrawFn, text: str) -> str:
    """A text with a few words replaced, and lines twice, gone or in another place."""
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(("word", "word", "word", "line twice", "line gone", "lines swapped")))
        if kind == "word":
            words = [*re.finditer(r"[^\s\"'<>=,:|{}\[\]]+", text)]
            if words:
                found = draw(st.sampled_from(words))
                word = draw(st.sampled_from(TOKENS) | st.text(max_size=10))
                text = text[: found.start()] + word + text[found.end() :]
            continue
        lines = text.split("\n")
        place = draw(st.integers(0, len(lines) - 1))
        if kind == "line twice":
            lines.insert(place, lines[place])
        elif kind == "line gone":
            del lines[place]
        else:
            lines.insert(0, lines.pop(place))
        text = "\n".join(lines)
    return text


@st.composite
def spoilt_tree(draw: st.DrawFn, tree: Files) -> Files:
    """The files of a corpus, one of them spoilt: its words, its bytes, its encoding, its name; or gone."""
    files = Files(tree)
    # texts are few, and decide more than sounds
    texts = [name for name in sorted(files) if not name.endswith((".wav", ".flac", ".mp3"))] or sorted(files)
    name = draw(st.sampled_from(texts + texts + sorted(files)))
    content = files[name]
    assert isinstance(content, bytes)
    spoil = draw(st.sampled_from(("text", "text", "text", "bytes", "encoding", "gone", "name", "link", "folder")))
    if spoil in ("text", "encoding") and name in texts:
        text = content.decode("utf-8", "replace")
        if spoil == "text":
            files[name] = draw(spoilt_text(text)).encode("utf-8", "surrogatepass")
        else:
            encoding = draw(st.sampled_from(ENCODINGS))
            files[name] = text.encode(encoding, "replace")
    elif spoil == "gone":
        del files[name]
    elif spoil == "name":
        folder, _, file = name.rpartition("/")
        other = draw(st.sampled_from((file.upper(), f" {file}", f"{file}.bak", f"._{file}", f"ü{file}", f"x{file}")))
        files[f"{folder}/{other}" if folder else other] = files.pop(name)
    elif spoil == "link":
        files[name] = draw(st.sampled_from(("..", name.rpartition("/")[2], "/etc/hostname", "gone")))
    elif spoil == "folder":
        files[f"{name}/inside"] = files.pop(name)
    else:
        files[name] = draw(spoilt_bytes(content))
    return files


def read_files(folder: Path) -> Files:
    """The files below a folder, by name."""
    return Files({p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()})


def write_files(folder: Path, files: Files) -> Path:
    """Write files below a folder; returns it."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            (folder / name).symlink_to(content)
        else:
            (folder / name).write_bytes(content)
    return folder

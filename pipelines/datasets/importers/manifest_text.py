"""The text of a manifest: UTF-8, UTF-16 with its mark, or a declared encoding; another one is named in one sentence."""

import codecs
import itertools
import re
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path

from pipelines.errors import IntakeError, UsageError

MAX_BYTES = 2**30
"""A larger file is no manifest."""
_SAMPLE = 2**22
"""Bytes that show the encoding."""
_MARKS = (
    # UTF-32 first: its little-endian mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WIDER = {"shift_jis": "cp932", "euc_kr": "cp949", "gb2312": "gb18030", "gbk": "gb18030", "iso8859-1": "cp1252"}
"""Encodings that programs name, and those in which they write: each has all characters of the first one."""
_NO_TEXT = ("idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7")


def read_text(path: Path, encoding: str = "") -> str:
    """Return the text of a file with lines that end in a line feed; a mark at its beginning decides before `encoding`.

    In a file that is UTF-8 but for a few bytes, these become lone surrogates: only the clip that they belong to is
    faulty. Raise IntakeError for a file in another encoding; the sentence names the likely one and what to do.
    """
    require_text_size(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise IntakeError(f"{path} cannot be read: {error.strerror}; nothing was taken in") from error
    marked = next((name for mark, name in _MARKS if content.startswith(mark)), "")
    chosen = marked if marked not in ("", "utf-8-sig") else known_encoding(encoding)
    if marked == "utf-8-sig" or not chosen:
        text = _utf8(path, content.removeprefix(codecs.BOM_UTF8))
    else:
        try:
            text = content.decode(chosen)
        except UnicodeError as error:
            place = getattr(error, "start", 0)
            line = content.count(b"\n", 0, place) + 1
            raise IntakeError(
                f"{path} is not {chosen} text: {getattr(error, 'reason', error)} at byte {place:,} (line {line}); "
                "save it as UTF-8, or name its encoding with --encoding"
            ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def require_text_size(path: Path) -> None:
    """Raise IntakeError for a file that cannot be opened, or has more than `MAX_BYTES`: it is read as a whole."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise IntakeError(f"{path} cannot be read: {error.strerror}; nothing was taken in") from error
    if size > MAX_BYTES:
        raise IntakeError(f"{path} has more than {MAX_BYTES // 2**20} MiB; a manifest is text, one line a clip")


def known_encoding(name: str) -> str:
    """Return the encoding that a name stands for, or an empty text for none; UsageError for one that is unknown."""
    if not name:
        return ""
    try:
        # the lookup also finds codecs that are no encodings of text, such as hex
        found = codecs.lookup(name).name
        if found in _NO_TEXT:
            raise LookupError(name)
        "".encode(found)
    except (LookupError, UnicodeError, ValueError) as error:
        raise UsageError(
            f"unknown encoding {name!r}; expected one that Python knows, such as cp932, cp1252 or utf-16"
        ) from error
    return _WIDER.get(found, found)


def likely_encoding(path: Path) -> str:
    """Return the encoding that a text file probably has, if it is not UTF-8 and has no mark; else an empty text."""
    content = _sample(path)
    if any(content.startswith(mark) for mark, _ in _MARKS):
        return ""
    if b"\0" in content:
        return next((name for name in ("utf-16le", "utf-16be") if name in _zero_bytes(path, content)), "")
    # what `read_text` takes as UTF-8, with a few broken bytes, is UTF-8 here too
    return _fitting(content) if _more_broken(content.decode("utf-8", "surrogateescape")) else ""


def common_encoding(paths: Iterable[Path]) -> tuple[str, str]:
    """Return the encoding that text files probably have together (empty: UTF-8), and how they differ if none fits all.

    A mark decides about its own file. Files that are ASCII fit anything but UTF-16. Without a common encoding, the
    first text is empty and the second one is a sentence.
    """
    unmarked: dict[Path, str] = {}
    plain: list[Path] = []
    for path in paths:
        content = _sample(path)
        own = likely_encoding(path)
        if own or not (content.isascii() or any(content.startswith(mark) for mark, _ in _MARKS)):
            unmarked[path] = own
        elif content and content.isascii():
            plain.append(path)
    kinds: dict[str, Path] = {}
    for path, own in unmarked.items():
        kinds.setdefault(own, path)
    if kinds.keys() <= {""}:
        return "", ""
    if not any(own in ("", "utf-16le", "utf-16be") for own in kinds):
        # a short file alone may look like another encoding than all of them together
        joined = b"\n".join(map(_sample, unmarked))
        found = _fitting(joined)
        return (found, "") if _can_decode(joined, found) else ("", "")
    if plain:
        kinds.setdefault("", plain[0])
    if len(kinds) == 1:
        return next(iter(kinds)), ""
    shown = ", ".join(f"{path.name}: {'probably ' + own if own else 'UTF-8'}" for own, path in kinds.items())
    return "", f"its texts have different encodings ({shown}); save all as UTF-8"


def _sample(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(_SAMPLE)
    # whole lines: a character that is cut in two looks like another encoding
    return content[: content.rfind(b"\n") + 1] if len(content) == _SAMPLE else content


def _fitting(content: bytes) -> str:
    return next(name for name, _, fits in _LIKELY if fits(content))


def _can_decode(content: bytes, encoding: str) -> bool:
    try:
        content.decode(known_encoding(encoding))
    except UnicodeError:
        return False
    return True


def undecodable(text: str) -> bool:
    """Return whether a text has bytes that were not UTF-8."""
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def printable(text: str) -> str:
    """Return a text with lone surrogates written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _utf8(path: Path, content: bytes) -> str:
    if b"\0" in content:
        raise IntakeError(_zero_bytes(path, content))
    text = content.decode("utf-8", "surrogateescape")
    if _more_broken(text):
        raise IntakeError(_other_encoding(path, content, text))
    return text


def _more_broken(text: str) -> bool:
    """Return whether more bytes of a text are broken (lone surrogates) than it has characters beyond ASCII."""
    broken = sum("\udc80" <= letter <= "\udcff" for letter in text)
    return sum(letter >= "\x80" for letter in text) < 2 * broken


def _zero_bytes(path: Path, content: bytes) -> str:
    even, odd = content[:4096:2].count(0), content[1:4096:2].count(0)
    # of text in UTF-16, every second byte of a letter of ASCII is zero, and no other
    if max(even, odd) <= 10 * min(even, odd) or max(even, odd) <= 0.3 * len(content[:4096]) / 2:
        return f"{path} is not text: it has zero bytes, as binary files have; give a manifest in UTF-8"
    name = "utf-16le" if odd > even else "utf-16be"
    return _advice(path, f"it has zero bytes, as {name.upper()} without a byte order mark has", name)


def _other_encoding(path: Path, content: bytes, text: str) -> str:
    first = next(place for place, letter in enumerate(text) if "\udc80" <= letter <= "\udcff")
    line = text.count("\n", 0, first) + 1
    encoding, about = next((name, about) for name, about, fits in _LIKELY if fits(content))
    return _advice(path, f"its line {line} is probably in {about}", encoding)


def _advice(path: Path, why: str, encoding: str) -> str:
    name = shlex.quote(path.name)
    return (
        f"{path} is not UTF-8: {why}; add --encoding {encoding}, or convert it with: "
        f"iconv -f {encoding.upper()} -t UTF-8 {name} > utf8-{name.strip(chr(39))}"
    )


def _decodes(encoding: str, letters: str, share: float) -> Callable[[bytes], bool]:
    """Return a test for text in an encoding: a `share` of its characters beyond ASCII is in a class of `letters`."""
    pattern = re.compile(f"[{letters}]")

    def fits(content: bytes) -> bool:
        try:
            text = content.decode(encoding)
        except UnicodeError:
            return False
        foreign = [letter for letter in text if letter > "\x7f"]
        return bool(foreign) and sum(map(bool, map(pattern.match, foreign))) >= share * len(foreign)

    return fits


def _long_runs(content: bytes) -> bool:
    """Return whether bytes beyond ASCII follow each other, as the letters of a word in Cyrillic or Greek do."""
    runs = [sum(1 for _ in run) for high, run in itertools.groupby(content, lambda byte: byte > 0x7F) if high]
    return bool(runs) and sum(runs) / len(runs) >= 2.5


def _small_leads(content: bytes) -> bool:
    """Return whether many bytes beyond ASCII are from 0x81 to 0x9F, as the first ones of kana and common kanji are."""
    high = [byte for byte in content if byte > 0x7F]
    return sum(0x81 <= byte <= 0x9F for byte in high) >= 0.2 * len(high)


_JAPANESE = "Shift-JIS (cp932), in which Japanese Windows writes"
_LIKELY: tuple[tuple[str, str, Callable[[bytes], bool]], ...] = (
    ("euc-jp", "EUC-JP", _decodes("euc_jp", "ぁ-ヿ", 0.2)),
    ("cp932", _JAPANESE, _decodes("cp932", "ぁ-ヿ", 0.2)),
    ("cp949", "EUC-KR (cp949), in which Korean Windows writes", _decodes("euc_kr", "가-힣", 0.9)),
    ("gb18030", "GBK, in which Chinese Windows writes", _decodes("gb2312", "一-鿿，。？！、：；“”", 0.9)),
    ("cp932", _JAPANESE, lambda content: _small_leads(content) and _decodes("cp932", "一-鿿ｦ-ﾟ", 0.9)(content)),
    (
        "cp1251",
        "Windows-1251 (Cyrillic)",
        lambda content: _long_runs(content) and _decodes("cp1251", "А-яЁё", 0.9)(content),
    ),
    ("cp1252", "Windows-1252 (Western Europe)", lambda content: True),
)
"""Encodings, named as both Python and iconv name them, in the order in which they are tried; the last fits anything."""

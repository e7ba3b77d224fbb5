"""Japanese: kanji, kana and Latin words without blanks; CER decides, and CER on readings is reported too."""

from __future__ import annotations

import functools
import re
import threading
import unicodedata
from collections.abc import Callable
from typing import Any

from elp_core.languages.language import Language, package_missing
from elp_core.languages.normal_form import REPLACEMENT, SURROGATES, NormalForm
from elp_core.languages.table import HAN

_SCRIPT = HAN + r"\u3041-\u309f\u30a1-\u30ff\u31f0-\u31ff"
_MARKS = "。、「」『』【】〔〕〈〉《》〘〙〚〛・･。、｢｣‥※"
_KANA = "[\u3041-\u3096\u30a1-\u30fa\u30fc]"
_LOST = dict.fromkeys(SURROGATES, REPLACEMENT)
_LONG = re.compile(f"(?<={_KANA})[-‐‑‒–−—―─━ｰ~∼〜～〰]+")
"""A dash or a tilde after kana is a long vowel: ラ−メン, すごい〜."""


def _half_and_long(text: str) -> str:
    """Return `text` in NFKC, long vowels written as ー, once: neologdn's rules without those that change words.

    neologdn drops the tilde of 9時〜5時, which is spoken, and reads the dash of ラ−メン as a hyphen; both are settled
    before it runs.
    """
    text = _LONG.sub("ー", unicodedata.normalize("NFKC", text.translate(_LOST)))
    normal: str = _neologdn()(text, tilde="ignore", remove_space=False)
    return normal


@functools.cache
def _neologdn() -> Callable[..., str]:
    try:
        import neologdn
    except ImportError as error:
        raise package_missing("neologdn", "Japanese") from error
    found: Callable[..., str] = neologdn.normalize
    return found


def reading(text: str) -> str:
    """Return the reading of a normal transcript in katakana, by fugashi with the dictionary unidic-lite.

    A word that the dictionary does not know keeps its characters, hiragana as katakana. 今日は and きょうは read alike.

    Raises:
        ConfigError: A package of the language is not installed.
    """
    tagger, lock, katakana = _tagger()
    with lock:
        words = [(word.surface, word.feature.kana) for word in tagger(text)]
    return "".join(kana or katakana(surface) for surface, kana in words)


@functools.cache
def _tagger() -> tuple[Any, threading.Lock, Callable[[str], str]]:
    for package in ("fugashi", "unidic_lite", "jaconv"):
        try:
            __import__(package)
        except ImportError as error:
            raise package_missing(package.replace("_", "-"), "the reading of Japanese") from error
    import fugashi
    import jaconv
    import unidic_lite

    # the tagger keeps state between calls, so that threads must take turns
    return fugashi.Tagger(f'-d "{unidic_lite.DICDIR}"'), threading.Lock(), jaconv.hira2kata


JAPANESE = Language(
    "ja",
    "Japanese",
    "",
    NormalForm("NFKC", marks=_MARKS, unspaced=_SCRIPT),
    spaced=False,
    metric="cer",
    units="characters",
    spells="ja",
    step=_half_and_long,
    packages=("neologdn",),
    variants={"reading": reading},
)

"""How we write Japanese: one spelling, one spacing and one register in the catalogue and on the pages."""

from __future__ import annotations

import re
from html import unescape

_JAPANESE = r"[ぁ-ゖァ-ヺー一-龠々]"
_LATIN = r"[0-9A-Za-z%+\])]"
RULES = {
    "full-width digits and letters, half-width katakana": r"[０-９Ａ-Ｚａ-ｚ\u3000〜ｦ-ﾟ]",
    "no blank between Latin and Japanese": (
        rf"{_LATIN}(?!(?<=[0-9])[年月日]){_JAPANESE}|{_JAPANESE}(?<![0-9][年月])[0-9A-Za-z]"
    ),
    "a blank next to a full-width mark": r"[、。：（）「」～／] |(?<!\n)(?<!^) [、。：（）「」～／？]",
    "a half-width mark in Japanese": rf"{_JAPANESE}[,;:?!(]|{_JAPANESE}\.(?!\w)",
    "a plain form in a sentence": r"(?<!まし)(?<!でし)た。|[うくぐだつぬぶむる]。|(?<!くださ)い。|(?<!で)(?<!ま)す。",
    "a long vowel that is not written": (
        r"(?:アダプタ|サーバ|ユーザ|フォルダ|パラメータ|ワーカ|ヘッダ|ブラウザ|マネージャ|レイヤ|エンコーダ|デコーダ"
        r"|コンピュータ|プリンタ|センサ|フィルタ|マーカ|スケジューラ)(?![ーリ])"
    ),
    "a line that ends inside a clause, so a browser shows a blank": rf"{_JAPANESE}\n{_JAPANESE}",
    "another word for a term of ours": (
        r"等価誤り率|等誤り率|文字エラー率|単語エラー率|話者認証|話者検証|引退|モニター|自信度|することができ|を行うことが"
    ),
}
"""Names of the rules and patterns of what they forbid."""
_VALUE = re.compile(r"%\(\w+\)s")
_MARKUP = re.compile(r"</?[a-z][^>]*>")


def breaches(text: str) -> list[str]:
    """Each breach of a rule: the rule, and the place with the letters around it."""
    found = []
    for rule, pattern in RULES.items():
        for match in re.finditer(pattern, text):
            found.append(f"{rule}: {text[max(0, match.start() - 12) : match.end() + 12]!r}")
    return found


def said_text(message: str) -> str:
    """A message without its markup; what its values are is not known here."""
    return _MARKUP.sub("", _VALUE.sub("\N{OBJECT REPLACEMENT CHARACTER}", message)).replace("%%", "%")


def page_text(markdown: str) -> str:
    """The prose of a Markdown page: without blocks of code, addresses and marks."""
    prose = re.sub(r"^```.*?^```$", "", markdown, flags=re.DOTALL | re.MULTILINE)
    prose = re.sub(r"\]\([^)]*\)", "", prose).replace("[", "").replace("!", "").replace("*", "").replace("`", "")
    # a list item is a paragraph of its own
    prose = re.sub(r"^(?=- |#)", "\n", prose, flags=re.MULTILINE)
    return re.sub(r"^(?:#+ |- |\| | +)|(?<=\|) | (?=\|)", "", prose, flags=re.MULTILINE)


def shown_text(html: str) -> str:
    """The texts of a page in its language, as a reader sees them next to each other."""
    html = re.sub(
        r"<(script|style|svg|q)\b.*?</\1>|<(\w+)[^>]*(?: lang=\"en\"| dir=)[^>]*>.*?</\2>", "", html, flags=re.DOTALL
    )
    html = re.sub(r"<span class=\"tip\".*?</span>", "", html)
    html = re.sub(r"</?(?:a|b|strong|span|code|time|del|ins)\b[^>]*>", "", html)
    # templates have a blank before a value, a command or the next sentence in every language
    html = re.sub(r"(?<=[、。：（）「」～]) | (?=[（「])", "", html)
    return re.sub(r"\s*\n\s*", "\n\n", unescape(re.sub(r"<[^>]+>", "\n", html)))

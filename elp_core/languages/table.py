"""Languages whose rules are data: one row each. A language that needs code has a file of its own.

What the rules follow: Unicode Standard Annex 15 and SpecialCasing.txt; for Arabic the open Arabic ASR leaderboard
(arXiv 2412.13788), less what changes words; for Thai the order of signs in the Unicode Standard, section 16.1; for
Vietnamese the two styles of placing tones in oa, oe and uy; for Korean the practice of KsponSpeech (CER).
"""

import unicodedata

from elp_core.languages.language import Language
from elp_core.languages.normal_form import NormalForm

_LATIN = "abcdefghijklmnopqrstuvwxyz"
_DIGITS = "0123456789"
_CJK_MARKS = "。、，；：？！「」『』【】〔〕〈〉《》〖〗・·・﹏‥※〝〞"
HAN = r"\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Character class of Chinese characters, 々 and 〇 included."""
_WIDE = ("".join(map(chr, range(0xFF01, 0xFF5F))), "".join(map(chr, range(0x21, 0x7F))))
"""Full-width forms of ASCII."""
_STRESS = "\u0301"
"""Stress marks of dictionaries; the letters of these languages are single code points without it."""


def _letters(*ranges: tuple[int, int]) -> str:
    return "".join(chr(code) for first, last in ranges for code in range(first, last + 1))


def _vietnamese() -> str:
    """Return the letters with all tones: ngang, huyền, sắc, hỏi, ngã, nặng."""
    vowels = [
        unicodedata.normalize("NFC", v + tone)
        for v in "aăâeêioôơuưy"
        for tone in ("", *"\u0300\u0301\u0309\u0303\u0323")
    ]
    return "".join(sorted({*_LATIN, "đ", *vowels}))


def _tones() -> tuple[tuple[str, str], ...]:
    """Return the rewrites of hoà to hòa: in open oa, oe and uy the tone is on the first vowel; qu is a consonant."""
    pairs = []
    for tone in "\u0300\u0301\u0309\u0303\u0323":
        for first, second in ("oa", "oe", "uy"):
            new_style, old_style = (unicodedata.normalize("NFC", v + tone) for v in (second, first))
            before = "(?<!q)" if first == "u" else ""
            pairs.append((rf"{before}{first}{new_style}\b", old_style + second))
    return tuple(pairs)


_GREEK = NormalForm(
    apostrophes=True,
    marks="·",
    # ς at the end of a word only; the elided σ' keeps its form
    rewrites=((r"ς(?=\w)", "σ"), (r"(?<=\w)σ(?![\w'])", "ς")),
)
_ARABIC = NormalForm(
    "NFKC",
    # tatweel, vowel signs, Quranic signs
    dropped="\u0640" + _letters((0x064B, 0x065F), (0x06D6, 0x06DC), (0x06DF, 0x06E8), (0x06EA, 0x06ED)) + "\u0670",
    # forms of alef; Persian kaf and yeh of other keyboards; both rows of digits with their separators
    mapped=(("أإآٱ", "اااا"), ("کی", "كي"), ("٠١٢٣٤٥٦٧٨٩٫", _DIGITS + "."), ("۰۱۲۳۴۵۶۷۸۹٬", _DIGITS + ",")),
    marks="،؛؟۔؞﴾﴿",
)
_HEBREW = NormalForm(
    apostrophes=True,
    dropped=_letters((0x0591, 0x05BD), (0x05C1, 0x05C2), (0x05C4, 0x05C5)) + "\u05bf\u05c7",
    marks="־׀׃׆",
    # the quotation mark inside an acronym leaves nothing behind; the geresh makes another sound of a letter
    early=((r'(?<=[א-ת])["״”“](?=[א-ת])', ""),),
    rewrites=((r"(?<=[א-ת])'", "׳"), (r"(?<![א-ת])׳", " ")),
)
_HINDI = NormalForm(
    dropped="\u200c\u200d",
    mapped=(("०१२३४५६७८९", _DIGITS),),
    marks="।॥॰",
)
_THAI = NormalForm(
    mapped=(("๐๑๒๓๔๕๖๗๘๙", _DIGITS),),
    marks="๏๚๛",
    # two sara e are sara ae; nikhahit and sara aa are sara am, with the tone before it
    rewrites=(("เเ", "แ"), ("\u0e4d([\u0e48-\u0e4b]?)\u0e32", "\\1\u0e33"), ("\u0e4d?\u0e33", "\u0e33")),
    unspaced=r"\u0e01-\u0e3a\u0e40-\u0e4e",
)
_KEPT = NormalForm(
    apostrophes=True,
    # the quotation mark after an elided word leaves nothing behind: dell'«Aida» is dell'aida; po'" di is another case
    early=((r"(?<=\w['’])(?:[\"“](?=\w)|«\s*(?=\w))", ""),),
)

ROWS: tuple[Language, ...] = (
    # ß folds to ss, as in the first release: bundles depend on it
    Language("en", "English", f"'{_LATIN}", NormalForm(fold="casefold", apostrophes=True), spells="en"),
    # ß is a letter (Maße is not Masse); the apostrophe of geht's may be left out (Duden)
    Language("de", "German", f"{_LATIN}äöüß", spells="de"),
    Language("fr", "French", f"'{_LATIN}àâæçéèêëîïôœùûüÿ", _KEPT, spells="fr"),
    Language("es", "Spanish", f"{_LATIN}áéíñóúü", spells="es"),
    Language("it", "Italian", f"'{_LATIN}àéèíìîóòúù", _KEPT, spells="it"),
    Language("pt", "Portuguese", f"'{_LATIN}àáâãçéêíóôõúü", _KEPT, spells="pt"),
    Language(
        "nl",
        "Dutch",
        f"'{_LATIN}áàäâçéèêëíïîóöôúüû",
        NormalForm(apostrophes=True, rewrites=(("ĳ", "ij"),)),
        spells="nl",
    ),
    Language("pl", "Polish", f"{_LATIN}ąćęłńóśźż", spells="pl"),
    Language("cs", "Czech", f"{_LATIN}áčďéěíňóřšťúůýž", spells="cs"),
    Language("sv", "Swedish", f"{_LATIN}åäöéàü", spells="sv"),
    Language("da", "Danish", f"{_LATIN}æøåéü", spells="da"),
    Language("no", "Norwegian", f"{_LATIN}æøåéèêòôü", spells="no"),
    # the apostrophe parts two syllables: vaa'an
    Language("fi", "Finnish", f"'{_LATIN}åäöšž", _KEPT, spells="fi"),
    Language("hu", "Hungarian", f"{_LATIN}áéíóöőúüű", spells="hu"),
    # s and t with a cedilla are the older code points of the letters with a comma
    Language("ro", "Romanian", f"{_LATIN}ăâîșț", NormalForm(mapped=(("şţ", "șț"),)), spells="ro"),
    # the apostrophe before a suffix (İstanbul'da) is not spoken
    Language("tr", "Turkish", f"{_LATIN}âçğıîöşûü", NormalForm(fold="turkish"), spells="tr"),
    # print writes е for ё; й is one code point
    Language(
        "ru", "Russian", _letters((0x0430, 0x044F)), NormalForm(dropped=_STRESS, mapped=(("ё", "е"),)), spells="ru"
    ),
    Language(
        "uk",
        "Ukrainian",
        "'абвгґдеєжзиіїйклмнопрстуфхцчшщьюя",
        NormalForm(apostrophes=True, dropped=_STRESS),
        spells="uk",
    ),
    Language("el", "Greek", "'αάβγδεέζηήθιίϊΐκλμνξοόπρσςτυύϋΰφχψωώ", _GREEK),
    Language("ar", "Arabic", "ءؤئابةتثجحخدذرزسشصضطظعغفقكلمنهوىيپچڤگ", _ARABIC),
    Language("he", "Hebrew", "אבגדהוזחטיךכלםמןנסעףפץצקרשת׳", _HEBREW),
    Language(
        "hi",
        "Hindi",
        _letters((0x0901, 0x0903), (0x0905, 0x0939), (0x093C, 0x094D), (0x0950, 0x0950), (0x0960, 0x0960)),
        _HINDI,
    ),
    Language("id", "Indonesian", f"{_LATIN}é", spells="id"),
    Language("vi", "Vietnamese", _vietnamese(), NormalForm(rewrites=_tones()), spells="vi"),
    # blanks are a matter of taste in Korean: the character decides, as for scripts without blanks
    Language(
        "ko", "Korean", "", NormalForm(mapped=(_WIDE,), marks=_CJK_MARKS), metric="cer", units="syllables", spells="ko"
    ),
    Language(
        "zh",
        "Chinese",
        "",
        NormalForm("NFKC", marks=_CJK_MARKS, unspaced=HAN),
        spaced=False,
        metric="cer",
        units="characters",
    ),
    Language(
        "th",
        "Thai",
        _letters((0x0E01, 0x0E3A), (0x0E40, 0x0E4E)),
        _THAI,
        spaced=False,
        metric="cer",
        units="characters",
        spells="th",
    ),
)

_OTHER_MARKS = "،؛؟۔।॥։՝՞՜՛፡።፣፤፥፦፧၊။។៕"
"""Arabic, Indic, Armenian, Ethiopic, Burmese and Khmer sentence marks."""
UNDETERMINED = Language(
    "und", "a language that is not in the table", "", NormalForm(apostrophes=True, marks=_OTHER_MARKS)
)
"""Any script with blanks between words: letters from the transcripts."""

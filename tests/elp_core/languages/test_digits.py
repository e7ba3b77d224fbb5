from __future__ import annotations

import sys

import pytest

from elp_core.errors import ConfigError
from elp_core.languages import LanguageConfig, language
from elp_core.languages.digits import Spelled, spell_digits

SPELLED = [
    ("en", "I paid 1,200 for 3.5 of 12.", "i paid one thousand two hundred for three point five of twelve"),
    (
        "de",
        "Um 16 sind es 3,5 oder 2.500 Leute.",
        "um sechzehn sind es drei komma fünf oder zweitausendfünfhundert leute",
    ),
    ("fr", "Il a 80 ans et 3,5 euros", "il a quatre vingts ans et trois virgule cinq euros"),
    ("es", "Hay 35 casas", "hay treinta y cinco casas"),
    ("it", "Sono 28 anni", "sono ventotto anni"),
    ("pt", "São 30 dias", "são trinta dias"),
    ("nl", "Ik heb 35 boeken", "ik heb vijfendertig boeken"),
    ("pl", "Mam 15 lat", "mam piętnaście lat"),
    ("cs", "Mám 15 knih", "mám patnáct knih"),
    ("sv", "Det är 1\u00a0000 kronor", "det är ettusen kronor"),
    ("da", "De er 35", "de er femogtredive"),
    ("no", "De er 35", "de er trettifem"),
    ("fi", "Minulla on 12", "minulla on kaksitoista"),
    ("hu", "Itt van 15 ember", "itt van tizenöt ember"),
    ("ro", "Sunt 30 de zile", "sunt treizeci de zile"),
    ("tr", "Toplam 1.234 kişi", "toplam bin iki yüz otuz dört kişi"),
    ("ru", "Тут 35 домов", "тут тридцать пять домов"),
    ("uk", "Тут 35 домів", "тут тридцять п'ять домів"),
    ("id", "Ada 21 orang", "ada dua puluh satu orang"),
    ("vi", "Có 21 người", "có hai mươi mốt người"),
    ("ko", "3층에 250 명", None),
    ("ko", "5년 250", "오년 이백오십"),
    ("th", "มี ๑๒ บาท", "มีสิบสองบาท"),
    ("ja", "３本で1,234円、2024年", "三本で千二百三十四円二千二十四年"),
]
LEFT = [
    ("en", "in 1984", ("1984",)),
    ("en", "the 21st of 5/6 at 12:30, $5 or 5kg", ("21st", "5/6", "12:30,", "$5", "5kg")),
    ("en", "call 0123 or -5 or 12 000", ("0123", "-5", "12", "000")),
    ("de", "am 2. Mai, 1 Haus", ("2.", "1")),
    ("es", "200 casas", ("200",)),
    ("pt", "16 e 22", ("16", "22")),
    ("ru", "2 дома", ("2",)),
    ("ko", "3시", ("3시",)),
    ("ja", "9:30に第2回のA4", ("9:30", "2", "4")),
    ("ar", "٤٢ كتابا", ("42",)),
]


@pytest.mark.parametrize(("code", "text", "expected"), SPELLED)
def test_numbers_with_one_reading_are_spelled(code: str, text: str, expected: str | None) -> None:
    config = LanguageConfig(code, digits="spell")
    stored, strange = config.transcript(text), config.resolve().foreign(config.transcript(text), "spell")
    assert (stored, strange) == (expected, set()) if expected else bool(strange)


@pytest.mark.parametrize(("code", "text", "left"), LEFT)
def test_what_could_mean_several_words_is_left_and_named(code: str, text: str, left: tuple[str, ...]) -> None:
    assert spell_digits(text, language(code)).left == left


def test_text_without_digits_is_not_touched() -> None:
    assert spell_digits("No．digits！", language("en")) == Spelled("No．digits！", ())


def test_digits_are_foreign_unless_they_are_kept() -> None:
    for code in ("en", "ja"):
        found = language(code)
        assert found.foreign("3.5 %") == {"3", "5", ".", "%"}
        assert found.foreign("3.5 %", "keep") == set()


def test_a_language_without_words_for_numbers_says_so() -> None:
    with pytest.raises(ConfigError, match="digits of zh cannot be spelled"):
        LanguageConfig("zh", digits="spell")


@pytest.mark.parametrize(
    ("package", "run"),
    [
        ("num2words", lambda: LanguageConfig("en", digits="spell").transcript("5")),
        ("neologdn", lambda: language("ja").normalise("今日")),
        ("fugashi", lambda: language("ja").variants["reading"]("今日")),
    ],
)
def test_a_missing_package_is_one_clear_error(package: str, run: object, monkeypatch: pytest.MonkeyPatch) -> None:
    from elp_core.languages import digits, ja

    for loader in (digits._num2words, ja._neologdn, ja._tagger):
        loader.cache_clear()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf"needs the package {package}: pip install 'elp-foundry\[languages\]'"):
        run()
    monkeypatch.undo()
    assert language("ja").normalise("今日") == "今日"

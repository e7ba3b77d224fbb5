from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elp_core.errors import ConfigError
from elp_core.languages import codes, language

CASES = {
    "en": [
        ("  Well-known:  DON’T stop! ", "well known don't stop"),
        ("Yes,no. Well…maybe", "yes no well maybe"),
        ("'Yes,' she said, 'it's them!' Shoot 'em!", "yes she said it's them shoot 'em"),
        ("’Tis the dogs’ bark", "'tis the dogs' bark"),
        ("e\u0301", "é"),
        ("about 1,000 at 12:30.", "about 1,000 at 12:30"),
    ],
    "de": [
        ("Die Straße,„Große Maße“ – so geht’s!", "die straße große maße so gehts"),
        ("MASSE und MAẞE; o\u0308fter", "masse und maße öfter"),
    ],
    "fr": [
        ("l’« Étranger » de l'“Équipe”", "l'étranger de l'équipe"),
        ("« Aujourd’hui, l’œuvre est là ! »", "aujourd'hui l'œuvre est là"),
        ("Est-ce qu’il y a NOËL?Oui.", "est ce qu'il y a noël oui"),
    ],
    "es": [("¿Dónde está el Ñandú?¡Allí!", "dónde está el ñandú allí"), ("Averigüe, por favor.", "averigüe por favor")],
    "it": [
        ('dell\'"Espresso" e dell’«Aida»', "dell'espresso e dell'aida"),
        ('"un po\'" di', "un po' di"),
        ("Un po’ d’acqua, perché no?", "un po' d'acqua perché no"),
        ("È vero: L'ALBERO.", "è vero l'albero"),
    ],
    "pt": [("Não, disse-me ele; AÇÃO!", "não disse me ele ação"), ("um copo d’água", "um copo d'água")],
    "nl": [("’s Avonds zo’n foto’s…", "'s avonds zo'n foto's"), ("Ĳsland én België!", "ijsland én belgië")],
    "pl": [("Zażółć gęślą jaźń.", "zażółć gęślą jaźń"), ("„ŁÓDŹ” – tak!", "łódź tak")],
    "cs": [("Příliš žluťoučký kůň,ÚPĚL.", "příliš žluťoučký kůň úpěl")],
    "sv": [("Å, vad är det?ÖRAT!", "å vad är det örat")],
    "da": [("Rødgrød med fløde; Århus.", "rødgrød med fløde århus")],
    "no": [("Blåbærsyltetøy på ØYA?", "blåbærsyltetøy på øya")],
    "fi": [("Vaa’an ÄÄRELLÄ, niin-kö?", "vaa'an äärellä niin kö")],
    "hu": [("Árvíztűrő TÜKÖRFÚRÓGÉP!", "árvíztűrő tükörfúrógép")],
    "ro": [("Ştiu că ŢARA e mare.", "știu că țara e mare")],
    "tr": [("IŞIK, İstanbul’da!", "ışık istanbulda"), ("DİYARBAKIR I\u0307Yİ", "diyarbakır iyi")],
    "ru": [("Ёлка, «за́мок» — ещё!", "елка замок еще"), ("Кто-нибудь ЙОД?", "кто нибудь йод")],
    "uk": [("М’який, п'ять; ҐАНОК – Її!", "м'який п'ять ґанок її")],
    "el": [("Ο ΟΔΥΣΣΕΑΣ, σοφός·ναι;", "ο οδυσσεας σοφός ναι"), ("Σ’ αγαπώ", "σ' αγαπώ")],
    "ar": [
        ("السَّلامُ عَلَيْكُم، أَهْلاً!", "السلام عليكم اهلا"),
        ("الـــعربية: إلى الآنَ؟", "العربية الى الان"),
        ("ﻻ ٤٢", "لا 42"),
    ],
    "he": [("שָׁלוֹם, עוֹלָם!", "שלום עולם"), ("צה\"ל וג'ירפה בבית-ספר", "צהל וג׳ירפה בבית ספר")],
    "hi": [("नमस्ते, दुनिया।यह अच्छा है॥", "नमस्ते दुनिया यह अच्छा है"), ("क़लम \u0958लम", "क\u093cलम क\u093cलम")],
    "id": [("Anak-anak, Jum’at!", "anak anak jumat")],
    "vi": [("Hoà bình, Việt Nam!", "hòa bình việt nam"), ("QUÝ khoẻ tuỳ TOÀN thuỷ", "quý khỏe tùy toàn thủy")],
    "ko": [("안녕하세요,여러분! “한국어”", "안녕하세요 여러분 한국어"), ("\u1112\u1161\u11ab글 Ｋ팝", "한글 k팝")],
    "zh": [("你好，世界！「中文」、ＯＫ。", "你好世界中文ok"), ("我 在 用 Google Maps。", "我在用google maps")],
    "th": [("สวัสดี ครับ", "สวัสดีครับ"), ("น\u0e4d\u0e49\u0e32 เเม่ ๑๒", "น้ำแม่12")],
    "ja": [
        ("「ラ−メンを、食べた！」", "ラーメンを食べた"),
        ("ﾊﾟｿｺﾝとＯＫ Google、東京 大学", "パソコンとok google東京大学"),
        ("すごーーーい〜", "すごーいー"),
    ],
    "und": [("Habari, dunia!Ng’ombe", "habari dunia ng'ombe")],
}


def test_each_language_has_its_sentences() -> None:
    assert sorted(CASES) == sorted([*codes(), "und"])


@pytest.mark.parametrize(("code", "text", "expected"), [(code, *pair) for code in CASES for pair in CASES[code]])
def test_sentences_have_the_expected_normal_form(code: str, text: str, expected: str) -> None:
    found = language(code)
    assert found.normalise(text) == expected
    assert found.foreign(expected, "keep") == set() or (code, text) == ("en", "e\u0301")


@pytest.mark.parametrize("code", [*codes(), "und"])
@given(data=st.data())
def test_normalising_twice_changes_nothing(code: str, data: st.DataObject) -> None:
    found = language(code)
    likely = st.sampled_from([*"aAİIßΣ '’.,:-5〜ーｰ゛か\"\u0301\u3099", *found.marks, *found.letters])
    text = data.draw(st.text(st.one_of(likely, st.characters()), max_size=20))
    once = found.normalise(text)
    assert found.normalise(once) == once


@pytest.mark.parametrize("code", codes())
def test_letters_are_in_their_own_normal_form(code: str) -> None:
    found = language(code)
    kept = [letter for letter in found.letters if letter not in "'׳σς" and found.normalise(f"{letter}{letter}") == ""]
    assert kept == []
    assert len(set(found.letters)) == len(found.letters)


def test_a_code_that_no_language_has_is_refused_with_the_list() -> None:
    with pytest.raises(ConfigError, match=r"'xx' is no language, expected one of .*de, .*en, .*ja.*letters: auto"):
        language("xx")

"""Spellings of one name, as files, spreadsheets and keyboards of different systems write it."""

from __future__ import annotations

import unicodedata

from hypothesis import strategies as st

BLANKS = " \t\n\r\u00a0\u00ad\u1680\u2003\u2009\u200b\u200d\u200e\u202f\u2060\u3000\ufeff\u3164"
NAMES = ("Jürgen", "Zoë", "Renée", "ガブリエル", "김민준", "Nguyễn Văn An", "anna", "7")


def spellings(name: str) -> st.SearchStrategy[str]:
    """Composed or decomposed, with any blanks at both ends; a whole number with ``.0``, too."""
    forms = [unicodedata.normalize(form, name) for form in ("NFC", "NFD")]
    forms += [f"{name}.0"] if name.isdecimal() else []
    blanks = st.text(st.sampled_from(BLANKS), max_size=3)
    return st.builds(lambda before, form, after: before + form + after, blanks, st.sampled_from(forms), blanks)

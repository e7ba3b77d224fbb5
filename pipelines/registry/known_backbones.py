"""Licences: what the common ones allow, and what well-known backbones are published under.

The table of backbones says what their pages said when it was written, on `AS_PUBLISHED`; a publisher may change a
licence. It proposes, and it covers a checkpoint without a record; it never replaces a record.
"""

import re
from typing import Literal

from pipelines.registry.lineage import BackboneOrigin

CommercialUse = Literal["allowed", "forbidden", "unknown"]
AS_PUBLISHED = "2026-11-28"
"""Date of the table."""
EMBEDDED = "elp:tiny"
"""The backbone whose weights are in the package."""

_ALLOWED = (
    *("Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MPL-2.0", "Unlicense", "CC0-1.0"),
    *("CC-BY-3.0", "CC-BY-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0", "ODC-By-1.0", "CDLA-Permissive-2.0"),
    *("GPL-2.0", "GPL-2.0-only", "GPL-2.0-or-later", "GPL-3.0", "GPL-3.0-only", "GPL-3.0-or-later"),
    *("LGPL-2.1", "LGPL-2.1-only", "LGPL-3.0", "LGPL-3.0-only", "AGPL-3.0", "AGPL-3.0-only", "EUPL-1.2"),
)
_SPELLINGS = {name.casefold(): name for name in _ALLOWED}
_NON_COMMERCIAL = re.compile(
    r"(^|[-+.])(NC|NCGL)([-+.]|$)|non-?commercial|^(?!LicenseRef-)(.*[-+.])?(research|academic)([-+.]|$)", re.IGNORECASE
)
"""In identifiers that forbid commercial use: 25 of the SPDX list 3.27 have it, and they are all of them.

A private ``LicenseRef-`` often has the name of an institute, so those two words in it say nothing.
"""
_CREATIVE_COMMONS_NC = re.compile(r"CC-BY-NC(-SA|-ND)?-([1-4]\.0|2\.5)", re.IGNORECASE)
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,99}")

_LIBRI = "LibriSpeech (960 h)"
_LARGE = "Libri-Light (60,000 h), GigaSpeech (10,000 h), VoxPopuli (24,000 h)"
_XLSR = "VoxPopuli, MLS, Common Voice, BABEL, VoxLingua107 (436,000 h, 128 languages)"
_MMS = "MMS-lab-U and others (about 500,000 h, more than 1,400 languages)"
_MHUBERT = "90,000 h of open corpora, 147 languages"
_REAZON = "ReazonSpeech v1 (19,000 h, Japanese)"
_PUBLISHED: dict[str, tuple[str, str]] = {
    "microsoft/wavlm-base": ("MIT", _LIBRI),
    "microsoft/wavlm-base-plus": ("MIT", _LARGE),
    "microsoft/wavlm-large": ("MIT", _LARGE),
    "facebook/hubert-base-ls960": ("Apache-2.0", _LIBRI),
    "facebook/hubert-large-ll60k": ("Apache-2.0", "Libri-Light (60,000 h)"),
    "facebook/wav2vec2-base": ("Apache-2.0", _LIBRI),
    "facebook/wav2vec2-large-lv60": ("Apache-2.0", "Libri-Light (60,000 h)"),
    "facebook/wav2vec2-xls-r-300m": ("Apache-2.0", _XLSR),
    "facebook/wav2vec2-xls-r-1b": ("Apache-2.0", _XLSR),
    "facebook/wav2vec2-xls-r-2b": ("Apache-2.0", _XLSR),
    "facebook/mms-300m": ("CC-BY-NC-4.0", _MMS),
    "facebook/mms-1b": ("CC-BY-NC-4.0", _MMS),
    "facebook/mms-1b-all": ("CC-BY-NC-4.0", _MMS),
    "facebook/mms-1b-fl102": ("CC-BY-NC-4.0", _MMS),
    "facebook/mms-1b-l1107": ("CC-BY-NC-4.0", _MMS),
    "utter-project/mhubert-147": ("CC-BY-NC-SA-4.0", _MHUBERT),
    "utter-project/mhubert-147-base-1st-iter": ("CC-BY-NC-SA-4.0", _MHUBERT),
    "utter-project/mhubert-147-base-2nd-iter": ("CC-BY-NC-SA-4.0", _MHUBERT),
    "utter-project/mhubert-147-base-3rd-iter": ("CC-BY-NC-SA-4.0", _MHUBERT),
    "facebook/w2v-bert-2.0": ("MIT", "4.5 million h, more than 143 languages"),
    "rinna/japanese-hubert-base": ("Apache-2.0", _REAZON),
    "rinna/japanese-hubert-large": ("Apache-2.0", _REAZON),
    "rinna/japanese-wav2vec2-base": ("Apache-2.0", _REAZON),
    "reazon-research/japanese-wav2vec2-base": ("Apache-2.0", "ReazonSpeech (Japanese)"),
    "reazon-research/japanese-wav2vec2-large": ("Apache-2.0", "ReazonSpeech (Japanese)"),
    "reazon-research/japanese-hubert-base-k2": ("Apache-2.0", "ReazonSpeech (Japanese)"),
}
"""Licence and pre-training data by hub id. WavLM's card names no licence: it is the one that torchaudio documents."""
_TINY = BackboneOrigin(
    "Apache-2.0",
    "allowed",
    "the package elp-foundry, which is under this licence",
    "7.9 h: prompts and games under CC-BY-SA-3.0, GPL-2 and BSD-3-Clause, FSDD (CC-BY-SA-4.0), espeak-ng (synthetic)",
)


def spdx_spelling(text: str) -> str:
    """Return a licence identifier as SPDX spells it; one that is not in the list stays, and no identifier gives ''."""
    name = text.strip()
    if name.casefold() in _SPELLINGS:
        return _SPELLINGS[name.casefold()]
    if name.upper().startswith("CC-BY-NC-") and _IDENTIFIER.fullmatch(name):
        return name.upper()
    return name if _IDENTIFIER.fullmatch(name) else ""


def commercial_use(licence: str) -> CommercialUse:
    """Return what the list says about an identifier: ``unknown`` if it is not in it."""
    if _NON_COMMERCIAL.search(licence):
        return "forbidden"
    return "allowed" if licence.strip().casefold() in _SPELLINGS else "unknown"


def always_forbidden(licence: str) -> bool:
    """Return whether every release of this system knew that a licence forbids commercial use: no settings allow it."""
    return _CREATIVE_COMMONS_NC.fullmatch(licence.strip()) is not None


def published_origin(backbone: str) -> BackboneOrigin | None:
    """Return what the page of a well-known checkpoint said; for the embedded backbone, what holds. None if unknown."""
    if backbone == EMBEDDED:
        return _TINY
    found = _PUBLISHED.get(backbone.casefold())
    if found is None:
        return None
    licence, pretraining = found
    return BackboneOrigin(licence, commercial_use(licence), "", pretraining)

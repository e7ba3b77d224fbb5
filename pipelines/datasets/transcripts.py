"""Transcripts that are not what they seem: in another language than the slot's, or with tags such as ``[laughter]``.

A tag is anything in square, angle or curly brackets or in parentheses, half or full width; titles in 《》 and quotes in
「」 are words. Only a person knows whether what is in brackets was spoken, so the default keeps such clips out until
`data.tags` says what to do: ``remove`` the tags, or ``keep`` what is in the brackets as words.
"""

import hashlib
import json
import re
from dataclasses import replace

from elp_core.languages import codes
from elp_core.languages import language as get_language
from pipelines.datasets.delivery import ClipFault, DeliveryContent, SourceClip
from pipelines.registry.policies import TagRule
from pipelines.registry.slot import Slot

_PAIRS = tuple(zip("[(<{［（＜｛【〔", "])>}］）＞｝】〕", strict=True))
_BRACKETED = re.compile("|".join(rf"\{first}[^\{first}\{last}]*\{last}" for first, last in _PAIRS))
_DEPTH = 8
"""Brackets that are nested deeper are no tags."""
_UNPAIRED = re.compile(r"[\[\]<>{}［］＜＞｛｝【】]")
"""Brackets that stand for nothing but a tag; a parenthesis alone is a mark, as in an enumeration."""
_CODES = {
    **{"eng": "en", "deu": "de", "ger": "de", "fra": "fr", "fre": "fr", "spa": "es", "ita": "it", "por": "pt"},
    **{"nld": "nl", "dut": "nl", "pol": "pl", "ces": "cs", "cze": "cs", "swe": "sv", "fin": "fi", "tur": "tr"},
    **{"rus": "ru", "ukr": "uk", "ell": "el", "gre": "el", "ara": "ar", "heb": "he", "iw": "he", "hin": "hi"},
    **{"ind": "id", "in": "id", "vie": "vi", "kor": "ko", "zho": "zh", "chi": "zh", "cmn": "zh", "tha": "th"},
    "jpn": "ja",
}
"""Codes of ISO 639-1 by those of ISO 639-2 and 639-3, and by codes that are out of use."""


def split_tags(text: str) -> tuple[str, list[str]]:
    """Return a transcript without its tags, and the tags; each leaves a blank, so that words stay apart.

    >>> split_tags("[laughter] yes (so {breath} they say)")
    ('  yes  ', ['[laughter]', '(so {breath} they say)'])
    """
    tags: list[str] = []
    for _ in range(_DEPTH):
        found = _BRACKETED.findall(text)
        if not found:
            break
        tags += [tag for tag in found if tag[1:-1].strip()]
        text = _BRACKETED.sub(" ", text)
    return text, tags


def apply_transcript_rules(content: DeliveryContent, slot: Slot, rule: TagRule, language: str = "") -> DeliveryContent:
    """Quarantine the clips of another language, and those with tags or remove the tags, by the slot's rule.

    `language` is the code of the slot's; with none, every language is right. The transcripts of a task that needs none
    stay as they are.
    """
    if "text" not in slot.task_spec.needs:
        return content
    clips = [_in_language(clip, language) for clip in content.clips]
    foreign = [place for place, clip in enumerate(clips) if clip.fault and clip.fault.reason == "other_language"]
    key = content.key
    if foreign:
        # the language of a clip is part of the key only if it matters: keys of old deliveries stay the same
        words = json.dumps([[place, clips[place].language] for place in foreign])
        key = hashlib.sha256(f"{key} {words}".encode()).hexdigest()
    kept = clips if rule == "keep" else [_without_tags(clip, rule) for clip in clips]
    untagged = sum(clip.text != before.text for clip, before in zip(kept, clips, strict=True))
    return replace(content, key=key, clips=tuple(kept), untagged=untagged)


def same_language(named: str, code: str) -> bool:
    """Return whether a source's name of a language, such as ``en-US``, ``deu`` or ``German``, is that of a code.

    >>> same_language("ja_JP", "ja"), same_language("jpn", "ja"), same_language("Japanese", "ja")
    (True, True, True)
    """
    primary = re.split(r"[-_]", named.strip().lower())[0]
    known = _CODES.get(primary, primary) == _CODES.get(code, code).split("-")[0]
    return known or (code in codes() and named.strip().casefold() == get_language(code).name.casefold())


def without_tags(text: str, rule: TagRule) -> str | ClipFault:
    """Return one transcript without its tags, or the fault that it has by the slot's rule."""
    clip = SourceClip("", b"", text=text)
    clip = clip if rule == "keep" else _without_tags(clip, rule)
    return clip.fault or clip.text


def _in_language(clip: SourceClip, code: str) -> SourceClip:
    if clip.fault or not clip.language or code in ("", "und") or same_language(clip.language, code):
        return clip
    detail = (
        f"its transcript is in {clip.language!r} by the source, the language of the slot is {code!r}; add it to a slot "
        "of its language, or correct the source"
    )
    return replace(clip, fault=ClipFault("other_language", detail))


def _without_tags(clip: SourceClip, rule: TagRule) -> SourceClip:
    text, tags = split_tags(clip.text)
    alone = _UNPAIRED.search(text)
    if clip.fault or not (tags or alone):
        return clip
    if alone:
        detail = f"the transcript {clip.text!r} has {alone.group()} without its other half; correct the tag"
    elif rule == "remove":
        return replace(clip, text=" ".join(text.split()))
    else:
        detail = (
            f"the transcript {clip.text!r} has the tag {tags[0]}, which is no word; correct it, or declare "
            "in elp.yaml that tags are removed (data: {tags: remove}) or spoken (data: {tags: keep})"
        )
    return replace(clip, fault=ClipFault("tags", detail))

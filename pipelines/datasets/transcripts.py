"""Tags in transcripts, such as ``[laughter]``: they are no words. The slot's rule quarantines the clip or removes them.

A tag is anything in square, angle or curly brackets or in parentheses, half or full width; titles in 《》 and quotes in
「」 are words. Only a person knows whether what is in brackets was spoken, so the default keeps such clips out until
`data.tags` says what to do: ``remove`` the tags, or ``keep`` what is in the brackets as words.
"""

import re
from dataclasses import dataclass, replace

from pipelines.datasets.delivery import ClipFault, DeliveryContent
from pipelines.registry.policies import TagRule
from pipelines.registry.slot import Slot

_PAIRS = tuple(zip("[(<{［（＜｛【〔", "])>}］）＞｝】〕", strict=True))
_BRACKETED = re.compile("|".join(rf"\{first}[^\{first}\{last}]*\{last}" for first, last in _PAIRS))
_DEPTH = 8
"""Brackets that are nested deeper are no tags."""
_UNPAIRED = re.compile(r"[\[\]<>{}［］＜＞｛｝【】]")
"""Brackets that stand for nothing but a tag; a parenthesis alone is a mark, as in an enumeration."""


@dataclass(frozen=True)
class TaggedContent:
    """A delivery whose transcripts have no tags any more, or whose clips with tags have a fault."""

    content: DeliveryContent
    untagged: int = 0
    """Transcripts that tags were removed from. Which tags is not kept: they may name a person."""


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


def apply_tag_rule(content: DeliveryContent, slot: Slot, rule: TagRule) -> TaggedContent:
    """Quarantine the clips with tags in their transcripts, or remove the tags and count them, by the slot's rule.

    The transcripts of a task that needs none stay as they are.
    """
    if rule == "keep" or "text" not in slot.task_spec.needs:
        return TaggedContent(content)
    clips, untagged = [], 0
    for clip in content.clips:
        text, tags = split_tags(clip.text)
        alone = _UNPAIRED.search(text)
        if clip.fault or not (tags or alone):
            clips.append(clip)
        elif alone:
            detail = f"the transcript {clip.text!r} has {alone.group()} without its other half; correct the tag"
            clips.append(replace(clip, fault=ClipFault("tags", detail)))
        elif rule == "quarantine":
            detail = (
                f"the transcript {clip.text!r} has the tag {tags[0]}, which is no word; correct it, or declare "
                "in elp.yaml that tags are removed (data: {tags: remove}) or spoken (data: {tags: keep})"
            )
            clips.append(replace(clip, fault=ClipFault("tags", detail)))
        else:
            untagged += 1
            clips.append(replace(clip, text=" ".join(text.split())))
    return TaggedContent(replace(content, clips=tuple(clips)), untagged)

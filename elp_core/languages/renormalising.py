"""From one normal form to another: what the first one removed, so that the second one cannot be made from it.

Datasets store transcripts in their normal form, not as they were delivered. Another language's normal form can be made
from a stored one only if it needs nothing that the first one removed: ``gehts`` does not say where its apostrophe was.
"""

import re
from dataclasses import dataclass

from elp_core.languages.language import Language
from elp_core.languages.normal_form import MARKS, NormalForm


@dataclass(frozen=True)
class Loss:
    """What one normal form removes and another one needs."""

    what: str
    """In words, such as ``ß, which became ss``."""
    pattern: str = ""
    """Regular expression of what may stand for it in a stored transcript; empty: it left no trace."""


def losses(before: Language, after: Language) -> list[Loss]:
    """Return what the normal form of `after` needs and that of `before` removes; an empty list allows the change.

    Letters that `after` does not write are not needed: they would be in quarantine.

    >>> from elp_core.languages import language
    >>> [loss.what for loss in losses(language("de"), language("fr"))]
    ['apostrophes, which were left out']
    """
    old, new = before.form, after.form
    kept = _pairs(new)

    def needed(letter: str) -> bool:
        return not after.letters or letter in after.letters or letter in kept

    found = []
    if old.fold == "casefold" != new.fold and needed("ß"):
        found.append(Loss("ß, which became ss", "ss"))
    if (old.fold == "turkish") != (new.fold == "turkish"):
        found.append(Loss(f"I, which became {'ı' if old.fold == 'turkish' else 'i'}", "[ıi]"))
    if before.step and before.step is not after.step:
        found.append(Loss(f"what {before.normaliser} replaced"))
    if old.form == "NFKC" and new.form != "NFKC" and not after.letters:
        found.append(Loss("half-width, full-width and presentation forms, which were replaced"))
    if new.apostrophes and not old.apostrophes:
        found.append(Loss("apostrophes, which were left out"))
    if set(old.dropped) - set(new.dropped):
        found.append(Loss("signs at letters, which were left out"))
    mapped = [(letter, image) for letter, image in _pairs(old).items() if kept.get(letter) != image]
    if gone := [(letter, image) for letter, image in mapped if needed(letter)]:
        images = "".join(re.escape(image) for image in sorted({image for _, image in gone}))
        found.append(Loss(f"{', '.join(letter for letter, _ in gone[:4])}, which were replaced", f"[{images}]"))
    if set(old.early + old.rewrites) - set(new.early + new.rewrites):
        found.append(Loss(f"what the rules of {before.normaliser} rewrote"))
    if old.unspaced and old.unspaced != new.unspaced:
        found.append(Loss("blanks between characters, which were left out"))
    if set(MARKS + old.marks) & set(after.letters):
        found.append(Loss("marks that are letters here, which became blanks", " "))
    return found


def _pairs(form: NormalForm) -> dict[str, str]:
    """Return the letters that a normal form replaces one for one."""
    return {letter: image for olds, news in form.mapped for letter, image in zip(olds, news, strict=True)}

"""Texts of records on a page in another language: they stay English, and are marked as English for screen readers."""

from markupsafe import Markup, escape

from pipelines.texts.message_catalogue import Texts


def in_english(said: Texts, text: str) -> str:
    """Return a text of a record, with the mark that it is English if the page is in another language."""
    if said.language == "en" or not text:
        return text
    return Markup('<span lang="en">{}</span>').format(text)


def with_english(said: Texts, sentence: str, record: str) -> str:
    """Return a sentence that names a text of a record, with the mark that this text is English."""
    before, found, after = sentence.partition(record)
    if said.language == "en" or not found:
        return sentence
    return escape(before) + in_english(said, found) + escape(after)

"""An option of a format of deliveries."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FormatOption:
    """A choice that a format offers, such as the fold of a protocol: ``--option NAME=VALUE``."""

    name: str
    about: str
    """What it does and its default, in one line."""
    values: tuple[str, ...] = ()
    """The allowed values; empty if any text is allowed."""

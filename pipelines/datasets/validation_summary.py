"""The outcome of the checks of a delivery, as the record of its version has it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RuleResult:
    """How many clips broke one rule."""

    reason: str
    expects: str
    """The rule in words."""
    broken: int


@dataclass(frozen=True)
class ValidationSummary:
    """Outcome of the checks of a delivery."""

    evaluated: int = 0
    """Clips that could be read."""
    failed: int = 0
    rules: tuple[RuleResult, ...] = ()
    delivery: str = ""
    docs: str = ""
    """Path of the Data Docs in the workspace."""

"""What the reports assume: `report:` in `elp.yaml`. The prices and amounts of the defaults are assumptions."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from elp_core._ranges import Checked, one_of, within
from pipelines.texts.message_catalogue import Language


@dataclass(frozen=True)
class ReportSettings(Checked):
    """Language of the reports, and the assumptions of their costs and plans."""

    title: ClassVar[str] = "report"

    language: Language = field(default="en", metadata=one_of(Language))
    """Language of `elp report` and `elp poc` without `--language`."""
    currency: str = "EUR"
    """Code of the currency of the prices."""
    sites: int = within(50, 1, 100_000)
    """Sites of a roll-out, for the comparison with full copies of the model."""
    trainings: float = within(12.0, 0.0, 100_000.0)
    """Trainings of a slot in a year, if no schedule names it."""
    new_audio_hours: float = within(5.0, 0.0, 100_000.0)
    """Hours of new audio that people label for a slot in a year."""
    label_hours: float = within(5.0, 0.0, 1_000.0)
    """Hours of work to label one hour of audio."""
    label_price: float = within(40.0, 0.0)
    """Price of one hour of that work."""
    compute_price: float = within(1.0, 0.0)
    """Price of one hour of the machine that trains."""
    storage_price: float = within(0.05, 0.0)
    """Price of one GB stored for a month."""
    people_hours: float = within(20.0, 1.0, 10_000.0)
    """Hours of work in a week that a proof of concept gets."""

    def other_faults(self) -> list[str]:
        """Return what is wrong with the currency."""
        fine = len(self.currency) == 3 and self.currency.isascii() and self.currency.isupper()
        return [] if fine else [f"currency is {self.currency!r}, expected three capital letters such as EUR or JPY"]


def stated_names(file: Path) -> tuple[str, ...]:
    """Return the keys of `report:` that a settings file has; an assumption may be stated with its default value."""
    import yaml

    found = (yaml.safe_load(file.read_text(encoding="utf-8")) or {}) if file.is_file() else {}
    return tuple(found.get("report") or ())

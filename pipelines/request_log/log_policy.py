"""`requests` of a slot in `elp.yaml`: the share of its requests that is logged, and the bounds of the log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from elp_core._ranges import Checked, within

LONGEST_CONSENT = 200
_DAYS = 3650.0


@dataclass(frozen=True)
class RequestLogPolicy(Checked):
    """What `elp serve` logs of a slot's requests. With the defaults: nothing."""

    title: ClassVar[str] = "requests"

    share: float = within(0.0, 0.0, 1.0)
    """Share of the requests that is logged, chosen by chance; 0 logs none."""
    rows: int = within(50_000, 1, 10_000_000)
    """Requests that are kept at most; the oldest are removed first."""
    megabytes: float = within(200.0, 1.0, 1_000_000.0)
    """Bytes of the records and the audio that are kept at most; the oldest are removed first."""
    days: float = within(30.0, 0.001, _DAYS)
    """A request is removed after so long."""
    audio_consent: str = ""
    """Reference of the site's consent, such as an agreement's number. Without it, no audio is kept."""
    audio_days: float = within(7.0, 0.001, _DAYS)
    """The audio of a request is removed after so long, its record later."""

    def other_faults(self) -> list[str]:
        """Return what is wrong with the consent, and with times that contradict each other."""
        faults = []
        if self.audio_consent and not self.audio_consent.strip():
            faults.append("audio_consent is blank, expected the reference of a consent, or nothing")
        if len(self.audio_consent) > LONGEST_CONSENT or not self.audio_consent.isprintable():
            faults.append(f"audio_consent is no reference of {LONGEST_CONSENT} printable characters at most")
        if self.audio_consent and self.audio_days > self.days:
            faults.append(f"audio_days is {self.audio_days}, expected at most days, {self.days}")
        return faults

    @property
    def age(self) -> timedelta:
        """Return `days`."""
        return timedelta(days=self.days)

    @property
    def audio_age(self) -> timedelta:
        """Return `audio_days`."""
        return timedelta(days=self.audio_days)

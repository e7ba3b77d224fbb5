"""Which version was champion at a moment, and which adapters use a backbone."""

from dataclasses import dataclass

from pipelines.audit.server_records import ServerRecords
from pipelines.errors import RegistryError, UsageError
from pipelines.registry.registered_adapter import ChampionPeriod, RegisteredAdapter
from pipelines.registry.slot import Slot

_MIN_DIGITS = 8


@dataclass(frozen=True)
class PastChampion:
    """The champion of a slot at a moment."""

    slot: str
    version: int | None
    """None if the slot had no champion then."""
    bundle: str
    champion_period: ChampionPeriod | None


@dataclass(frozen=True)
class ChampionsAt:
    """The answer to ``--at``: a moment in UTC, ISO 8601, and the champions then."""

    at: str
    champions: tuple[PastChampion, ...]


@dataclass(frozen=True)
class OnBackbone:
    """The answer to ``--backbone``; `names` is what the trainings called it."""

    fingerprint: str
    names: tuple[str, ...]
    adapters: tuple[RegisteredAdapter, ...]


def find_champions(records: ServerRecords, at: str, slot: Slot | None = None) -> ChampionsAt:
    """Find the champions at a moment (ISO 8601 in UTC), of one slot or of every slot that ever had one."""
    periods, without = records.champions_at(at, str(slot or ""))
    found = [PastChampion(period.slot, period.version, period.bundle, period) for period in periods]
    missing = {*without, *([str(slot)] if slot else [])} - {period.slot for period in periods}
    found += [PastChampion(name, None, "", None) for name in missing]
    return ChampionsAt(at, tuple(sorted(found, key=lambda one: one.slot)))


def find_on_backbone(records: ServerRecords, fingerprint: str, slot: Slot | None = None) -> OnBackbone:
    """Find every adapter on the backbone whose fingerprint begins with 8 or more digits; of one slot or of all."""
    digits = fingerprint.removeprefix("sha256:").lower()
    if len(digits) < _MIN_DIGITS or not set(digits) <= set("0123456789abcdef"):
        raise UsageError(f"--backbone takes {_MIN_DIGITS} or more digits of a fingerprint, got {fingerprint!r}")
    adapters = records.adapters(str(slot or ""), f"sha256:{digits}")
    whole = sorted({adapter.fingerprint for adapter in adapters})
    if not whole:
        raise RegistryError(
            f"no adapter uses a backbone {fingerprint}; elp audit SITE/TASK shows an adapter's backbone"
        )
    if len(whole) > 1:
        raise UsageError(f"{len(whole)} backbones begin with {digits} ({', '.join(whole[:3])}); give more digits")
    found = records.with_periods(adapters, [str(slot or "")])
    return OnBackbone(whole[0], tuple(sorted({adapter.backbone for adapter in adapters})), tuple(found))

"""The trainable parameters of a candidate, without a training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from elp_core.types import Clip
from pipelines.datasets.dataset_version import DatasetVersion
from pipelines.local.settings import Settings, SlotSettings
from pipelines.registry.slot import Slot
from pipelines.tuning.search_space import Candidate, changed_settings

if TYPE_CHECKING:
    from elp_core.backbones import Backbone


@dataclass(frozen=True)
class CandidateSizes:
    """Counts the parameters of candidates of a slot, each once."""

    backbone: Backbone
    slot: Slot
    dataset: DatasetVersion
    settings: SlotSettings
    """The slot's present settings."""
    training: Sequence[Clip] = field(repr=False)
    """The training split, whose letters or classes shape the head; without audio."""
    _known: dict[str, int] = field(default_factory=dict, repr=False)

    def count(self, candidate: Candidate) -> int:
        """Return the trainable parameters, the head's included; raise ConfigError if its settings are refused."""
        from elp_core.assemble import build
        from elp_core.methods.config import method_from_dict
        from elp_core.tasks import make_task
        from pipelines.training.spoken import task_options

        name = json.dumps([dict(candidate.adapter), dict(candidate.task)], sort_keys=True)
        if name not in self._known:
            plain = changed_settings(self.settings, candidate, epochs=1, seed=0)
            settings = Settings(slots={str(self.slot): plain}).for_slot(self.slot)
            task = make_task(self.slot.task, self.training, task_options(settings, self.dataset))
            model = build(self.backbone, method_from_dict(candidate.adapter), task, 0)
            self._known[name] = model.parameter_count()
        return self._known[name]

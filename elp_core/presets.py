"""Settings that belong together, under one name: `preset:` of a slot in `elp.yaml`, or `PRESETS` in a program.

>>> from elp_core.presets import PRESETS
>>> PRESETS["asv-mfa"].options().head
'mfa'
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from elp_core.config import ElpConfig, from_dict
from elp_core.task_specs import task_spec


@dataclass(frozen=True)
class Preset:
    """Values of a slot's settings that differ from the defaults."""

    task: str
    """The task that it is for."""
    about: str
    """One line for people."""
    settings: Mapping[str, Mapping[str, Any]]
    """Plain values under ``adapter`` and ``task``, as in `elp.yaml`."""

    def adapter(self) -> ElpConfig:
        """Return the configuration of the adapters."""
        return from_dict(ElpConfig, self.settings["adapter"])

    def options(self) -> Any:
        """Return the options of the task."""
        return from_dict(task_spec(self.task).options, self.settings["task"])


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "asv-mfa": Preset(
            "asv",
            "narrow L-adapters on every layer, side by side, and attentive statistics pooling (MFA); nothing else",
            {
                "adapter": {"encoder": None, "layer": {"width": 128}, "prompt": None, "tune_norms": False},
                "task": {"head": "mfa"},
            },
        )
    }
)
"""``asv-mfa`` has the form of the published system on w2v-BERT 2.0 (ZXHY-82/w2v-BERT-2.0_SV, arXiv 2510.04213)."""

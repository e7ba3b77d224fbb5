"""A slot: the (site, task) pair that one adapter serves, and the names that follow from it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from elp_core.errors import ConfigError
from elp_core.task_specs import TaskSpec, names, task_spec
from pipelines.errors import UsageError

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_TAG = re.compile(r"(?:data|golden)/(?P<slot>[^/]+/[^/]+)/v(?P<number>[1-9][0-9]{0,8})")
_MODEL = re.compile(rf"elp\.(?P<site>{_NAME.pattern})\.(?P<task>[a-z]+)")


@dataclass(frozen=True)
class Slot:
    """One (site, task) pair; written ``SITE/TASK``."""

    site: str
    task: str

    @classmethod
    def parse(cls, text: str) -> Slot:
        """Read ``SITE/TASK``; raise UsageError for a site that is no slug of 40 characters or for an unknown task."""
        site, slash, task = text.partition("/")
        if not slash or not _NAME.fullmatch(site):
            raise UsageError(
                f"{text!r} is not a slot; expected SITE/TASK with the site in lower-case letters, digits and inner "
                "hyphens, 40 at most (such as plant-a/asr)"
            )
        try:
            task_spec(task)
        except ConfigError:
            raise UsageError(f"{text!r}: unknown task {task!r}; expected one of {', '.join(names())}") from None
        return cls(site, task)

    @classmethod
    def of_model(cls, name: str) -> Slot | None:
        """Return the slot of the registered model with this name, or None if the model belongs to no slot."""
        # prompts and models of other programs are registered in the same table
        match = _MODEL.fullmatch(name)
        return cls(match["site"], match["task"]) if match else None

    @classmethod
    def of_tag(cls, tag: str) -> tuple[Slot, int] | None:
        """Return slot and number of the dataset version or golden set with this Git tag; None for any other tag."""
        # other programs tag the repository, too: data/2026/raw/v1 is as good a name for them
        match = _TAG.fullmatch(tag)
        try:
            return (cls.parse(match["slot"]), int(match["number"])) if match else None
        except UsageError:
            return None

    def __str__(self) -> str:
        return f"{self.site}/{self.task}"

    @property
    def task_spec(self) -> TaskSpec:
        """The specification of the slot's task."""
        return task_spec(self.task)

    @property
    def model_name(self) -> str:
        """Name of the slot's registered model in MLflow."""
        return f"elp.{self.site}.{self.task}"

    @property
    def folder(self) -> Path:
        """The slot's data folder, relative to the workspace."""
        return Path("data") / self.site / self.task

    def tag(self, version: int, kind: str = "data") -> str:
        """Return the Git tag of a dataset version (`kind` ``data``) or of a golden set (``golden``)."""
        return f"{kind}/{self.site}/{self.task}/v{version}"

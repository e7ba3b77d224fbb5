"""Which source of champions `elp serve` and `elp predict` use: the registry of a workspace, or a box."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from pipelines.errors import UsageError
from pipelines.local.addresses import mlflow_uri
from pipelines.local.workspace import Workspace
from pipelines.serving.champion_source import ChampionSource, RegistryChampions


def champion_source(workspace: Workspace, box: Path | None, sites: Collection[str] = ()) -> ChampionSource:
    """Return the set of a box, or the champions of some sites (of all if none is named) in the workspace's registry.

    Raises UsageError for sites with a box.
    """
    if box is None:
        return RegistryChampions(mlflow_uri(workspace), workspace.cache, sites)
    if sites:
        raise UsageError(f"a box serves its own site, got {', '.join(sites)}; leave the sites out")
    from pipelines.serving.box_champions import BoxChampions

    return BoxChampions(box)

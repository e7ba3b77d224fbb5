"""The release of this installation: the version of elp and of the training recipe, by which a worker knows its runs."""

import runpy
from importlib import metadata
from pathlib import Path

import elp_core
from pipelines.errors import WorkerEnded, WrongRelease

_INSTALL = "install one release on all machines"
_UP = "run elp down and elp up on the control host"


def installed_release() -> str:
    """Return the release of this installation, such as ``elp 0.2.0, recipe 1``."""
    # by its path: an import of its package loads PyTorch, and the command line only names the release
    recipe = runpy.run_path(str(Path(elp_core.__file__).parent / "training" / "recipe.py"))
    return f"elp {metadata.version('elp-foundry')}, recipe {recipe['RECIPE_VERSION']}"


def require_release(wanted: str) -> None:
    """Raise WrongRelease if a run asks for another release than the installed one; an empty text asks for none."""
    if wanted and wanted != (installed := installed_release()):
        raise WrongRelease(
            f"the run asks for {wanted}, and this worker has {installed}; {_INSTALL}, then {_UP}, and start the run "
            "again"
        )


def require_same_release(own: str, server: str) -> None:
    """Raise WorkerEnded if this worker has another release than the server; an empty text is a server's of before."""
    if server and server != own:
        raise WorkerEnded(
            "release",
            f"this worker has {own}, and the server runs with {server}, so its runs are for other workers; {_INSTALL}, "
            f"then {_UP}, and start elp worker again",
        )

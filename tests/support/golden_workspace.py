"""Unpack a golden workspace: a small workspace that an earlier release made, kept as an archive for tests."""

from __future__ import annotations

import tarfile
from pathlib import Path


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack the archive into a folder and return the workspace in it, ready for `elp up`.

    The folder may have any name and lie anywhere. Nothing has to be rewritten: the archive holds no path that is
    needed to find a file. The folder that the workspace was made in still stands in its signed records, as text.
    Such text must stay as it is, because the signatures cover it.

    Args:
        archive: The archive, such as ``workspace-0.1.0.tar.xz``.
        folder: The folder to unpack into. It is made if it is missing, and must be empty if it is there.

    Returns:
        The top folder of the workspace, as an absolute path. `elp.yaml` lies in it.

    Raises:
        FileExistsError: if the folder holds something already.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty; give a new folder")
    with tarfile.open(archive, "r:xz") as packed:
        # Python 3.11.0 to 3.11.3 have no filters
        packed.extraction_filter = getattr(tarfile, "data_filter", None)
        packed.extractall(folder)
    _close(folder / ".elp" / "keys")
    return folder


def _close(keys: Path) -> None:
    """Let nobody else read the private keys: the filter gives new folders the rights that the umask says."""
    private = keys / "private"
    private.chmod(0o700)
    for file in private.iterdir():
        file.chmod(0o600)

"""Make a workspace: a Git and DVC repository with an `elp.yaml`."""

import shlex
from pathlib import Path

from elp_core.files import write_whole
from pipelines.errors import WorkspaceError
from pipelines.local import git
from pipelines.local.dvc_repository import dvc_config, make_dvc_repository
from pipelines.local.profiles import LOCAL_REMOTE, Profile, yaml_text
from pipelines.local.secret_values import write_template
from pipelines.local.settings import read_settings
from pipelines.local.workspace import SETTINGS_FILE, Workspace, open_workspace
from pipelines.registry.signing.key_folder import ensure_keys
from pipelines.registry.signing.keys import key_folder

_SETTINGS = """\
# Everything here has a default; docs/reference/settings.md says what there is.
backbone: "elp:tiny"
remote: {remote}
{git}{servers}
# Other values for a task or a slot:
# defaults:
#   asr:
#     train: {{epochs: 30}}
# slots:
#   plant-a/asr:
#     data: {{max_quarantined: 0.1}}
#     gate: {{limit: 0.2}}
"""


def init_workspace(
    root: Path, remote: str = LOCAL_REMOTE, host: str | None = None, *, profile: Profile | None = None
) -> Workspace:
    """Make `root` a workspace: `git init` (if needed), `dvc init`, a remote, `elp.yaml`, the first commit, keys.

    `root` is made if it is missing, and can be the top of a Git repository; `host` is the address at which the servers
    listen. A `profile` has both, and more. Raises WorkspaceError if it is a workspace already or inside one, is a file
    or the root of the file system, or cannot be made, if Git has no identity, or if DVC cannot read the remote.
    """
    profile = profile or Profile(remote, host or "")
    root = root.expanduser().resolve()
    _require_room(root)
    git.require_identity(next(folder for folder in (root, *root.parents) if folder.is_dir()))
    fresh = not (root / ".git").exists()
    if not fresh:
        git.require_clean(root, Path(SETTINGS_FILE))
    git_line = f"git: {yaml_text(profile.git)}\n" if profile.git else ""
    text = _SETTINGS.format(remote=yaml_text(profile.remote), git=git_line, servers=profile.server_lines)
    read_settings(text)
    # before anything is made
    dvc_config(profile.remote, profile.s3_endpoint)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkspaceError(
            f"{root} cannot be made ({error.strerror}); give a folder that you may write to"
        ) from error
    if fresh:
        git.git(root, "init", "--quiet", "--initial-branch=main")
    if not (root / ".dvc").is_dir():
        make_dvc_repository(root, profile.remote, profile.s3_endpoint)
    ignored = root / ".gitignore"
    lines = ignored.read_text(encoding="utf-8").splitlines() if ignored.is_file() else []
    if ".elp/" not in lines:
        write_whole(ignored, "\n".join([*lines, ".elp/", ""]))
    write_whole(root / SETTINGS_FILE, text)
    names = (".dvc/.gitignore", ".dvc/config", ".dvcignore", ".gitignore", SETTINGS_FILE)
    git.commit(root, [Path(name) for name in names if (root / name).exists()], "Make a workspace")
    made = open_workspace(root)
    ensure_keys(key_folder(made.state))
    if profile.secrets:
        write_template(made.state)
    return made


def _require_room(root: Path) -> None:
    if (root / SETTINGS_FILE).exists():
        raise WorkspaceError(f"{root} is a workspace already; look at it with: elp -w {shlex.quote(str(root))} status")
    if root.exists() and not root.is_dir():
        raise WorkspaceError(f"{root} is a file; give a folder")
    if root == root.parent:
        raise WorkspaceError(f"{root} is the root of the file system; give a folder of its own, such as ~/foundry")
    if around := next((folder for folder in root.parents if (folder / SETTINGS_FILE).exists()), None):
        raise WorkspaceError(
            f"{root} is inside the workspace {around}, whose Git repository would hold another; give a folder outside"
        )

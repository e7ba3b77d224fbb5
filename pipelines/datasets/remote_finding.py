"""What `elp doctor` says of the DVC remote: what it lacks, and whether a file makes a round trip to it."""

import contextlib
import os
from functools import partial
from pathlib import Path

from pipelines.datasets.data_slots import slots_with_data
from pipelines.datasets.dvc import dvc_remote
from pipelines.datasets.remote_check import lost_files
from pipelines.local.dvc_repository import remote_options
from pipelines.local.host_keys import known_hosts_remedy, unknown_host
from pipelines.local.secret_values import read_secrets
from pipelines.local.store_checks import CONTENT, StoreResult, bounded, check_folder, check_s3, own_name, skew_fault
from pipelines.local.workspace import Workspace
from pipelines.number_text import count


def examine_remote(workspace: Workspace) -> tuple[str, str, str]:
    """Return outcome, detail and remedy: whether the remote holds the newest version and golden set of every slot.

    A file is put there, read and deleted, unless the remote is a folder that the first delivery makes.

    Raise VersioningError if the remote does not answer.
    """
    slots = list(slots_with_data(workspace.root))
    address = workspace.remote
    # first: a store that hangs would make the look at the files last for minutes
    tried = _round_trip(workspace)
    if tried and tried[0] != "ok":
        return tried
    if lost := lost_files(workspace, slots):
        shown = ", ".join(f"{slot} ({len(found)})" for slot, found in list(lost.items())[:3])
        more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
        remedy = "push them again, from a machine whose cache has them: dvc push --all-tags; or restore a backup"
        return "fail", f"{address} lacks files of the newest version or golden set of {shown}{more}", remedy
    held = f"holds the newest versions of {count(len(slots), 'slot')}" if slots else "has no version to hold yet"
    if tried:
        return "ok", f"{tried[1]} and {held}", ""
    # the nearest folder that exists decides whether the remote can be written
    folder = next(place for place in (Path(address), *Path(address).parents) if place.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return "fail", f"{address} cannot be written ({folder})", "give the user of this machine access to it"
    missing = "" if Path(address).is_dir() else "; the first delivery makes the folder"
    return "ok", f"{address} can be written and {held}{missing}", ""


def _round_trip(workspace: Workspace) -> StoreResult | None:
    """Return what a round trip finds; None for a folder that does not exist yet and for kinds of remote without one."""
    address, options = workspace.remote, remote_options(workspace.root)
    # what DVC uses; elp.yaml has the same address for people
    url = options.get("url", "")
    if url.startswith("s3://"):
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        given = dict(zip(names, (options.get("access_key_id"), options.get("secret_access_key")), strict=True))
        keys = read_secrets(workspace.state) | {name: value for name, value in given.items() if value}
        endpoint, setting = options.get("endpointurl", ""), "endpointurl in .dvc/config"
        trip = partial(check_s3, url, endpoint, keys, names, setting)
        return bounded(f"{url} at {endpoint or 'AWS'}", trip, f"start the store, or correct {setting}")
    if url.startswith("ssh://"):
        remedy = "start the SSH server, or correct url and user in .dvc/config; log in once by hand: ssh HOST"
        return bounded(url, partial(_over_ssh, workspace, url), remedy)
    if "://" not in address and Path(address).is_dir():
        return check_folder(Path(address))
    return None


def _over_ssh(workspace: Workspace, url: str) -> StoreResult:
    with dvc_remote(workspace.root, remote_only=True) as remote:
        system, root = remote.remote.fs, remote.remote.path.removesuffix("/files/md5")
        path = f"{root}/{own_name()}"
        folder = path.rpartition("/")[0]
        try:
            system.makedirs(folder, exist_ok=True)
            with system.open(path, "wb") as file:
                file.write(CONTENT)
            refused = False
            try:
                # two machines that push the same file at once rely on it
                with system.open(path, "xb"):
                    pass
            except Exception:
                refused = True
            with system.open(path, "rb") as file:
                whole = file.read() == CONTENT
            listed, there = set(system.find(folder)), system.info(path)["mtime"].timestamp()
        except Exception as error:
            # asyncssh, paramiko and DVC have error classes of their own
            if unknown_host(error):
                return "fail", f"{url}: the key of the host is not known", known_hosts_remedy(url)
            remedy = "log in once by hand with ssh; the key must be accepted without a question, and the path writable"
            return "fail", f"{url}: {str(error) or type(error).__name__}", remedy
        finally:
            with contextlib.suppress(Exception):
                system.remove(path)
                # if another check is at work, the folder is not empty, and stays
                system.rm(folder)
    if not refused:
        remedy = "use an SSH server whose SFTP has exclusive creation"
        return "fail", f"{url} lets a file be created twice", remedy
    if not whole or path not in listed:
        return "fail", f"{url} does not give back what was written", "check the disk of the SSH server"
    if skewed := skew_fault(there):
        return "fail", f"{url}: {skewed}", "set the clock of the SSH server and of this machine"
    return "ok", f"{url} passed a round trip", ""

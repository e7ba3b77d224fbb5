import dataclasses
from pathlib import Path

import pytest

from pipelines.errors import ServiceError
from pipelines.local.running_release import require_current_servers
from pipelines.local.workspace import Workspace
from pipelines.release import installed_release
from tests.support.inboxes import bare_workspace
from tests.support.pretended_prefect import answering


def _workspace(root: Path, uri: str, git: str) -> Workspace:
    found = bare_workspace(root)
    servers = dataclasses.replace(found.settings.servers, mlflow_uri=uri)
    return dataclasses.replace(found, settings=dataclasses.replace(found.settings, git=git, servers=servers))


@pytest.mark.parametrize("release", ["elp 9.9, recipe 7", installed_release(), ""])
def test_up_is_refused_beside_a_server_elsewhere_of_another_release(tmp_path: Path, release: str) -> None:
    """It would register every deployment for a release that no worker of that server has."""
    with answering(lambda path, _, body: (200, {"keys": "", "release": release})) as api:
        uri = api.removesuffix("/api")
        # no run of a workspace in a folder names a release
        require_current_servers(_workspace(tmp_path, uri, ""))
        if release.startswith("elp 9.9"):
            with pytest.raises(ServiceError, match=rf"server at {uri} \(servers.mlflow_uri\) runs with elp 9.9, re"):
                require_current_servers(_workspace(tmp_path, uri, "file:///x/shared.git"))
        else:
            require_current_servers(_workspace(tmp_path, uri, "file:///x/shared.git"))
    # `elp up` itself waits for it, and says so
    require_current_servers(_workspace(tmp_path, uri, "file:///x/shared.git"))

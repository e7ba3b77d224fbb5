from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.errors import UsageError, WorkspaceError
from pipelines.registry.slot import Slot
from pipelines.serving.http.api_keys import ApiKeyFile, add_api_key, read_api_keys, revoke_api_key
from pipelines.serving.http.serve_options import ServeOptions


@pytest.mark.parametrize(
    ("scope", "permitted", "refused"),
    [
        ("plant-a/asr", "plant-a/asr", "plant-a/ser"),
        ("plant-a/*", "plant-a/ser", "plant-b/ser"),
        ("*/asr", "plant-b/asr", "plant-b/asv"),
        ("*/*", "plant-b/asv", None),
    ],
)
def test_a_scope_names_sites_and_tasks(scope: str, permitted: str, refused: str | None, tmp_path: Path) -> None:
    made, _ = add_api_key(tmp_path / "keys.json", "line 4", [scope])
    assert made.permits(Slot.parse(permitted))
    assert refused is None or not made.permits(Slot.parse(refused))


def test_the_file_has_no_key_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "keys.json"
    made, text = add_api_key(path, "line 4", ["plant-a/*", "plant-a/*"])
    assert made.slots == ("plant-a/*",)
    assert text not in path.read_text()
    assert text.startswith(f"elp_{made.id}")
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_api_keys(path) == (made,)


def test_a_running_server_sees_new_and_revoked_keys(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys = ApiKeyFile(path, own="secret")
    assert not keys.required
    assert keys.find("anything") is None
    made, text = add_api_key(path, "line 4", ["plant-a/asr"])
    assert keys.required
    assert keys.find(text) == made
    assert keys.find(text[:-1]) is None
    own = keys.find("secret")
    assert own
    assert own.permits(Slot("any", "sic"))
    assert revoke_api_key(path, made.id) == made
    assert keys.find(text) is None
    # a server that was closed never opens, even if the last key is revoked or the file is lost
    assert keys.required
    path.unlink()
    assert keys.required
    assert ApiKeyFile(path).find("") is None


def test_wrong_names_and_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    add_api_key(path, "line 4", ["plant-a/asr"])
    with pytest.raises(UsageError, match="there is a key of the name 'line 4'"):
        add_api_key(path, "line 4", ["plant-a/asr"])
    with pytest.raises(UsageError, match="'/' is not a name of a key"):
        add_api_key(path, "/", ["plant-a/asr"])
    for scope in ("plant-a", "plant-a/all", "Plant/asr", "*"):
        with pytest.raises(UsageError, match=r"is no scope|is not a slot"):
            add_api_key(path, "other", [scope])
    with pytest.raises(UsageError, match="there is no key 'line 5'; the keys are: line 4"):
        revoke_api_key(path, "line 5")
    sound = path.read_text()
    for content in ("{}", "[]", "", "[" * 100_000, sound[:60], sound.replace('"line 4"', "4"), '{"keys": [{"id": 1}]}'):
        path.write_text(content)
        with pytest.raises(
            WorkspaceError, match=r"keys.json is damaged \(.+\); delete it and make new keys: elp api-keys"
        ):
            ApiKeyFile(path).find("x")


def test_an_address_for_others_needs_a_key(tmp_path: Path) -> None:
    path, certificate = tmp_path / "keys.json", tmp_path / "box.pem"
    with pytest.raises(UsageError, match="is reached from other machines, and there is no API key"):
        ServeOptions(host="0.0.0.0").require_safe(ApiKeyFile(path), unlocked=False)
    with pytest.raises(UsageError, match=r"--public-host speech\.example\.org is reached from other machines"):
        ServeOptions(public_hosts=("speech.example.org",)).require_safe(ApiKeyFile(path), unlocked=False)
    with pytest.raises(UsageError, match="is no name of a host"):
        ServeOptions(public_hosts=("https://speech.example.org",)).require_safe(ApiKeyFile(path), unlocked=True)
    ServeOptions(host="0.0.0.0").require_safe(ApiKeyFile(path), unlocked=True)
    with pytest.raises(UsageError, match="belong together"):
        ServeOptions(certificate=certificate).require_safe(ApiKeyFile(path), unlocked=True)
    with pytest.raises(UsageError, match=r"box\.pem is not a file"):
        ServeOptions(certificate=certificate, private_key=certificate).require_safe(ApiKeyFile(path), unlocked=True)
    add_api_key(path, "line 4", ["plant-a/asr"])
    ServeOptions(host="0.0.0.0").require_safe(ApiKeyFile(path), unlocked=False)

"""Inboxes that contain each other, or a store, are refused: the outer one would take the inner one in as a delivery."""

from __future__ import annotations

from pathlib import Path

import pytest

from elp_core.errors import ConfigError
from pipelines.errors import WorkspaceError
from pipelines.inbox.inbox_looks import read_looks
from pipelines.inbox.slot_inbox import open_inbox
from pipelines.local.settings import read_settings
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot


@pytest.mark.parametrize(
    ("path", "slots", "sentence"),
    [
        ("inbox", "a/asr: {inbox: /mnt/x}, b/asr: {inbox: /mnt/x/b}", "slots.b/asr.inbox .* is in the inbox of a/asr"),
        ("inbox", "a/asr: {inbox: /mnt/x/}, b/asr: {inbox: /mnt/y/../x}", "is the inbox of a/asr, too"),
        ("inbox", "a/asr: {inbox: 's3://bkt/a'}, b/asr: {inbox: 's3://bkt/a/b'}", "is in the inbox of a/asr"),
        ("inbox", "a/asr: {inbox: 's3://bkt'}, b/asr: {inbox: 's3://bkt/b/'}", "is in the inbox of a/asr"),
        ("/mnt/rec", "b/asr: {inbox: /mnt/rec/a/asr}", "is in the inbox of a/asr below inbox.path"),
        ("/mnt/rec", "b/asr: {inbox: /mnt/rec/a/asr/deep}", "is in the inbox of a/asr below inbox.path"),
        ("/mnt/rec", "b/asr: {inbox: /mnt/rec/a}", "of every slot of a below"),
        ("/mnt/rec", "b/asr: {inbox: /mnt/rec}", "is or contains inbox.path"),
        ("s3://bkt/rec", "b/asr: {inbox: 's3://bkt'}", "is or contains inbox.path"),
        ("inbox", "b/asr: {inbox: ..}", "is or contains the workspace"),
        ("/mnt/rec", "b/asr: {inbox: .elp}", "contains remote"),
    ],
)
def test_an_inbox_that_another_one_contains_is_refused(path: str, slots: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        read_settings(f"inbox: {{path: '{path}'}}\nslots: {{{slots}}}")


@pytest.mark.parametrize(
    ("path", "slots"),
    [
        ("/mnt/rec", "b/asr: {inbox: /mnt/rec/b/asr}, b/ser: {inbox: /mnt/rec-b}"),
        ("/mnt/rec", "a/asr: {inbox: /mnt/a}, b/asr: {inbox: /mnt/rec/a/asr}"),
        ("/mnt/rec", "b/asr: {inbox: /mnt/rec/By hand}"),
        ("s3://bkt", "a/asr: {inbox: 's3://bkt/X'}, b/asr: {inbox: 's3://bkt/XY'}, c/asr: {inbox: /bkt/X}"),
    ],
)
def test_inboxes_next_to_each_other_are_allowed(path: str, slots: str) -> None:
    assert read_settings(f"inbox: {{path: '{path}'}}\nslots: {{{slots}}}").slots


def test_a_relative_and_an_absolute_inbox_are_compared_in_the_workspace(tmp_path: Path) -> None:
    settings = read_settings(f"slots: {{a/asr: {{inbox: drop}}, b/asr: {{inbox: {tmp_path}/drop/b}}}}")
    _refused_for_both(Workspace(tmp_path, settings))


def test_the_outer_inbox_is_not_opened_either(tmp_path: Path) -> None:
    _refused_for_both(Workspace(tmp_path, read_settings(f"slots: {{b/asr: {{inbox: {tmp_path}/inbox/a/asr/sub}}}}")))


def test_a_home_that_is_not_known_is_refused_when_the_inbox_is_opened(tmp_path: Path) -> None:
    settings, slot = read_settings("slots: {a/asr: {inbox: ~nobody-there/in}}"), Slot("a", "asr")
    workspace = Workspace(tmp_path, settings)
    with pytest.raises(WorkspaceError, match="the inbox ~nobody-there/in is not known on"):
        open_inbox(workspace, slot, read_looks(workspace, slot, settings.inbox_of(slot)))


def _refused_for_both(workspace: Workspace) -> None:
    for slot in (Slot("a", "asr"), Slot("b", "asr")):
        looks = read_looks(workspace, slot, workspace.settings.inbox_of(slot))
        with pytest.raises(WorkspaceError, match=r"elp.yaml: slots.b/asr.inbox .* in the inbox of a/asr"):
            open_inbox(workspace, slot, looks)

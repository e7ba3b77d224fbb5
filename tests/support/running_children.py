"""The child processes of this test process that run one of our modules."""

from __future__ import annotations

import contextlib

import psutil


def running_children(module: str) -> list[psutil.Process]:
    """Return the children that run `python -m MODULE`.

    A child that has ended is none of them, also if the test that started it has not waited for it yet.
    """
    found = []
    for child in psutil.Process().children():
        # a zombie has no command line any more
        with contextlib.suppress(psutil.NoSuchProcess):
            if module in child.cmdline():
                found.append(child)
    return found

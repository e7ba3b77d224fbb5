"""Headless Chromium on a server of the tests: every request is written down, so that a test can prove none left.

A start and an end cost 1.6 s of processor time, so one Chromium serves all tests of a module, or of `tests/browser`.
What a visit leaves behind (cookies, storage, what was cached) belongs to its context, which ends with it.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.support.missing import skip_without

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # the network is cut: a request to another host is noted and finds nobody
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
_INSIDE = ("127.0.0.1", "localhost")
_MODEL_PAGES = """
if (window === window.top && origin !== "null") {
  localStorage.setItem("mlflow.workflowType_v1", JSON.stringify("machine_learning"));
}
"""
"""MLflow starts among its GenAI pages on a first visit. A sandboxed frame and an empty page have no storage."""
_ASSISTANT = '[data-component-id="mlflow.assistant.chat_panel.close"]'
"""Closes a panel that MLflow opens over a third of the page on a first visit."""

HEARD = """player => new Promise((done, failed) => {
    player.onloadedmetadata = () => done(player.duration);
    player.onerror = () => failed(new Error(player.error.message));
    player.preload = "auto";
    player.load();
})"""
"""Returns the length of the sound that a player loads, in seconds."""

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
MAX_IMAGE_BYTES = 200_000
_COLOURS = 256
"""Of a picture: a page of text and flat areas looks the same with so many, and the file is a third."""


@dataclass
class Visit:
    """One page of one browser, and what it and the pages that it opens ask for."""

    page: Page
    requests: list[str] = field(default_factory=list)
    """URL of every request."""
    errors: list[str] = field(default_factory=list)
    """What scripts threw."""

    def left_the_machine(self) -> list[str]:
        """Requests to any host but this one."""
        network = [url for url in self.requests if urlsplit(url).scheme in ("http", "https", "ws", "wss")]
        return [url for url in network if urlsplit(url).hostname not in _INSIDE]

    def screenshot(self, name: str, whole: bool = False) -> None:
        """Keep the window, or the whole page, as docs/images/NAME.png if ELP_SCREENSHOTS is set; nothing otherwise."""
        if os.environ.get("ELP_SCREENSHOTS"):
            from PIL import Image

            IMAGES.mkdir(exist_ok=True)
            taken = Image.open(io.BytesIO(self.page.screenshot(animations="disabled", full_page=whole)))
            reduced = taken.convert("RGB").quantize(_COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
            reduced.save(IMAGES / f"{name}.png", optimize=True)
            size = (IMAGES / f"{name}.png").stat().st_size
            assert size < MAX_IMAGE_BYTES, f"{name}.png is {size} bytes: show less of the page"


def require_font(language: str) -> None:
    """Skip the rest of a test whose picture is wanted, if the browser would show a box for each character."""
    if os.environ.get("ELP_SCREENSHOTS") and not os.environ.get("ELP_FONTS"):
        fonts = subprocess.run(["fc-list", f":lang={language}"], capture_output=True, text=True, check=False).stdout
        if not fonts.strip():
            pytest.skip(f"no font for {language}: install one, or name a folder with fonts in ELP_FONTS")


def chromium() -> str:
    """Path of the browser; the test is skipped where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    skip_without("no browser: neither chromium nor google-chrome is on the PATH")


@dataclass
class _Chromium:
    """The Chromium of this test process."""

    opened: Browser
    started: contextlib.ExitStack
    """Ends the browser, its driver and its home."""
    visits: int = 0
    """How many are open."""


_running: list[_Chromium] = []
"""At most one."""


def _running_chromium() -> _Chromium:
    """Return the Chromium of this test process, started if there is none or it has died."""
    if _running and not _running[0].opened.is_connected():
        _running.pop().started.close()
    if not _running:
        # the driver is skipped rather than missed: it is no part of the product
        api = pytest.importorskip("playwright.sync_api")
        executable = chromium()
        with contextlib.ExitStack() as started:
            # a home of its own: Chromium writes certificates and crash reports there
            home = started.enter_context(tempfile.TemporaryDirectory(prefix="elp-browser-"))
            if fonts := os.environ.get("ELP_FONTS"):
                (Path(home) / ".fonts").symlink_to(Path(fonts).resolve(), target_is_directory=True)
            environment = {**os.environ, "HOME": home}
            driver = started.enter_context(api.sync_playwright())
            opened = driver.chromium.launch(executable_path=executable, args=list(_FLAGS), env=environment)
            started.callback(opened.close)
            _running.append(_Chromium(opened, started.pop_all()))
    return _running[0]


def end_browser() -> None:
    """End the Chromium that no visit uses: its driver's event loop is in the way of tests that start their own."""
    if _running and not _running[0].visits:
        _running.pop().started.close()


@contextlib.contextmanager
def browser(
    width: int = 1100,
    height: int = 700,
    dark: bool = False,
    credentials: tuple[str, str] | None = None,
    first_visit: bool = False,
) -> Iterator[Visit]:
    """A visit with one empty page, which nothing of an earlier visit is left in.

    Args:
        width: Of the page, in CSS pixels.
        height: Of the page, in CSS pixels.
        dark: Whether the reader prefers dark pages.
        credentials: User name and password for HTTP's basic authentication.
        first_visit: Whether the browser has no choice of an earlier visit to MLflow.
    """
    running = _running_chromium()
    given = {"username": credentials[0], "password": credentials[1]} if credentials else None
    context = running.opened.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
        http_credentials=given,
    )
    if not first_visit:
        context.add_init_script(_MODEL_PAGES)
    visit = Visit(context.new_page())

    def note(request: Request) -> None:
        visit.requests.append(request.url)

    context.on("request", note)
    panel = visit.page.locator(_ASSISTANT)
    visit.page.add_locator_handler(panel, lambda close: close.click())
    context.on("weberror", lambda error: visit.errors.append(str(error.error)))
    running.visits += 1
    try:
        yield visit
    finally:
        running.visits -= 1
        context.close()

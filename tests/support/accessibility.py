"""axe-core on a page of the tests' browser: what keeps people with a keyboard, a screen reader or weak eyes out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

_GRAVE = ("serious", "critical")
_VIOLATIONS = "axe.run({resultTypes: ['violations']}).then(found => found.violations)"
_PAGES = {"wide and light": (1280, 860, "light"), "narrow and dark": (390, 844, "dark")}


def grave_faults(page: Page) -> list[str]:
    """Return axe's serious and critical faults of the page, on a wide light screen and on a narrow dark one."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    # once for both looks: half a megabyte of code
    page.evaluate(axe.axe_script)
    found = []
    for look, (width, height, scheme) in _PAGES.items():
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=scheme)
        faults: list[dict[str, Any]] = page.evaluate(_VIOLATIONS)
        for fault in (one for one in faults if one["impact"] in _GRAVE):
            places = ", ".join(str(node["target"][0]) for node in fault["nodes"][:3])
            found.append(f"{page.url}, {look}: {fault['id']} ({fault['help']}) at {places}")
    return found

"""Takes the pictures of docs/tour.md with headless Chromium. A `data-platform dev` that has the demo's data is running:

data-platform run && data-platform dev
python -m data_platform_tests.screenshots http://127.0.0.1:3000
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from data_platform_tests.end_to_end.browser import Browser, chromium

FOLDER = Path(__file__).parents[1] / "docs" / "images"
MOST_BYTES = 150_000
"""A clone holds every version of a picture for ever."""
_SIZE = (1400, 740)
_STILL = 2.0
"""Seconds without a change after which a page is drawn: graphs move into place."""


@dataclass(frozen=True)
class Page:
    """A page of the UI. `sees`: a text that it shows once it is complete; `clicks`: the beginning of the address of a
    link on it, which leads to the page that the picture shows; `presses`: the text of what opens it."""

    path: str
    sees: str
    clicks: str | None = None
    presses: str | None = None


PAGES: Mapping[str, Page] = {
    "catalog": Page("/assets?asset-selection=group%3A%22harbor_water%22", "meter_readings"),
    "table": Page("/assets/raw/harbor_water/meter_readings", "One row per meter and hour"),
    "checks": Page("/assets/raw/harbor_water/meter_readings?view=checks&checkDetail=deliveries", "readings_"),
    "lineage": Page("/assets/marts/city_daily?view=lineage&lineageScope=upstream&lineageDepth=9", "fct_parking_daily"),
    "publication": Page("/assets/publication/carto/parks", "The city's parks", presses="[Show Markdown]"),
    "runs": Page("/runs", "Success"),
    "run": Page("/locations/data_platform/jobs/daily/runs", "Success", clicks="/runs/"),
    "automation": Page("/automation", "landing"),
}


def take(browser: Browser, url: str, names: Iterable[str]) -> None:
    """Writes a picture of each page. Raises AssertionError if a page lacks its text, or a picture is large."""
    browser.driver.set_window_size(*_SIZE)
    for name in names:
        page = PAGES[name]
        browser.open(url + page.path)
        browser.see(page.sees)
        if page.clicks:
            browser.click_link(page.clicks)
        if page.presses:
            browser.click(page.presses)
        _wait_until_still(browser)
        picture = browser.driver.get_screenshot_as_png()
        assert len(picture) <= MOST_BYTES, f"{name}: {len(picture):,} bytes"
        (FOLDER / f"{name}.png").write_bytes(picture)


def _wait_until_still(browser: Browser) -> None:
    before, since = b"", time.monotonic()
    deadline = since + 8  # a page that counts the seconds to its next refresh is never still
    while time.monotonic() < deadline:
        now = browser.driver.get_screenshot_as_png()
        if now != before:
            before, since = now, time.monotonic()
        elif time.monotonic() - since > _STILL:
            return
        time.sleep(0.3)


def main(url: str, *names: str) -> None:
    """Takes these pictures, or all."""
    FOLDER.mkdir(exist_ok=True)
    with TemporaryDirectory() as profile, chromium(Path(profile)) as browser:
        take(browser, url, names or PAGES)


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/"), *sys.argv[2:])

"""Headless Chromium on Dagster's UI, by what a person sees: texts to find, texts to click, pictures to look at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from data_platform_tests.end_to_end.platform import patience, wait_for

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--window-size=1600,2000", "--force-device-scale-factor=1", "--no-proxy-server"),
)
_SECONDS = 90


class Browser:
    """One window."""

    def __init__(self, driver: Chrome, pictures: Path) -> None:
        self.driver = driver
        self._pictures = pictures

    def open(self, url: str) -> None:
        self.driver.get(url)

    @property
    def text(self) -> str:
        """What the page shows."""
        return str(self.driver.execute_script("return document.body ? document.body.innerText : ''"))

    def see(self, *texts: str, seconds: float = _SECONDS) -> None:
        """Waits until the page shows every text. Raises AssertionError, with a picture."""
        for text in texts:
            try:
                wait_for(lambda text=text: self._shows(text), seconds, f"{text!r} on {self.driver.current_url}")
            except AssertionError:
                self.picture("not-seen")
                raise

    def click(self, text: str, *, tag: str = "*", nth: int = 0, seconds: float = _SECONDS) -> None:
        """Clicks the innermost visible element that says exactly this."""
        quoted = f"'{text}'" if "'" not in text else f'"{text}"'
        # A button that the page has not made ready takes a click, and does nothing.
        ready = "not(ancestor-or-self::*[@disabled or @aria-disabled='true'])"
        path = f"//{tag}[normalize-space(.)={quoted} and not(.//*[normalize-space(.)={quoted}]) and {ready}]"
        self._click(path, nth, text, seconds)

    def click_link(self, part_of_address: str, *, nth: int = 0, seconds: float = _SECONDS) -> None:
        """Clicks a visible link whose address ends so."""
        self._click(f"//a[contains(@href, '{part_of_address}')]", nth, part_of_address, seconds)

    def _shows(self, text: str) -> bool:
        try:
            return text in self.text
        except WebDriverException:  # amid a change of pages
            return False

    def _click(self, path: str, nth: int, what: str, seconds: float) -> None:
        def clicked() -> bool:
            try:
                found: list[WebElement] = [
                    one for one in self.driver.find_elements(By.XPATH, path) if one.is_displayed()
                ]
                if len(found) <= nth:
                    return False
                found[nth].click()
            except (StaleElementReferenceException, WebDriverException):
                return False
            return True

        try:
            wait_for(clicked, seconds, f"{what!r} to click on {self.driver.current_url}")
        except AssertionError:
            self.picture("not-clicked")
            raise

    def picture(self, name: str) -> Path:
        """Saves what the window shows."""
        path = self._pictures / f"{name}.png"
        self.driver.save_screenshot(str(path))
        return path


@contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """A browser with a profile of its own; pictures go to `folder`."""
    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or "/usr/bin/chromium"
    for flag in (*_FLAGS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    driver = Chrome(options=options, service=Service(shutil.which("chromedriver") or "/usr/bin/chromedriver"))
    try:
        driver.set_page_load_timeout(patience(180))
        yield Browser(driver, folder)
    finally:
        driver.quit()

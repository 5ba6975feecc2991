"""A headless browser (Chromium, driven by Selenium) and what it shows of MLflow's pages."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
SECONDS = 90  # until an element appears
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1700,2600")
FRESH = """
    try {
        localStorage.clear();  // filters and groups of the previous page
        localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true');  // else a panel opens
    } catch {}
"""
CELLS = """
    const rows = {};
    for (const row of document.querySelectorAll('.ag-row[row-index]')) {
        const cells = [...row.querySelectorAll('[col-id]')].sort((one, other) => one.ariaColIndex - other.ariaColIndex);
        const shown = cells.map(cell => [cell.getAttribute('col-id'), cell.innerText.trim()]);
        (rows[row.getAttribute('row-index')] ??= []).push(...shown);
    }
    return Object.entries(rows).sort((one, other) => one[0] - other[0]).map(entry => entry[1]);
"""
TRACES = """
    return [...document.querySelectorAll('.js-plotly-plot')].flatMap(plot => (plot.data ?? []).map(
        trace => ({title: plot.closest('[data-testid=experiment-view-compare-runs-card]').innerText.split('\\n')[0],
            name: trace.name, mode: trace.mode, x: [...(trace.x ?? [])], y: [...(trace.y ?? [])]})));
"""


class Browser:
    """Chromium; each page is loaded from scratch."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, address: str) -> None:
        """Load a page from scratch; a URL that differs only after the # would not be loaded again."""
        self.driver.get("about:blank")
        self.logged("browser"), self.logged("performance")
        self.driver.get(address)

    def show_as(self, width: int, scheme: str = "light", media: str = "screen") -> None:
        """Show pages in a window of so many pixels, in a colour scheme (light or dark), on a screen or as printed."""
        size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})

    def until(self, condition: Callable[[], Any]) -> Any:
        """Wait until the condition holds and return its value; elements may disappear while a page is redrawn."""
        wait = WebDriverWait(self.driver, SECONDS, 0.3, (WebDriverException, AssertionError))
        return wait.until(lambda _: condition())

    def find(self, xpath: str) -> WebElement:
        """Wait for the first element that matches."""
        return self.until(lambda: self.driver.find_element("xpath", xpath))

    def click(self, xpath: str) -> None:
        """Click on the first element that matches, as soon as it is clickable."""
        self.until(lambda: self.driver.find_element("xpath", xpath).click() is None)

    def rows(self, number: int) -> list[dict[str, str]]:
        """The cells of the table of runs, as soon as it has this number of rows."""
        return self.until(lambda: [rows for rows in [self.shown()] if len(rows) == number])[0]

    def shown(self) -> list[dict[str, str]]:
        """The cells of the table of runs, by column, from left to right."""
        return [dict(cells) for cells in self.driver.execute_script(CELLS)]

    def traces(self) -> list[dict[str, Any]]:
        """The traces of all charts on the page."""
        return self.driver.execute_script(TRACES)

    def logged(self, log: str) -> list[dict[str, Any]]:
        """The log entries since the previous call."""
        return self.driver.get_log(log)

    def requests(self) -> list[str]:
        """The URLs requested since the page was opened."""
        messages = [json.loads(entry["message"])["message"] for entry in self.logged("performance")]
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """Start the browser with its profile in a folder, and quit it at the end of the block."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = Service(executable_path=str(DRIVER), env=os.environ | {"SE_OFFLINE": "true"})
    driver = webdriver.Chrome(options=options, service=service)
    try:
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": FRESH})
        yield Browser(driver)
    finally:
        driver.quit()

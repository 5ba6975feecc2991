"""A real browser without a screen: Chromium, driven by Selenium; and what it shows of MLflow's pages."""

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
SECONDS = 90  # for anything to appear
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1700,2600")
FRESH = """
    try {
        localStorage.clear();  // of the filters and groups of the page before
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
    """Chromium; each page is opened anew."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, address: str) -> None:
        """Open a page as somebody who comes from elsewhere; a change after the # alone would load nothing."""
        self.driver.get("about:blank")
        self.logged("browser"), self.logged("performance")
        self.driver.get(address)

    def until(self, condition: Callable[[], Any]) -> Any:
        """What the condition says as soon as it holds; while a page is drawn anew, elements come and go."""
        wait = WebDriverWait(self.driver, SECONDS, 0.3, (WebDriverException, AssertionError))
        return wait.until(lambda _: condition())

    def find(self, xpath: str) -> WebElement:
        """The first element that matches, once it is there."""
        return self.until(lambda: self.driver.find_element("xpath", xpath))

    def click(self, xpath: str) -> None:
        """Click on the first element that matches, once it can be clicked on."""
        self.until(lambda: self.driver.find_element("xpath", xpath).click() is None)

    def rows(self, number: int) -> list[dict[str, str]]:
        """The cells of the table of runs, once it has so many rows."""
        return self.until(lambda: [rows for rows in [self.shown()] if len(rows) == number])[0]

    def shown(self) -> list[dict[str, str]]:
        """The cells of the table of runs, by column, from left to right."""
        return [dict(cells) for cells in self.driver.execute_script(CELLS)]

    def traces(self) -> list[dict[str, Any]]:
        """The curves and points of the charts that are drawn."""
        return self.driver.execute_script(TRACES)

    def logged(self, log: str) -> list[dict[str, Any]]:
        """What was logged since this was asked for last."""
        return self.driver.get_log(log)

    def requests(self) -> list[str]:
        """The addresses that were asked for since the page was opened."""
        messages = [json.loads(entry["message"])["message"] for entry in self.logged("performance")]
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """The browser, with its files in a folder; it ends with the block."""
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

"""Take the documentation's pictures of MLflow's pages and of the report.

Usage: scripts/take_screenshots.py RUNS

RUNS   a folder of runs with an mlflow.db, whose experiment digits has 48 trials; see tests/pipeline/test_browser.py.
Needs Chromium and Pillow.
"""

import sys
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow import MlflowClient
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from browser import Browser, chromium  # noqa: E402
from servers import Server  # noqa: E402

from pipeline.tracking.view import PREFIX, view_address  # noqa: E402

MENU = 198  # pixels of MLflow's menu at the left
WIDTH = 1200  # pixels of the picture


def main(runs: Path) -> None:
    uri = f"sqlite:///{runs.absolute()}/mlflow.db"
    experiment = MlflowClient(uri).get_experiment_by_name("digits")
    *_, view = (tag for tag in experiment.tags if tag.startswith(PREFIX))
    with TemporaryDirectory() as folder:
        server = Server(Path(folder), uri)
        try:
            server.start()
            address = view_address(server.uri, experiment.experiment_id, view, "")
            with chromium(Path(folder, "profile")) as browser:
                table(browser, address)
                charts(browser, address)
                *_, page = sorted(runs.glob("digits/*/report.html"))
                report(browser, page)
        finally:
            server.kill()


def table(browser: Browser, address: str) -> None:
    browser.driver.set_window_size(1820, 960)
    browser.open(address)
    browser.until(lambda: len(browser.shown()) > 15)
    browser.click("//button[@aria-label='Hide banner']")
    keep(browser, "mlflow_table.png")


def charts(browser: Browser, address: str) -> None:
    browser.driver.set_window_size(1820, 1180)
    browser.open(f"{address}&compareRunsMode=CHART")
    browser.find("//*[contains(@class, 'dimension')]//*[text()='validation_loss']")
    browser.click("//button[@aria-label='Hide banner']")
    browser.until(lambda: len({trace["title"] for trace in browser.traces() if trace["x"]}) > 1)
    keep(browser, "mlflow_charts.png")


def report(browser: Browser, page: Path) -> None:
    browser.driver.set_window_size(1040, 1520)
    browser.open(page.absolute().as_uri())
    browser.driver.execute_script(
        "document.documentElement.style.scrollbarWidth = 'none';"
        "document.getElementById('optimizers-and-regularizers').scrollIntoView()"
    )
    keep(browser, "report.png", menu=0, width=900)


def keep(browser: Browser, name: str, menu: int = MENU, width: int = WIDTH) -> None:
    """Without the menu, smaller, and with few colours."""
    picture = Image.open(BytesIO(browser.driver.get_screenshot_as_png())).convert("RGB")
    picture = picture.crop((menu, 0, *picture.size))
    picture = picture.resize((width, round(width * picture.height / picture.width)), Image.Resampling.LANCZOS)
    (ROOT / "docs").mkdir(exist_ok=True)
    picture.quantize(200, Image.Quantize.MAXCOVERAGE).save(ROOT / "docs" / name, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

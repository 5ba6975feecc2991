"""The report in a real browser: wide, narrow, dark and printed, without overflow, overlap or errors; its script."""

import json
from base64 import b64decode

import pytest
from browser import CHROMIUM, DRIVER, chromium
from selenium.webdriver.common.keys import Keys
from synthetic_run import synthetic_run

from pipeline.reports.report import write_report

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM.exists() and DRIVER.exists()), reason=f"no {CHROMIUM} or no {DRIVER}"),
]
A4 = 688  # pixels of a line on a page of A4, between margins of 14 mm
OVERLAPS = """
    // Texts of pictures that reach outside, or overlap: rectangles, which may be turned, by their separating axes.
    const corners = text => {
        const {x, y, width, height} = text.getBBox(), matrix = text.getScreenCTM(), inset = height / 5;
        return [[x, y + inset], [x + width, y + inset], [x + width, y + height - inset], [x, y + height - inset]].map(
            ([px, py]) => [matrix.a * px + matrix.c * py + matrix.e, matrix.b * px + matrix.d * py + matrix.f]);
    };
    const separated = (one, other) => [one, other].some(box => [0, 1].some(side => {
        const [dx, dy] = [box[side + 1][0] - box[side][0], box[side + 1][1] - box[side][1]];
        const length = Math.hypot(dx, dy) || 1;
        const along = corner => (corner[0] * dx + corner[1] * dy) / length;
        const [a, b] = [one.map(along), other.map(along)];
        return Math.max(...a) < Math.min(...b) + 0.5 || Math.max(...b) < Math.min(...a) + 0.5;
    }));
    const found = [];
    for (const picture of document.querySelectorAll("svg.plot")) {
        const frame = picture.getBoundingClientRect(), label = picture.getAttribute("aria-label").slice(0, 60);
        const texts = [...picture.querySelectorAll("text")].map(text => [corners(text), text.textContent]);
        texts.forEach(([box, text], place) => {
            const [left, top, right, bottom] = [frame.left - 1, frame.top - 1, frame.right + 1, frame.bottom + 1];
            if (box.some(([x, y]) => x < left || x > right || y < top || y > bottom))
                found.push(`${label}: ${text} is outside`);
            for (const [other, its] of texts.slice(place + 1))
                if (!separated(box, other)) found.push(`${label}: ${text} | ${its}`);
        });
    }
    return [texts_outside(), found];
    function texts_outside() {
        const page = document.documentElement, found = [];
        if (page.scrollWidth > page.clientWidth) found.push(`${page.scrollWidth} > ${page.clientWidth}`);
        for (const part of document.querySelectorAll("h1, h2, p, li, figcaption, summary, pre, svg.plot, nav a")) {
            const box = part.getBoundingClientRect();
            const isOutside = box.left < -1 || box.right > page.clientWidth + 1;
            if (box.width && isOutside) found.push(part.textContent.slice(0, 60));
            if (part.scrollWidth > part.clientWidth + 1 && part.clientWidth && part.matches("p, li, figcaption, pre"))
                found.push(part.textContent.slice(0, 60));
        }
        return found;
    }
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """112 trials, 5 folds, 40 columns and 30 classes of long names; a regression; wide letters in names."""
    folder = tmp_path_factory.mktemp("pages")
    return {
        "classes": write_report(synthetic_run(folder / "classes")),
        "values": write_report(synthetic_run(folder / "values", n_classes=None)),
        "plain": write_report(synthetic_run(folder / "plain", 112, 5, 8, 3, names="c")),
        "letters": write_report(synthetic_run(folder / "letters", 28, 1, 6, 4, names="\u4e16\u754c WWW 100% ")),
    }


@pytest.mark.parametrize("page", ["classes", "values", "letters"])
@pytest.mark.parametrize(
    ("width", "scheme", "media"),
    [(1400, "light", "screen"), (400, "light", "screen"), (1400, "dark", "screen"), (A4, "light", "print")],
)
def test_nothing_overflows_or_overlaps(page, width, scheme, media, browser, pages):
    browser.show_as(width, scheme, media)
    browser.open(pages[page].as_uri())
    browser.driver.execute_script("for (const part of document.querySelectorAll('details')) part.open = true")
    assert browser.driver.execute_script(OVERLAPS) == [[], []]
    assert browser.logged("browser") == []


def test_tables_need_no_scrolling_on_a_telephone(browser, pages):
    """But for those that unfold, with all scores."""
    browser.show_as(400)
    browser.open(pages["plain"].as_uri())
    script = """
        const wide = [...document.querySelectorAll(".wide:not(details .wide)")];
        return wide.map(part => [part.ariaLabel, part.scrollWidth - part.clientWidth]).filter(([_, more]) => more > 1);
    """
    assert browser.driver.execute_script(script) == []


def test_dark_mode_and_print_have_their_colours(browser, pages):
    def brightness(width, scheme, media):
        browser.show_as(width, scheme, media)
        browser.open(pages["values"].as_uri())
        script = "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
        return sum(browser.driver.execute_script(script)) / 3

    assert brightness(1400, "light", "screen") > 240
    assert brightness(1400, "dark", "screen") < 40
    assert brightness(A4, "dark", "print") > 240


def test_tables_sort_and_filter_by_the_keyboard(browser, pages):
    browser.show_as(1400)
    browser.open(pages["classes"].as_uri())
    browser.click("//summary[contains(., '112 trials')]")
    heading = browser.find("//div[contains(@class, 'filtered')]//th[contains(., 'validation loss')]")

    def column(name):
        script = """
            const table = document.querySelector(".filtered table");
            const place = [...table.tHead.rows[0].cells].findIndex(cell => cell.textContent === arguments[0]);
            const rows = [...table.tBodies[0].rows].filter(row => !row.hidden);
            return rows.map(row => row.cells[place].textContent);
        """
        return browser.driver.execute_script(script, name)

    button = heading.find_element("css selector", "button")
    orders = []
    for order in ("ascending", "descending"):
        browser.driver.execute_script("arguments[0].focus()", button)
        browser.driver.switch_to.active_element.send_keys(Keys.ENTER)
        assert heading.get_attribute("aria-sort") == order
        orders.append([float(text) for text in column("validation loss") if text])
    assert len(orders[0]) == 108
    assert orders[0] == sorted(orders[0])
    assert orders[1] == sorted(orders[0], reverse=True)
    assert column("validation loss")[108:] == [""] * 4  # trials without a result stay last
    browser.find("//input[@type='search']").send_keys("adamw l2")
    browser.until(lambda: {*column("optimizer")} == {f"adamw {rate:g}" for rate in (0.0003, 0.003, 0.03, 0.3)})
    assert browser.find("//*[@role='status']").text == "4 of 112"


def test_a_printed_page_has_all_that_unfolds(browser, pages):
    browser.show_as(1400)
    browser.open(pages["classes"].as_uri())
    count = "document.querySelectorAll('details:not([open])').length"
    browser.driver.execute_script(f"addEventListener('beforeprint', () => {{ window.closed = {count} }})")
    pdf = b64decode(browser.driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"])
    assert pdf.startswith(b"%PDF")
    assert browser.driver.execute_script("return window.closed") == 0
    assert browser.driver.execute_script("return document.querySelectorAll('details[open]').length") == 0


def test_a_picture_is_a_file_that_a_browser_shows(browser, pages):
    browser.show_as(1400)
    for path in sorted((pages["classes"].parent / "plots").iterdir()):
        browser.open(path.as_uri())
        width, texts = browser.driver.execute_script(
            "return [document.documentElement.getBoundingClientRect().width, document.querySelectorAll('text').length]"
        )
        assert width > 150
        assert texts > 1
        assert browser.logged("browser") == [], json.dumps(path.name)

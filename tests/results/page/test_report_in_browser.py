"""The report in Chromium without a window: no complaints, nothing loaded, tables sort, phones do not scroll.

Skipped without Debian's chromium and chromium-driver, or selenium, unless SEGSHIFT_REQUIRE_BROWSER is set.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reported_runs import write_all

from results import report

pytestmark = pytest.mark.slow
DESKTOP, PHONE = 1280, 375


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    write_all(runs, seeds=2)
    assert report.main([str(runs), "--baseline", "dacs", "--out", str(runs / "report.html")]) == 0
    return runs / "report.html"


@pytest.fixture(scope="module")
def browser(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium with the page open."""
    programs = shutil.which("chromium"), shutil.which("chromedriver")
    if not all(programs) or importlib.util.find_spec("selenium") is None:
        assert not os.environ.get("SEGSHIFT_REQUIRE_BROWSER"), "chromium, chromedriver or selenium is not installed"
        pytest.skip("chromium, chromedriver or selenium is not installed")
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = str(programs[0])
    profile = tmp_path_factory.mktemp("profile")
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(programs[1])))
    try:
        driver.get(page.as_uri())
        yield driver
    finally:
        driver.quit()


def show(browser: Any, width: int, scheme: str) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def test_nothing_is_complained_of_and_nothing_is_loaded(browser: Any, page: Path) -> None:
    assert browser.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    requested = [each["params"]["request"]["url"] for each in messages if each["method"] == "Network.requestWillBeSent"]
    own = [url for url in requested if not url.startswith(("data:", "chrome://"))]  # its first tab is Chromium's
    assert own == [page.as_uri()]


def test_what_was_planted_is_not_loaded_and_not_run(browser: Any, page: Path, tmp_path: Path) -> None:
    """The page's policy holds, should anything ever get by the escaping: so the test above can fail."""
    planted = tmp_path / "planted.html"
    extra = "<script>document.title = 'run'</script><img src='http://127.0.0.1:9/x.png'>"
    planted.write_text(page.read_text().replace("</main>", f"{extra}</main>"))
    browser.get(planted.as_uri())
    complaints = [entry["message"] for entry in browser.get_log("browser")]
    assert browser.title == "streets: segshift report" and len(complaints) == 2
    assert all("Content Security Policy" in each for each in complaints)
    browser.get(page.as_uri())
    browser.get_log("browser")


def column(browser: Any, table: str, place: int) -> list[str]:
    rows = "[...document.getElementById(arguments[0]).tBodies[0].rows]"
    script = f"return {rows}.map(row => row.cells[arguments[1]].textContent)"
    return browser.execute_script(script, table, place)


def test_tables_are_sorted_by_click_and_key_with_what_is_empty_last(browser: Any) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    heads = browser.find_elements(By.CSS_SELECTOR, "#main-table thead th")
    names = [head.text.split("\n")[0].strip() for head in heads]
    place = next(index for index, name in enumerate(names) if name.startswith("vs dacs"))
    numbers = [float(text.split()[0]) for text in column(browser, "main-table", place) if text != "–"]
    assert len(numbers) == 6 and numbers != sorted(numbers)

    def is_sorted(down: bool) -> bool:
        texts = column(browser, "main-table", place)
        assert texts[-1] == "–"
        return [float(text.split()[0]) for text in texts[:-1]] == sorted(numbers, reverse=down)

    button = heads[place].find_element(By.TAG_NAME, "button")
    button.click()
    assert is_sorted(down=False) and heads[place].get_attribute("aria-sort") == "ascending"
    for key, down in ((Keys.ENTER, True), (Keys.SPACE, False)):
        button.send_keys(key)
        assert is_sorted(down) and heads[place].get_attribute("aria-sort") == ("descending" if down else "ascending")
    heads[0].find_element(By.TAG_NAME, "button").click()
    assert column(browser, "main-table", 0) == sorted(column(browser, "main-table", 0))
    assert [head.get_attribute("aria-sort") for head in heads] == ["ascending", *[None] * (len(heads) - 1)]


def test_a_phone_scrolls_no_way_but_down(browser: Any) -> None:
    for width in (PHONE, DESKTOP):
        show(browser, width, "light")
        browser.execute_script("for (const each of document.querySelectorAll('details')) each.open = true")
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    unreachable = "each.scrollWidth > each.clientWidth && each.tabIndex < 0"
    all_of = "[...document.querySelectorAll('.scroll')]"
    assert browser.execute_script(f"return {all_of}.filter(each => {unreachable})") == []


def luminance(color: str) -> float:
    channels = [int(each) / 255 for each in color.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels]
    return sum(weight * each for weight, each in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_texts_are_read_in_both_colour_schemes(browser: Any) -> None:
    """Contrast by WCAG 2.1 of texts, notes and links with the page behind them; 4.5 is what it asks for."""
    script = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
    pages = {}
    for scheme in ("light", "dark"):
        show(browser, DESKTOP, scheme)
        pages[scheme] = luminance(browser.execute_script(script, "body", "backgroundColor"))
        for selector in ("body", ".note", "nav a", "summary", "thead th"):
            bright, dark = sorted((pages[scheme], luminance(browser.execute_script(script, selector, "color"))))[::-1]
            assert (bright + 0.05) / (dark + 0.05) > 4.5, (scheme, selector)
    assert pages["light"] > 0.9 and pages["dark"] < 0.1


def test_pictures_are_there_with_a_text_in_their_place(browser: Any) -> None:
    sizes = "[...document.images].map(each => [each.complete && each.naturalWidth, each.alt.length])"
    found = browser.execute_script(f"return {sizes}")
    assert len(found) == 3 * (2 + 2 * 7) and all(width == 128 and text > 5 for width, text in found)


def test_figures_have_names_and_marks_and_paper_shows_what_is_folded(browser: Any) -> None:
    name = "document.getElementById(each.getAttribute('aria-labelledby')).textContent"
    described = f"[each.querySelectorAll('.mark').length, {name}]"
    figures = browser.execute_script(f"return [...document.querySelectorAll('svg[role=img]')].map(each => {described})")
    assert len(figures) == 5 and all(marks > 1 and len(name) > 20 for marks, name in figures)
    folded = "return document.querySelectorAll('details:not([open])').length"
    browser.execute_script("for (const each of document.querySelectorAll('details')) each.open = false")
    before = browser.execute_script(folded)
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert before > 5 and browser.execute_script(folded) == 0
    browser.execute_script("dispatchEvent(new Event('afterprint'))")
    assert browser.execute_script(folded) == before

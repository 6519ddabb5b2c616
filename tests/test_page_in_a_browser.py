"""The report's page on a phone and on a wide screen: nothing is cut off, wide tables scroll."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import launched
from tests.test_report import data, models, reports

__all__ = ["data", "models", "reports"]  # fixtures


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as browser:
        yield browser


@pytest.mark.parametrize("width", [420, 1200])
@pytest.mark.parametrize("name", ["index", "pretraining"])
def test_the_page_itself_never_scrolls_sideways(
    browser: Any, reports: Path, name: str, width: int
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto((reports / f"{name}.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


def test_on_a_phone_wide_tables_and_pictures_scroll_within_the_page(
    browser: Any, reports: Path
) -> None:
    page = browser.new_page(viewport={"width": 420, "height": 900})
    page.goto((reports / "index.html").as_uri())
    scrolled = page.evaluate(
        """[...document.querySelectorAll(".wide, .panorama")].map(box => {
            box.scrollLeft = 1000;
            return [box.clientWidth, box.scrollWidth, box.scrollLeft];
        })"""
    )
    assert any(inside > seen for seen, inside, _ in scrolled)
    assert all(left > 0 for seen, inside, left in scrolled if inside > seen)
    page.close()

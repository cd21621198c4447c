"""How the pages look, in light and dark and on a phone: contrast, width, names for all controls; pictures for the docs.

With ``LIPSYNC_PAGES_PICTURES`` set to a folder, the pictures are kept there: so the docs' own are made.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.plugin.pages_browser import Tab, airflow, browser, film, shared_page, tab, tabs
from tests.plugin.pages_scenes import SCENES
from tests.plugin.pages_support import Stand

__all__ = ["airflow", "browser", "film", "shared_page", "tab", "tabs"]  # the fixtures that these tests use

ENOUGH = 4.5  # WCAG 2.2, AA, for text
ENOUGH_FOR_LINES = 3.0  # ... for what bounds a control or marks the focus
THEMES: tuple[Any, ...] = ("light", "dark")
PHONE: Any = {"width": 360, "height": 740}
DESK: Any = {"width": 1200, "height": 900}

# Each text that is seen, with its colour and that of what lies below it: [[text, colour, back], ...]
TEXTS = """() => {
  const clear = colour => colour === 'rgba(0, 0, 0, 0)' || colour === 'transparent';
  const back = element => {
    for (let one = element; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (!clear(colour)) return colour;
    }
  };
  const seen = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const [text, element] = [walk.currentNode.data.trim(), walk.currentNode.parentElement];
    if (!text || !element.getClientRects().length || element.closest('title, .unseen, script')) continue;
    const style = getComputedStyle(element);
    seen.push([text, element instanceof SVGElement ? style.fill : style.color, back(element)]);
  }
  return seen;
}"""
NAMELESS = """() => [...document.querySelectorAll('a, button, select, summary, video, svg[role=img]')]
  .filter(one => !one.closest('[aria-hidden=true]'))
  .filter(one => !(one.getAttribute('aria-label') || one.textContent || one.labels?.[0]?.textContent || '').trim())
  .map(one => one.outerHTML)"""
# What a mouse can do something with, by its place in the page; the picture of a card leads where its name does.
CONTROLS = """() => {
  const all = [...document.querySelectorAll('*')];
  return all.filter(one => one.matches('a, button, select, summary') && !one.matches('[aria-hidden=true]'))
    .map(one => all.indexOf(one));
}"""
FOCUS_IS_SEEN = """() => {
  const [box, style] = [document.activeElement.getBoundingClientRect(), getComputedStyle(document.activeElement)];
  return box.top >= 0 && box.bottom <= innerHeight && style.outlineStyle === 'solid' && style.outlineWidth === '3px';
}"""
WIDTHS = "() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
TOO_WIDE = """() => [...document.querySelectorAll('body *')].filter(one => !one.closest('.unseen, thead, svg'))
  .filter(one => one.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map(one => one.outerHTML.slice(0, 200))"""
CUT = """() => [...document.querySelectorAll('.chart text')]
  .filter(one => one.getBoundingClientRect().right > one.ownerSVGElement.getBoundingClientRect().right)
  .map(one => one.textContent)"""
CHART_FITS = "() => [...document.querySelectorAll('.chart svg')].every(one => one.clientWidth <= innerWidth)"


def luminance(colour: str) -> float:
    """Return how bright a colour is, as WCAG counts it."""
    parts = [float(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, brighter = sorted((luminance(one), luminance(other)))
    return (brighter + 0.05) / (darker + 0.05)


def picture(tab: Tab, name: str) -> bytes:
    """Return the page as it looks; keep it where pictures are wanted."""
    tab.page.wait_for_function("() => [...document.images].every(i => !i.src || i.complete)")
    kept = os.environ.get("LIPSYNC_PAGES_PICTURES")
    if kept is None:
        return tab.page.screenshot()
    tab.page.wait_for_timeout(600)  # the player's own signs fade
    Path(kept).mkdir(parents=True, exist_ok=True)
    return tab.page.screenshot(path=Path(kept) / f"{name}.png", full_page=True)


@pytest.mark.parametrize("name", SCENES)
def test_a_page_can_be_read_in_light_and_dark_and_on_a_phone(airflow: Stand, tab: Tab, name: str) -> None:
    tab.page.set_viewport_size(DESK)
    tab.page.emulate_media(color_scheme="light")
    tab.open(SCENES[name](airflow))

    for theme in THEMES:
        tab.page.emulate_media(color_scheme=theme)
        texts = tab.page.evaluate(TEXTS)
        assert len(texts) > 5
        assert [(text, colour, back) for text, colour, back in texts if contrast(colour, back) < ENOUGH] == []
        picture(tab, f"{name}-{theme}")
    assert tab.page.evaluate(NAMELESS) == []

    tab.page.emulate_media(color_scheme="light")
    tab.page.set_viewport_size(PHONE)
    tab.page.wait_for_function(CHART_FITS)
    inner, outer = tab.page.evaluate(WIDTHS)
    assert inner <= outer == PHONE["width"]
    assert tab.page.evaluate(TOO_WIDE) == []
    assert tab.page.evaluate(CUT) == []
    picture(tab, f"{name}-phone")


@pytest.mark.parametrize("theme", THEMES)
def test_controls_and_the_focus_stand_out(airflow: Stand, tab: Tab, theme: Any) -> None:
    tab.page.emulate_media(color_scheme=theme)
    tab.open(SCENES["jobs"](airflow))
    tab.page.keyboard.press("Tab")

    colours = tab.page.evaluate(
        """() => ({back: getComputedStyle(document.documentElement).backgroundColor,
          select: getComputedStyle(document.querySelector('select')).borderTopColor,
          button: getComputedStyle(document.querySelector('.quiet')).borderTopColor,
          bar: getComputedStyle(document.querySelector('.bar-of-day')).fill,
          focus: getComputedStyle(document.activeElement).outlineColor,
          width: getComputedStyle(document.activeElement).outlineWidth})"""
    )

    assert colours.pop("width") == "3px"
    back = colours.pop("back")
    assert {name: colour for name, colour in colours.items() if contrast(colour, back) < ENOUGH_FOR_LINES} == {}


@pytest.mark.parametrize("name", ["run", "jobs"])
def test_the_keyboard_reaches_whatever_a_mouse_does(airflow: Stand, tab: Tab, name: str) -> None:
    tab.page.set_viewport_size(DESK)
    tab.open(SCENES[name](airflow))
    wanted = tab.page.evaluate(CONTROLS)

    reached = []
    for _ in wanted:
        tab.page.keyboard.press("Tab")
        reached.append(tab.page.evaluate("[...document.querySelectorAll('*')].indexOf(document.activeElement)"))
        assert tab.page.evaluate(FOCUS_IS_SEEN)

    assert reached == wanted
    assert len(wanted) > 20


@pytest.mark.parametrize("width", [320, 360])
def test_the_table_of_days_fits_on_a_phone(airflow: Stand, tab: Tab, width: int) -> None:
    tab.page.set_viewport_size({"width": width, "height": 740})
    tab.open(SCENES["jobs"](airflow))

    tab.page.get_by_text("As a table").click()

    assert tab.page.locator("table.plain").is_visible()
    tab.page.wait_for_function(CHART_FITS)
    assert tab.page.evaluate(TOO_WIDE) == []


def test_light_and_dark_are_two_pictures(airflow: Stand, tab: Tab) -> None:
    address = SCENES["player-stored"](airflow)
    pictures = set()
    for theme in THEMES:
        tab.page.emulate_media(color_scheme=theme)
        tab.open(address)
        pictures.add(
            (tab.page.evaluate("getComputedStyle(document.documentElement).backgroundColor"), tab.page.screenshot())
        )

    assert {back for back, _ in pictures} == {"rgb(255, 255, 255)", "rgb(22, 29, 45)"}
    assert len({content for _, content in pictures}) == 2


@pytest.mark.parametrize(("wish", "moves"), [("no-preference", True), ("reduce", False)])
def test_nothing_moves_for_those_who_want_no_motion(airflow: Stand, tab: Tab, wish: Any, moves: bool) -> None:
    tab.page.emulate_media(reduced_motion=wish)

    tab.open(SCENES["player-rendering"](airflow))

    assert (tab.page.evaluate("document.getAnimations().length") > 0) is moves

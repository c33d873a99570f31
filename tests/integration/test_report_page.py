"""The page of ``bundle report`` in a real browser: silent, alone, legible and whole; wide, narrow, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from bundler.changes import compare
from bundler.contents import Contents
from bundler.explain import Report
from bundler.explain_page import page_text
from tests.fakes.told_bundles import AMD64, ARM64, told_index, told_lock
from tests.integration.browser import Page, browser

_LEAST_CONTRAST = 4.5  # WCAG 2.2 AA, text of ordinary size
_HOSTILE = "</title></style><script>document.title='taken'</script><img src=http://192.0.2.1/x onerror=alert(1)>'\"&"
_TEXTS = """
(() => {
  const parsed = (text) => {
    const found = text.match(/rgba?\\(([^)]*)\\)/);
    const parts = found ? found[1].split(/[ ,/]+/).map(Number) : [0, 0, 0, 0];
    return parts.length === 4 ? parts : [...parts, 1];
  };
  const light = (color) => color.slice(0, 3).map((part) => part / 255)
    .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = parsed(getComputedStyle(at).backgroundColor);
      if (color[3] === 1) return color;
    }
    return [255, 255, 255, 1];
  };
  const tile = (text) => {
    const boxes = [...text.parentElement.querySelectorAll('rect')];
    const {x, y} = {x: +text.getAttribute('x'), y: +text.getAttribute('y')};
    const found = boxes.find((box) => {
      const at = Object.fromEntries(['x', 'y', 'width', 'height'].map((name) => [name, +box.getAttribute(name)]));
      return x >= at.x && x <= at.x + at.width && y >= at.y && y <= at.y + at.height;
    });
    return parsed(getComputedStyle(found).fill);
  };
  const out = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.getClientRects().length || element.tagName === 'title') continue;
    const drawn = element.namespaceURI.endsWith('svg');
    const style = getComputedStyle(element);
    const fore = light(parsed(drawn ? style.fill : style.color)), back = light(drawn ? tile(element) : behind(element));
    const contrast = (Math.max(fore, back) + 0.05) / (Math.min(fore, back) + 0.05);
    const box = element.getBoundingClientRect();
    out.push({text: node.data.slice(0, 40), contrast, right: box.right, size: parseFloat(style.fontSize)});
  }
  return out;
})()
"""
_HEADINGS = "[...document.querySelectorAll('h1,h2,h3')].filter(h => h.getClientRects().length).map(h => +h.tagName[1])"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("page")
    old = told_index("1.30.13", cilium="1.18.11")
    new = told_index(platforms=(AMD64, ARM64), pause="3.10", values={_HOSTILE: _HOSTILE, "long": "x" * 400})
    reports = [Report.of(Contents.of_build(told_lock(index), index)) for index in (old, new)]
    (folder / "page.html").write_text(page_text(reports[1], compare(*reports)), encoding="utf-8")
    with browser(folder / "browser") as shown:
        shown.open(folder / "page.html")
        yield shown


def test_it_asks_nobody_and_complains_of_nothing(page: Page) -> None:
    asked = [
        event["params"]["request"]["url"] for event in page.events if event["method"] == "Network.requestWillBeSent"
    ]
    assert len(asked) == 1, asked
    assert asked[0].startswith("file:")
    told = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Audits.issueAdded")
    assert [event for event in page.events if event["method"] in told] == []


def test_words_of_a_bundle_are_words(page: Page) -> None:
    assert page.value("document.title") == "k8s-v1.30.14-linux-amd64-arm64: what it holds and what changes"
    assert page.value("document.scripts.length + document.images.length + document.links.length") == 6  # of the page
    assert page.value("[...document.links].every(link => link.getAttribute('href').startsWith('#'))") is True
    assert _HOSTILE in page.value("document.body.textContent")


def test_its_policy_refuses_what_is_not_its_own(page: Page) -> None:
    added = "(() => { const it = document.createElement('img'); it.src = 'http://192.0.2.1/x.png';"
    page.value(f"{added} document.body.append(it); it.remove(); return 1; }})()")
    assert page.value("1") == 1
    blocked = [event["params"]["issue"]["code"] for event in page.events if event["method"] == "Audits.issueAdded"]
    assert blocked == ["ContentSecurityPolicyIssue"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_it_is_legible_and_fits(page: Page, width: int, scheme: str) -> None:
    page.look(width, scheme=scheme)
    texts: list[dict[str, Any]] = page.value(_TEXTS)
    assert len(texts) > 300
    assert [text for text in texts if text["contrast"] < _LEAST_CONTRAST] == []
    assert [text for text in texts if text["right"] > width] == []
    assert min(text["size"] for text in texts) >= 11
    assert page.value("document.documentElement.scrollWidth") == width
    assert page.value("getComputedStyle(document.body).backgroundColor") == (
        "rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 24, 28)"
    )


def test_it_can_be_heard(page: Page) -> None:
    page.look(1280)
    levels = page.value(_HEADINGS)
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels)), levels
    assert page.value("document.documentElement.lang") == "en"
    assert page.value("[...document.querySelectorAll('table')].every(t => t.caption && t.caption.textContent)") is True
    pictures = "[...document.querySelectorAll('svg')]"
    assert page.value(f"{pictures}.every(s => s.ariaLabel || s.getAttribute('aria-hidden') === 'true')") is True


def test_it_prints_dark_on_white_with_a_place_to_sign(page: Page) -> None:
    page.look(794, scheme="dark", media="print")
    assert page.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert [text for text in page.value(_TEXTS) if text["contrast"] < _LEAST_CONTRAST] == []
    shown = page.value("document.querySelector('.sign').getClientRects().length")
    assert shown == 1
    assert page.value("document.querySelector('nav').getClientRects().length") == 0
    printed = page.printed()
    assert printed.startswith(b"%PDF-")
    assert 3 <= printed.count(b"/Type /Page\n") <= 25

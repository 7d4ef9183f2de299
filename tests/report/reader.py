"""Reads a page as its readers' programs do, and holds it to be whole by itself."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

__all__ = ["Page", "assert_whole", "read_page"]

VOID = {"meta", "img", "br", "hr", "link", "input", "path", "circle", "rect", "use"}
FETCHING = ("src", "srcset", "poster", "data", "action", "formaction", "background", "xlink:href", "manifest")


class Page(HTMLParser):
    """The tags of a page, in order, with their attributes; a tag that is closed where it was not open fails."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == [], "not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, tag

    def of(self, name: str) -> list[dict[str, str | None]]:
        """The attributes of every tag of a name."""
        return [attributes for tag, attributes in self.tags if tag == name]

    def fetched(self) -> list[str]:
        """What a browser would fetch that is not in the page: nothing, if it is whole. A plain link is none."""
        found = []
        for tag, attributes in self.tags:
            for name, value in attributes.items():
                address = str(value or "").strip()
                link = name == "href" and tag != "a"
                if (name in FETCHING or link) and not address.startswith(("data:image/", "#")):
                    found.append(f"{tag} {name}={address[:60]}")
                if name == "style" or name.startswith("on"):
                    found += [f"{tag} {name}={address[:60]}"] if name != "style" or _fetches(address) else []
        styles = re.findall(r"<style[^>]*>(.*?)</style>", self.text, re.DOTALL)
        found += [f"style: {each}" for text in styles for each in _fetches(text)]
        found += [tag for tag, _ in self.tags if tag in {"script", "iframe", "object", "embed", "link", "base", "form"}]
        return found


def _fetches(style: str) -> list[str]:
    return re.findall(r"url\(|@import|image-set\(|https?:", style)


def read_page(path: Path) -> Page:
    """A page's tags."""
    return Page(path.read_text(encoding="utf-8"))


def assert_whole(page: Page) -> None:
    """Nothing is fetched or run, anchors are there, pictures are told, headings step down one by one."""
    assert page.fetched() == []
    anchors = [each["id"] for _, each in page.tags if "id" in each]
    assert len(set(anchors)) == len(anchors), "an anchor twice"
    links = [str(each["href"]) for _, each in page.tags if str(each.get("href", "")).startswith("#")]
    assert {each[1:] for each in links} <= set(anchors)
    assert all(each.get("alt") for each in page.of("img"))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1 and all(b <= a + 1 for a, b in pairwise(levels)), levels
    policy = [each.get("content") or "" for each in page.of("meta") if each.get("http-equiv")]
    assert [each.startswith("default-src 'none'") for each in policy] == [True]
    for wanted in ("@media screen and (prefers-color-scheme: dark)", "width=device-width", "@media print"):
        assert wanted in page.text

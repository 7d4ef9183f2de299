"""The reader of pages sees what it is there to see."""

from __future__ import annotations

import pytest

from tests.report.reader import Page


@pytest.mark.parametrize(
    "text",
    [
        '<img alt="x" src="http://example.org/a.png">',
        '<img alt="x" src="//example.org/a.png">',
        '<img alt="x" src="a.png">',
        '<img alt="x" srcset="https://example.org/a.png 2x">',
        '<link rel="stylesheet" href="style.css">',
        "<script>1</script>",
        '<svg><use href="icons.svg#a"/></svg>',
        '<p style="background: url(a.png)"></p>',
        "<style>@import 'a.css';</style>",
        "<style>p { background: image-set('a.png' 1x) }</style>",
        '<p onclick="go()"></p>',
        '<iframe src="data:image/png;base64,"></iframe>',
    ],
)
def test_what_would_be_fetched_or_run_is_seen(text: str) -> None:
    assert Page(f"<html><body>{text}</body></html>").fetched()


def test_links_and_pictures_in_the_page_are_no_fetching() -> None:
    text = '<a href="https://example.org">x</a><img alt="x" src="data:image/png;base64,"><svg><use href="#a"/></svg>'
    assert Page(f'<html><body style="--v:3">{text}</body></html>').fetched() == []


@pytest.mark.parametrize("text", ["<p><b></p></b>", "<p>", "</p>"])
def test_what_is_not_closed_is_seen(text: str) -> None:
    with pytest.raises(AssertionError):
        Page(text)

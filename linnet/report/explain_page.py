"""Maps over images as one HTML file: no network, no script, light and dark, for a phone as for a desk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from linnet.explain.pictures import View
from linnet.report.page import MOST_BYTES, write_page

__all__ = ["explain_page"]


def explain_page(
    title: str,
    about: Sequence[str],
    names: Sequence[str],
    truths: Sequence[str],
    views: Sequence[View],
    target: Path,
    *,
    most: int = MOST_BYTES,
) -> int:
    """Write what runs make of images as a page that is whole by itself.

    Args:
        title: its heading.
        about: lines below it.
        names: of n images.
        truths: their known classes, blank where there is none.
        views: what each run makes of them.
        target: the file to write, .html.
        most: bytes of the whole page; its pictures shrink to that.

    Returns:
        Its size in bytes.
    """
    content = {"title": title, "about": about, "names": names, "truths": truths, "views": views}
    return write_page("explain.html.j2", content, target, most)

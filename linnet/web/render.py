"""Templates to answers. Whatever is put into one is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request

from linnet.explain.scores import readable
from linnet.web import answers

__all__ = ["render"]


@cache
def _environment() -> Environment:
    folder = Path(__file__).parent / "templates"
    made = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"readable": readable, "percent": _percent, "count": _count, "query": _query}
    return made


def _percent(share: float) -> str:
    """A probability as a reader would say it: never 100 or 0 unless it is."""
    value = 100 * share
    if 99.5 <= value < 100:
        return "> 99 %"
    if 0 < value < 0.5:
        return "< 1 %"
    return f"{value:.0f} %"


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _query(values: Mapping[str, Any]) -> str:
    return urlencode({name: value for name, value in values.items() if value not in (None, "")})


def render(
    request: Request, name: str, *, status_code: int = 200, headers: Mapping[str, str] | None = None, **values: Any
) -> HTMLResponse:
    """A template's text with values, and what every page shows of the server."""
    about = answers.about(request.app.state.service)
    text = _environment().get_template(name).render(about=about, path=request.url.path, **values)
    return HTMLResponse(text, status_code, dict(headers or {}))

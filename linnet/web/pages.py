"""The page: a picture's classes, neighbours and maps, and the collection by its taxonomy."""

from __future__ import annotations

import shlex
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from linnet.explain.maps import Wanted
from linnet.web import answers
from linnet.web.api import Ours, within_of
from linnet.web.render import render
from linnet.web.service import Service
from linnet.web.uploads import receive

__all__ = ["SURE", "api", "collection", "commands", "home", "identify", "maps", "one_class", "one_image", "router"]

router = APIRouter(default_response_class=HTMLResponse)

SURE = 0.8
"""The page's answer is the finest level that is at least so probable."""

_NEAREST = 12
_CLASSES, _IMAGES = 24, 60


def commands(service: Service) -> dict[str, str]:
    """What makes the parts that are not there."""
    run = shlex.quote(str(service.run))
    index, folder = f"{run}/index", f"{run}/discovery"
    return {
        "index": f"linnet index {run} --out {index}\nlinnet serve {run} --index {index}",
        "discovery": f"linnet discover {run} --out {folder}\nlinnet serve {run} --discovery {folder}",
    }


@router.get("/")
async def home(service: Ours, request: Request) -> HTMLResponse:
    """Where a picture is dropped."""
    coarse = sorted(service.collection.taxonomy.classes[0]) if service.index is not None else []
    return render(request, "home.html", commands=commands(service), coarse=coarse)


@router.post("/identify")
async def identify(service: Ours, request: Request) -> HTMLResponse:
    """What the run says of a picture, and the nearest images."""
    with service.gate.enter():
        upload = await receive(request, service.limits)
        answered = await service.ask(await service.read(upload.content))
    found = None
    if service.index is not None:
        within = within_of(service, None, upload.fields.get("within"))
        found = answers.neighbours(service, await service.nearest(answered.embedding, _NEAREST, within))
    sure = answered.backoff(SURE)
    return render(
        request,
        "_answer.html",
        said=answers.predicted(answered),
        sure=sure,
        least=SURE,
        found=found,
        commands=commands(service),
    )


@router.post("/identify/maps")
async def maps(service: Ours, request: Request) -> HTMLResponse:
    """What speaks for a class in a picture; for a method without classes, what it looks at."""
    with service.gate.enter():
        upload = await receive(request, service.limits)
        pixels = await service.read(upload.content)
        kind = "attention" if upload.fields.get("kind") == "attention" else "grad-cam"
        wanted = Wanted("attention") if kind == "attention" else Wanted("grad-cam", *_named(upload.fields))
        view = await service.explain(pixels, wanted)
    shown = await service.off_loop(answers.explained, view)
    return render(request, "_maps.html", shown=shown)


def _named(fields: dict[str, str]) -> tuple[str | None, str | None]:
    return fields.get("name") or None, fields.get("level") or None


@router.get("/collection")
async def collection(
    service: Ours, request: Request, level: str = "0", q: str = "", under: int | None = None, offset: int = 0
) -> HTMLResponse:
    """Classes of a level, a page at a time."""
    there = service.collection
    number = there.level(level)
    offset = max(0, offset)
    found = there.find(number, q, under)
    shown = [answers.class_entry(service, there.get(number, each), 4) for each in found[offset : offset + _CLASSES]]
    more = (
        {"level": number, "q": q, "under": under, "offset": offset + _CLASSES}
        if offset + _CLASSES < len(found)
        else None
    )
    part = request.headers.get("hx-request") == "true"
    levels = [(n, name, there.taxonomy.count(n), there.labelled(n)) for n, name in enumerate(there.taxonomy.levels)]
    above = there.get(number - 1, under) if under is not None and number else None
    return render(
        request,
        "_classes.html" if part else "collection.html",
        levels=levels,
        level=number,
        q=q,
        under=above,
        classes=shown,
        total=len(found),
        offset=offset,
        more=more,
        images=len(there),
        commands=commands(service),
    )


@router.get("/collection/{level}/{number}")
async def one_class(service: Ours, request: Request, level: int, number: int, offset: int = 0) -> HTMLResponse:
    """A class: its place in the taxonomy, the classes under it, its images a page at a time."""
    there = service.collection
    level, offset = there.level(level), max(0, offset)
    trail = there.path(level, number)
    rows = there.rows(level, number)
    images = [answers.image_entry(service, row) for row in rows[offset : offset + _IMAGES].tolist()]
    children = [
        answers.class_entry(service, there.get(level + 1, each), 1)
        for each in (there.children(level, number) if not offset else [])
    ]
    more = f"/collection/{level}/{number}?offset={offset + _IMAGES}" if offset + _IMAGES < len(rows) else None
    part = request.headers.get("hx-request") == "true"
    return render(
        request,
        "_images.html" if part else "class.html",
        trail=trail,
        levels=there.taxonomy.levels,
        children=children,
        images=images,
        total=len(rows),
        more=more,
        commands=commands(service),
    )


@router.get("/images/{row}")
async def one_image(service: Ours, request: Request, row: int) -> HTMLResponse:
    """An image with its labels and the images nearest to it."""
    entry = answers.image_entry(service, row)
    hits = await service.nearest(service.need_index().vectors[row], _NEAREST, leave_out=row)
    labels = service.collection.labels(row)
    values: dict[str, Any] = {"entry": entry, "labels": labels, "found": answers.neighbours(service, hits)}
    return render(request, "image.html", levels=service.collection.taxonomy.levels, **values)


@router.get("/api")
async def api(request: Request) -> HTMLResponse:
    """The API's operations, from its own OpenAPI."""
    told = request.app.openapi()
    operations = [
        (method.upper(), path, each) for path, methods in told["paths"].items() for method, each in methods.items()
    ]
    return render(request, "api.html", operations=operations, host=request.headers.get("host", ""))

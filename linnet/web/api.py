"""The HTTP API under /api/v1: pictures and the collection. `api_desk` has the discovery."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from linnet.explain.maps import Wanted
from linnet.web import answers, schemas
from linnet.web.service import Service
from linnet.web.uploads import FIELD, receive

__all__ = [
    "PICTURE_BODY",
    "about",
    "ask",
    "class_images",
    "classes",
    "explain",
    "image",
    "image_neighbours",
    "look",
    "nearest",
    "picture",
    "predict",
    "router",
    "search",
    "service_of",
    "taxonomy",
    "within_of",
]


def service_of(request: Request) -> Service:
    """The service of the application that a request came to."""
    service: Service = request.app.state.service
    return service


_PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": schemas.ErrorAnswer, "description": "the request cannot be answered; says why"},
    503: {"model": schemas.ErrorAnswer, "description": "busy; Retry-After says when to try again"},
}

router = APIRouter(prefix="/api/v1", responses=_PROBLEMS)

Ours = Annotated[Service, Depends(service_of)]
Offset = Annotated[int, Query(ge=0)]
Count = Annotated[int, Query(ge=1, le=200)]
Nearest = Annotated[int, Query(ge=1, le=200, description="how many images")]

PICTURE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "One JPEG, PNG or WebP picture. Nothing of it is stored.",
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "properties": {FIELD: {"type": "string", "format": "binary"}},
                }
            },
            **{
                kind: {"schema": {"type": "string", "format": "binary"}}
                for kind in ("image/jpeg", "image/png", "image/webp", "application/octet-stream")
            },
        },
    }
}
"""What OpenAPI says of a body that is read as it comes."""


def within_of(service: Service, level: str | None, name: str | None) -> tuple[int, int] | None:
    """The level and number of a class to look in alone, None where none is named.

    Raises:
        TaxonomyError: no such level or class.
    """
    if not name:
        return None
    taxonomy = service.need_index().taxonomy
    number = taxonomy.level(level) if level else 0
    return number, taxonomy.index(number, name)


async def ask(service: Service, request: Request, least: float | None, embedding: bool) -> schemas.Predicted:
    """Read a picture and say what it shows."""
    with service.gate.enter():
        upload = await receive(request, service.limits)
        answered = await service.ask(await service.read(upload.content))
    return answers.predicted(answered, least, embedding)


async def search(service: Service, request: Request, k: int, within: tuple[int, int] | None) -> schemas.Searched:
    """Read a picture and find the images nearest to it."""
    service.need_index()
    with service.gate.enter():
        upload = await receive(request, service.limits)
        answered = await service.ask(await service.read(upload.content))
    return answers.neighbours(service, await service.nearest(answered.embedding, k, within))


async def look(service: Service, request: Request, wanted: Wanted) -> schemas.Explained:
    """Read a picture and show what the run looks at."""
    with service.gate.enter():
        upload = await receive(request, service.limits)
        view = await service.explain(await service.read(upload.content), wanted)
    return await service.off_loop(answers.explained, view)


@router.get("/about")
async def about(service: Ours) -> schemas.About:
    """What the server has: the run, its levels, the collection, limits."""
    return answers.about(service)


@router.post("/predict", openapi_extra=PICTURE_BODY)
async def predict(
    service: Ours,
    request: Request,
    backoff: Annotated[float | None, Query(ge=0, le=1, description="least probability of the answer")] = None,
    embedding: bool = False,
) -> schemas.Predicted:
    """The class of a picture at every level, with calibrated probabilities and the likeliest others."""
    return await ask(service, request, backoff, embedding)


@router.post("/search", openapi_extra=PICTURE_BODY)
async def nearest(
    service: Ours, request: Request, k: Nearest = 12, level: str | None = None, within: str | None = None
) -> schemas.Searched:
    """The images of the collection nearest to a picture; `within` a class of `level`, or the coarsest."""
    return await search(service, request, k, within_of(service, level, within))


@router.post("/explain", openapi_extra=PICTURE_BODY)
async def explain(
    service: Ours,
    request: Request,
    name: Annotated[str | None, Query(description="the class; the predicted one by default")] = None,
    level: str | None = None,
    attention: Annotated[bool, Query(description="the method's own maps instead of Grad-CAM")] = False,
) -> schemas.Explained:
    """What speaks for a class in a picture, laid over it."""
    return await look(service, request, Wanted("attention" if attention else "grad-cam", name, level))


@router.get("/taxonomy")
async def taxonomy(service: Ours) -> schemas.TaxonomyEntry:
    """The levels with their numbers of classes and images."""
    there = service.collection
    levels = [
        schemas.LevelEntry(number=n, name=name, classes=there.taxonomy.count(n), images=there.labelled(n))
        for n, name in enumerate(there.taxonomy.levels)
    ]
    return schemas.TaxonomyEntry(levels=levels, images=len(there))


@router.get("/taxonomy/{level}")
async def classes(
    service: Ours,
    level: str,
    text: str = "",
    under: int | None = None,
    offset: Offset = 0,
    limit: Count = 50,
    examples: Annotated[int, Query(ge=0, le=12)] = 4,
) -> schemas.ClassPage:
    """Classes of a level by name, which has `text` in it; `under` one class of the level above."""
    there = service.collection
    number = there.level(level)
    found = there.find(number, text, under)
    entries = [
        answers.class_entry(service, there.get(number, each), examples) for each in found[offset : offset + limit]
    ]
    return schemas.ClassPage(total=len(found), classes=entries)


@router.get("/taxonomy/{level}/{number}/images")
async def class_images(
    service: Ours, level: str, number: int, offset: Offset = 0, limit: Count = 50
) -> schemas.ImagePage:
    """The images of a class."""
    there = service.collection
    rows = there.rows(there.level(level), there.get(there.level(level), number).number)
    entries = [answers.image_entry(service, row) for row in rows[offset : offset + limit].tolist()]
    return schemas.ImagePage(total=len(rows), images=entries)


@router.get("/images/{row}")
async def image(service: Ours, row: int) -> schemas.ImageEntry:
    """An image of the collection."""
    return answers.image_entry(service, row)


@router.get("/images/{row}/neighbours")
async def image_neighbours(service: Ours, row: int, k: Nearest = 12) -> schemas.Searched:
    """The images nearest to one of the collection."""
    answers.image_entry(service, row)
    vector = service.need_index().vectors[row]
    return answers.neighbours(service, await service.nearest(vector, k, leave_out=row))


@router.get("/images/{row}/picture", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}})
async def picture(service: Ours, row: int, side: Annotated[int, Query(ge=1, le=1024)] = 192) -> Response:
    """A small picture of an image, JPEG, its longer side about `side` pixels."""
    service.need_index()
    assert service.gallery is not None
    content = await service.off_loop(service.gallery.picture, row, side)
    return Response(content, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})

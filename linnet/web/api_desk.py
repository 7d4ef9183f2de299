"""The discovery desk's part of the API: clusters, their images, and changes, each made on a version that it names."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from linnet.discover import Discovery, Labelled, to_manifest
from linnet.discover import merge as merge_clusters
from linnet.discover import move as move_images
from linnet.discover import rename as name_cluster
from linnet.discover import split as split_cluster
from linnet.discover.pictures import rooted
from linnet.errors import RunError
from linnet.manifest import Manifest, write_manifest
from linnet.web import answers, schemas
from linnet.web.api import Count, Offset, Ours
from linnet.web.desk import State
from linnet.web.problems import Problem
from linnet.web.service import Service

__all__ = [
    "TABLE",
    "change",
    "clusters",
    "desk_class",
    "discard",
    "discovery",
    "members",
    "merge",
    "merge_step",
    "move",
    "move_step",
    "picture",
    "rename",
    "rename_step",
    "router",
    "save",
    "save_all",
    "split",
    "split_step",
    "undo",
]

router = APIRouter(prefix="/api/v1/discovery")

TABLE = "labelled.csv"
"""The table to train on, in the discovery's folder."""

Step = tuple[str, Callable[[Discovery], Discovery]]
"""What a change is called, and what it does."""


def _called(discovery: Discovery, c: int, number: int) -> str:
    return discovery.get(c, number).name or f"cluster {number}"


def rename_step(state: State, c: int, number: int, name: str) -> Step:
    """Name a cluster."""
    old = _called(state.discovery, c, number)
    told = f"name {old} {name.strip()}" if name.strip() else f"take the name of {old} away"
    return told, lambda there: name_cluster(there, c, number, name)


def merge_step(state: State, c: int, numbers: list[int], name: str | None) -> Step:
    """Put clusters together."""
    called = " and ".join(_called(state.discovery, c, number) for number in numbers[:3])
    more = " and others" if len(numbers) > 3 else ""
    return f"merge {called}{more}", lambda there: merge_clusters(there, c, numbers, name)


def split_step(state: State, c: int, number: int) -> Step:
    """Cluster a cluster in two."""
    return f"split {_called(state.discovery, c, number)}", lambda there: split_cluster(there, c, number)


def move_step(places: list[int], to: int | str) -> Step:
    """Move images: to a cluster by its number, "new" or "none"."""
    if places and not 0 <= min(places) <= max(places) < 2**62:
        raise Problem(422, "invalid", "Images are told by their places in the discovery, from 0 on.")
    target = None if to == "new" else -1 if to == "none" else int(to)
    images = "1 image" if len(places) == 1 else f"{len(places)} images"
    return f"move {images}", lambda there: move_images(there, places, target)


async def change(service: Service, version: str, step: Callable[[State], Step]) -> State:
    """Make a step in a thread. Errors as `Desk.change`."""
    desk = service.need_desk()
    told, action = step(desk.state)
    return await service.off_loop(desk.change, version, told, action)


def desk_class(state: State, c: int, examples: int) -> schemas.DeskClass:
    """The clusters of a coarse class.

    Raises:
        TaxonomyError: no such class.
    """
    discovery = state.discovery
    c = discovery.class_number(c)
    return schemas.DeskClass(
        version=state.version,
        number=c,
        name=discovery.coarse_names[c],
        clusters=answers.cluster_entries(discovery, c, examples),
        in_none=len(discovery.members(c, -1)),
    )


async def save(service: Service, version: str, table: bool) -> schemas.Saved:
    """Write the discovery, and the table to train on where it is wanted. Errors as `Desk.save` and `to_manifest`."""
    desk = service.need_desk()
    state = await service.off_loop(desk.save, version)
    saved = schemas.Saved(version=state.version, folder=str(desk.folder))
    if not table:
        return saved
    if service.clustered is None:
        raise RunError("the data that was clustered is not at hand, so no table of it can be written; see serve --data")
    target = desk.folder / TABLE
    labelled = await service.off_loop(_write_table, state.discovery, service.clustered, target)
    command = f"linnet train {shlex.quote(str(target))} method=min-pool"
    return saved.model_copy(update={"table": str(target), "labelled": labelled.named, "command": command})


def _write_table(discovery: Discovery, manifest: Manifest, target: Path) -> Labelled:
    """Named clusters as labels; images that lie in arrays become files beside the table."""
    labelled = to_manifest(discovery, manifest)
    images = None if manifest.pixels is None else target.parent / "pictures"
    try:
        write_manifest(rooted(labelled.manifest, target, images), target)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise Problem(507, "not-written", f"{target} cannot be written: {reason}. The discovery is saved.") from None
    return labelled


@router.get("")
async def discovery(service: Ours) -> schemas.DeskState:
    """The coarse classes, how many clusters they have, and the version of the present state."""
    return answers.desk_state(service.need_desk().state)


@router.get("/images/{place}/picture", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}})
async def picture(service: Ours, place: int, side: Annotated[int, Query(ge=1, le=1024)] = 192) -> Response:
    """A small picture of an image that was clustered, by its place."""
    service.need_desk()
    if service.desk_gallery is None:
        raise RunError("the data that was clustered is not at hand; see serve --data")
    content = await service.off_loop(service.desk_gallery.picture, place, side)
    return Response(content, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})


@router.get("/{c}")
async def clusters(service: Ours, c: int, examples: Annotated[int, Query(ge=0, le=60)] = 12) -> schemas.DeskClass:
    """The clusters of a coarse class with typical and borderline images."""
    state = service.need_desk().state
    return await service.off_loop(desk_class, state, c, examples)


@router.get("/{c}/{number}")
async def members(service: Ours, c: int, number: int, offset: Offset = 0, limit: Count = 50) -> schemas.ClusterPage:
    """The images of a cluster, most typical first; of -1 those in none."""
    state = service.need_desk().state
    there = state.discovery
    total = len(there.members(c, number))
    places = (await service.off_loop(there.typical, c, number, offset + limit))[offset:].tolist()
    images = [there.images[place] for place in places]
    return schemas.ClusterPage(version=state.version, total=total, places=places, images=images)


@router.patch("/{c}/{number}")
async def rename(service: Ours, c: int, number: int, given: schemas.Rename) -> schemas.DeskState:
    """Name a cluster."""
    return answers.desk_state(
        await change(service, given.version, lambda state: rename_step(state, c, number, given.name))
    )


@router.post("/{c}/merge")
async def merge(service: Ours, c: int, given: schemas.Merge) -> schemas.DeskState:
    """Put clusters together under the lowest of their numbers."""
    return answers.desk_state(
        await change(service, given.version, lambda state: merge_step(state, c, given.numbers, given.name))
    )


@router.post("/{c}/{number}/split")
async def split(service: Ours, c: int, number: int, given: schemas.Versioned) -> schemas.DeskState:
    """Cluster a cluster in two."""
    return answers.desk_state(await change(service, given.version, lambda state: split_step(state, c, number)))


@router.post("/move")
async def move(service: Ours, given: schemas.Move) -> schemas.DeskState:
    """Move images to another cluster of their coarse class, a new one, or none."""
    return answers.desk_state(await change(service, given.version, lambda _: move_step(given.places, given.to)))


@router.post("/undo")
async def undo(service: Ours, given: schemas.Versioned) -> schemas.DeskState:
    """Take the last step back."""
    return answers.desk_state(await service.off_loop(service.need_desk().undo, given.version))


@router.post("/discard")
async def discard(service: Ours, given: schemas.Versioned) -> schemas.DeskState:
    """Go back to what is saved; a step like others, which can be taken back while the server runs."""
    return answers.desk_state(await service.off_loop(service.need_desk().discard, given.version))


@router.post("/save")
async def save_all(service: Ours, given: schemas.Save) -> schemas.Saved:
    """Write the discovery to its folder, and `labelled.csv`, the table to train on, where it is wanted."""
    return await save(service, given.version, given.table)

"""The discovery desk's pages: coarse classes, their clusters, and what is done to them."""

from __future__ import annotations

from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from linnet.web import answers
from linnet.web.api import Ours
from linnet.web.api_desk import change, desk_class, merge_step, move_step, rename_step, save, split_step
from linnet.web.desk import State
from linnet.web.pages import commands
from linnet.web.problems import Problem
from linnet.web.render import render
from linnet.web.service import Service

__all__ = [
    "discard",
    "members",
    "merge",
    "move",
    "one_class",
    "overview",
    "rename",
    "router",
    "save_all",
    "split",
    "undo",
]

router = APIRouter(prefix="/discover", default_response_class=HTMLResponse)

_EXAMPLES, _MEMBERS = 8, 60

Form = dict[str, list[str]]


async def _form(request: Request) -> Form:
    """The fields of a form that was sent as text."""
    return parse_qs((await request.body()).decode(errors="replace"), keep_blank_values=True, max_num_fields=100_000)


def _one(form: Form, name: str) -> str:
    return form.get(name, [""])[-1]


def _numbers(form: Form, name: str) -> list[int]:
    found = form.get(name, [])
    if not all(each.lstrip("-").isdecimal() for each in found):
        raise Problem(422, "invalid", f"{name}: numbers are needed")
    return [int(each) for each in found]


@router.get("")
async def overview(service: Ours, request: Request) -> HTMLResponse:
    """The coarse classes, and how many of their clusters have a name."""
    if service.desk is None:
        return render(request, "desk.html", desk=None, faces={}, commands=commands(service))
    state = service.desk.state
    desk = await service.off_loop(answers.desk_state, state)
    faces = {each.number: _faces(state, each.number) for each in desk.classes}
    return render(request, "desk.html", desk=desk, faces=faces, commands=commands(service))


def _faces(state: State, c: int) -> list[int]:
    """The most typical image of a class's first clusters."""
    there = state.discovery
    return [place for each in there.clusters[c][:4] for place in there.typical(c, each.number, 1).tolist()]


@router.get("/{c}")
async def one_class(service: Ours, request: Request, c: int) -> HTMLResponse:
    """The clusters of a coarse class, to be worked on."""
    return await _clusters(service, request, service.need_desk().state, c, "desk_class.html")


async def _clusters(
    service: Service, request: Request, state: State, c: int, name: str = "_clusters.html"
) -> HTMLResponse:
    there = await service.off_loop(desk_class, state, c, _EXAMPLES)
    desk = await service.off_loop(answers.desk_state, state)
    known = sorted({each.name for each in state.discovery.clusters[c] if each.name})
    order = [each.number for each in desk.classes]
    at = order.index(c) if c in order else 0
    around = order[at - 1] if at else None, order[at + 1] if at + 1 < len(order) else None
    names = state.discovery.coarse_names
    return render(
        request,
        name,
        part=True,
        desk=desk,
        there=there,
        known=known,
        around=around,
        names=names,
        stray=_stray(state, c),
    )


def _stray(state: State, c: int) -> list[int]:
    """Some images in no cluster."""
    members: list[int] = state.discovery.members(c, -1)[:_EXAMPLES].tolist()
    return members


@router.get("/{c}/{number}")
async def members(service: Ours, request: Request, c: int, number: int, offset: int = 0) -> HTMLResponse:
    """A cluster's images, a page at a time, most typical first."""
    state, offset = service.need_desk().state, max(0, offset)
    there = state.discovery
    total = len(there.members(c, number))
    places = (await service.off_loop(there.typical, c, number, offset + _MEMBERS))[offset:].tolist()
    more = f"/discover/{c}/{number}?offset={offset + _MEMBERS}" if offset + _MEMBERS < total else None
    return render(request, "_members.html", places=places, images=there.images, number=number, more=more)


@router.post("/{c}/{number}/name")
async def rename(service: Ours, request: Request, c: int, number: int) -> HTMLResponse:
    """Name a cluster; only the desk's state is answered, so that nothing under the cursor changes."""
    form = await _form(request)
    name = _one(form, f"name-{number}")
    if len(name) > 200:
        raise Problem(422, "invalid", "A name has at most 200 characters.")
    state = await change(service, _one(form, "version"), lambda state: rename_step(state, c, number, name))
    desk = await service.off_loop(answers.desk_state, state)
    return render(request, "_state.html", desk=desk)


@router.post("/{c}/{number}/split")
async def split(service: Ours, request: Request, c: int, number: int) -> HTMLResponse:
    """Cluster a cluster in two."""
    form = await _form(request)
    state = await change(service, _one(form, "version"), lambda state: split_step(state, c, number))
    return await _clusters(service, request, state, c)


@router.post("/{c}/merge")
async def merge(service: Ours, request: Request, c: int) -> HTMLResponse:
    """Put the chosen clusters together; where they have several names, the first one's stays."""
    form = await _form(request)
    numbers = _numbers(form, "cluster")
    there = service.need_desk().state.discovery
    names = [name for number in sorted(set(numbers)) if (name := there.get(c, number).name)]
    whole = names[0] if len(set(names)) > 1 else None
    state = await change(service, _one(form, "version"), lambda state: merge_step(state, c, numbers, whole))
    return await _clusters(service, request, state, c)


@router.post("/{c}/move")
async def move(service: Ours, request: Request, c: int) -> HTMLResponse:
    """Move the chosen images."""
    form = await _form(request)
    places, to = _numbers(form, "place"), _one(form, "to")
    if to not in ("new", "none") and not to.isdecimal():
        raise Problem(422, "invalid", "Choose where to move the images.")
    state = await change(service, _one(form, "version"), lambda _: move_step(places, to))
    return await _clusters(service, request, state, c)


@router.post("/undo")
async def undo(service: Ours, request: Request) -> HTMLResponse:
    """Take the last step back."""
    form = await _form(request)
    state = await service.off_loop(service.need_desk().undo, _one(form, "version"))
    return await _all_anew(service, request, state, form)


@router.post("/discard")
async def discard(service: Ours, request: Request) -> HTMLResponse:
    """Go back to what is saved."""
    form = await _form(request)
    state = await service.off_loop(service.need_desk().discard, _one(form, "version"))
    return await _all_anew(service, request, state, form)


async def _all_anew(service: Service, request: Request, state: State, form: Form) -> HTMLResponse:
    """The clusters of the class that is shown; the overview is loaded again, as any class may have changed."""
    c = _one(form, "class")
    if c.isdecimal():
        return await _clusters(service, request, state, int(c))
    desk = await service.off_loop(answers.desk_state, state)
    return render(request, "_state.html", desk=desk, headers={"HX-Refresh": "true"})


@router.post("/save")
async def save_all(service: Ours, request: Request) -> HTMLResponse:
    """Write the discovery, and the table where it is wanted."""
    form = await _form(request)
    saved = await save(service, _one(form, "version"), bool(_one(form, "table")))
    desk = await service.off_loop(answers.desk_state, service.need_desk().state)
    return render(request, "_saved.html", saved=saved, desk=desk)

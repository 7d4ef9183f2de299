"""What the service found, in the API's words; the page shows the same."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version

from linnet.discover import Discovery
from linnet.explain.pictures import View
from linnet.predict import Answered, LevelAnswer
from linnet.report.overlay import overlay
from linnet.web import schemas
from linnet.web.collection import Class, spread
from linnet.web.desk import State
from linnet.web.pictures import jpeg
from linnet.web.service import Hit, Service

__all__ = [
    "about",
    "class_entry",
    "cluster_entries",
    "desk_state",
    "explained",
    "image_entry",
    "neighbours",
    "predicted",
]


def about(service: Service) -> schemas.About:
    """What the server has."""
    bundle, calibration = service.predictor.bundle, service.predictor.calibration
    return schemas.About(
        version=version("linnet"),
        run=service.run.name,
        method=str(bundle.card["method"]),
        levels=list(bundle.taxonomy.levels),
        calibrated=calibration is not None and any(each.calibrated for each in calibration.levels),
        images=None if service.index is None else len(service.index.names),
        discovery=service.desk is not None,
        upload_bytes=service.limits.upload_bytes,
        upload_pixels=service.limits.pixels,
    )


def _level(answer: LevelAnswer) -> schemas.Level:
    top = [schemas.Candidate(name=name, probability=share) for name, share in answer.top]
    return schemas.Level(
        level=answer.level, name=answer.name, probability=answer.probability, calibrated=answer.calibrated, top=top
    )


def predicted(answered: Answered, least: float | None = None, embedding: bool = False) -> schemas.Predicted:
    """An answer; with `least`, also the finest level that reaches that probability."""
    finest = None if least is None else answered.backoff(least)
    return schemas.Predicted(
        levels=[_level(each) for each in answered.levels],
        backoff=None if finest is None else _level(finest),
        embedding=answered.embedding.tolist() if embedding else None,
    )


def image_entry(service: Service, row: int) -> schemas.ImageEntry:
    """An image of the index.

    Raises:
        Problem: 404, no such image; 409, no index.
    """
    index = service.need_index()
    labels = {service.collection.taxonomy.levels[each.level]: each.name for each in service.collection.labels(row)}
    return schemas.ImageEntry(
        row=row,
        image=str(index.names[row]),
        split=str(index.splits[row]),
        labels=labels,
        picture=f"/api/v1/images/{row}/picture",
    )


def neighbours(service: Service, hits: Sequence[Hit]) -> schemas.Searched:
    """Near images, and which finest classes they have."""
    found = [schemas.Neighbour(**image_entry(service, hit.row).model_dump(), score=hit.score) for hit in hits]
    levels = service.collection.taxonomy.levels
    finest = next((level for level in reversed(levels) if any(level in each.labels for each in found)), None)
    votes = Counter(each.labels[finest] for each in found if finest in each.labels) if finest else Counter()
    told = [schemas.ClassVotes(level=str(finest), name=name, votes=count) for name, count in votes.most_common()]
    return schemas.Searched(hits=found, votes=told)


def explained(view: View) -> schemas.Explained:
    """The maps of one picture."""
    maps = []
    for column in view.columns:
        laid = overlay(view.pixels[0], column.heat[0])
        maps.append(schemas.Map(name=column.name, told=column.told(0), jpeg=_base64(jpeg(laid))))
    return schemas.Explained(seen=_base64(jpeg(view.pixels[0])), maps=maps, notes=view.notes)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def class_entry(service: Service, of: Class, examples: int) -> schemas.ClassEntry:
    """A class with rows of some of its images."""
    rows = spread(service.collection.rows(of.level, of.number), examples)
    return schemas.ClassEntry(
        level=of.level,
        number=of.number,
        name=of.name,
        parent=of.parent,
        children=of.children,
        images=of.images,
        examples=rows,
    )


def desk_state(state: State) -> schemas.DeskState:
    """The desk in numbers."""
    discovery = state.discovery
    classes = [
        schemas.CoarseEntry(
            number=c,
            name=name,
            images=len(discovery.places(c)),
            clusters=len(discovery.clusters[c]),
            named=sum(bool(each.name) for each in discovery.clusters[c]),
            in_none=len(discovery.members(c, -1)),
        )
        for c, name in enumerate(discovery.coarse_names)
        if len(discovery.places(c))
    ]
    return schemas.DeskState(
        version=state.version,
        unsaved=state.unsaved,
        undoable=state.undoable,
        note=state.note,
        images=len(discovery),
        classes=classes,
    )


def cluster_entries(discovery: Discovery, c: int, examples: int) -> list[schemas.ClusterEntry]:
    """The clusters of a coarse class, largest first; borderline images are others than the typical ones."""
    found = []
    for each in discovery.clusters[c]:
        typical = discovery.typical(c, each.number, examples).tolist()
        least = discovery.borderline(c, each.number, 2 * examples).tolist()
        found.append(
            schemas.ClusterEntry(
                number=each.number,
                name=each.name,
                images=len(discovery.members(c, each.number)),
                stability=each.stability,
                typical=typical,
                borderline=[place for place in least if place not in typical][:examples],
            )
        )
    return sorted(found, key=lambda entry: (-entry.images, entry.number))

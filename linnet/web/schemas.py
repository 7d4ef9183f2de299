"""What the API takes and gives, as OpenAPI tells it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "About",
    "Candidate",
    "ClassEntry",
    "ClassPage",
    "ClassVotes",
    "ClusterEntry",
    "ClusterPage",
    "CoarseEntry",
    "DeskClass",
    "DeskState",
    "ErrorAnswer",
    "ErrorTold",
    "Explained",
    "ImageEntry",
    "ImagePage",
    "Level",
    "LevelEntry",
    "Map",
    "Merge",
    "Move",
    "Neighbour",
    "Predicted",
    "Rename",
    "Save",
    "Saved",
    "Searched",
    "TaxonomyEntry",
    "Versioned",
]


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ErrorTold(BaseModel):
    """What went wrong."""

    code: str = Field(description="a word for programs, such as too-large")
    message: str = Field(description="a sentence for people: what was given, what is allowed, what to do")
    request: str = Field(description="the request's id in the server's log")


class ErrorAnswer(BaseModel):
    """Any answer other than the one that was asked for."""

    error: ErrorTold


class Candidate(BaseModel):
    """A class that a picture may show."""

    name: str
    probability: float = Field(ge=0, le=1)


class Level(BaseModel):
    """What is said of a picture at one level."""

    level: str
    name: str
    probability: float
    calibrated: bool = Field(description="whether the probability was calibrated on validation images")
    top: list[Candidate] = Field(description="the likeliest classes, likeliest first")


class Predicted(BaseModel):
    """What the run says of a picture."""

    levels: list[Level] = Field(description="coarsest first; empty of a method without a classifier")
    backoff: Level | None = Field(None, description="the finest level that reaches the probability that was asked for")
    embedding: list[float] | None = Field(None, description="where it was asked for")


class ImageEntry(BaseModel):
    """An image of the collection."""

    row: int
    image: str = Field(description="its name in the data")
    split: str
    labels: dict[str, str] = Field(description="level to class, where known")
    picture: str = Field(description="where a small picture of it is")


class Neighbour(ImageEntry):
    """A near image."""

    score: float = Field(description="cosine of the two embeddings, -1 to 1")


class ClassVotes(BaseModel):
    """How many of the neighbours have a class."""

    level: str
    name: str
    votes: int


class Searched(BaseModel):
    """The nearest images, nearest first."""

    hits: list[Neighbour]
    votes: list[ClassVotes] = Field(description="of the finest level that the hits have labels of")


class Map(BaseModel):
    """What the run looks at."""

    name: str
    told: list[str] = Field(description="what stands below it: its class and probability")
    jpeg: str = Field(description="the map laid over the picture, base64 of a JPEG")


class Explained(BaseModel):
    """The part of the picture that the net sees, and maps over it."""

    seen: str = Field(description="base64 of a JPEG")
    maps: list[Map]
    notes: list[str]


class LevelEntry(BaseModel):
    """A level of the taxonomy."""

    number: int
    name: str
    classes: int
    images: int = Field(description="images of the collection with a label of it")


class TaxonomyEntry(BaseModel):
    """The levels, coarsest first."""

    levels: list[LevelEntry]
    images: int


class ClassEntry(BaseModel):
    """A class."""

    level: int
    number: int
    name: str
    parent: int | None
    children: int
    images: int
    examples: list[int] = Field(description="rows of a few of its images")


class ClassPage(BaseModel):
    """Classes of a level, by name."""

    total: int
    classes: list[ClassEntry]


class ImagePage(BaseModel):
    """Images of a class."""

    total: int
    images: list[ImageEntry]


class ClusterEntry(BaseModel):
    """A proposed fine class. Images are told by their places in the discovery."""

    number: int
    name: str
    images: int
    stability: float | None = Field(description="0 to 1; null where it was not measured or members were changed since")
    typical: list[int]
    borderline: list[int]


class CoarseEntry(BaseModel):
    """A coarse class with its clusters in numbers."""

    number: int
    name: str
    images: int
    clusters: int
    named: int
    in_none: int = Field(description="images in no cluster")


class DeskState(BaseModel):
    """What the desk holds."""

    version: str = Field(description="to be given back with every change")
    unsaved: bool = Field(description="whether there are changes that are kept as a draft alone")
    undoable: str = Field(description="what the last step did; empty where none can be taken back")
    note: str = Field(description="what became of changes that an earlier server had not saved; empty if nothing")
    images: int
    classes: list[CoarseEntry]


class DeskClass(BaseModel):
    """The clusters of a coarse class."""

    version: str
    number: int
    name: str
    clusters: list[ClusterEntry]
    in_none: int


class ClusterPage(BaseModel):
    """Images of a cluster, most typical first."""

    version: str
    total: int
    places: list[int]
    images: list[str]


class Versioned(_Given):
    """A change, and the state that it is made on."""

    version: str


class Rename(Versioned):
    """A cluster's name; empty takes it away."""

    name: str = Field(max_length=200)


class Merge(Versioned):
    """Clusters to put together."""

    numbers: list[int] = Field(min_length=2, max_length=1000)
    name: str | None = Field(None, max_length=200, description="of the whole; null keeps the one name that they have")


class Move(Versioned):
    """Images to move to another cluster of their coarse class."""

    places: list[int] = Field(min_length=1, max_length=100_000)
    to: int | Literal["new", "none"]


class Save(Versioned):
    """Write the discovery, and the table to train on where it is wanted."""

    table: bool = False


class Saved(BaseModel):
    """What was written."""

    version: str
    folder: str
    table: str | None = None
    labelled: int | None = Field(None, description="images that got a label from their cluster")
    command: str | None = Field(None, description="how to train on the table")


class About(BaseModel):
    """What the server has."""

    version: str
    run: str
    method: str
    levels: list[str]
    calibrated: bool
    images: int | None = Field(description="of the index; null without one")
    discovery: bool
    upload_bytes: int
    upload_pixels: int

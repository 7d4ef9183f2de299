"""The settings of one experiment, each with its range, and the paper's figures to stand beside ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from linnet.datasets import DRAWN, KNOWN
from linnet.recipes.messages import translate

__all__ = ["FREE", "PROVENANCE", "READING", "Recipe"]

READING = ("levels", "delimiter", "qualify", "allow_skips", "attributes")
"""The settings that say how a table or folder is read; see `manifest.read_manifest`. A known set takes the last one."""

FREE = ("seed", "threads", "workers", "device", "root", "road", "compile", "delimiter")
"""The settings that say where, how fast and with which draws; a recipe that differs in these alone is the same."""

PROVENANCE = ("paper", "table", "row", "dataset", "protocol", "scale", "published", "note")
"""The settings that say what a recipe is, and decide nothing."""


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _as_mark(value: object) -> object:
    return "\t" if value in ("\\t", "tab") else value


_Listed = BeforeValidator(_as_tuple)
_Count = Annotated[int, Field(ge=1)]
_Names = Annotated[tuple[str, ...], Field(min_length=1), _Listed]
_Counts = Annotated[tuple[_Count, ...], _Listed]
_Mark = Annotated[str, Field(min_length=1, max_length=1), BeforeValidator(_as_mark)]
_Colour = Annotated[tuple[float, float, float], _Listed]
_Decay = Annotated[float, Field(ge=0, lt=1)]
_Decays = Annotated[tuple[_Decay, _Decay], _Listed]


class Recipe(BaseModel):
    """Everything that decides the outcome of a run, frozen, with no unknown keys.

    Build it with `Recipe.read(mapping)` (or `load_recipe`, `resolve`), which turn a bad setting into a
    RecipeError that names the key, the value given and what is allowed. Values are strict: `"1e-4"` is no
    number.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    # Data
    data: str = Field(default="", description="a known data set, a manifest file, or a folder of images")
    root: str | None = Field(default=None, description="folder that holds the data set, or that image paths start from")
    levels: _Names | None = Field(
        default=None,
        description="reading a table: its columns of labels, coarsest first; none = all but image and split",
    )
    delimiter: _Mark | None = Field(
        default=None, description="reading a CSV: what separates its cells (tab for a tab); none = comma or semicolon"
    )
    qualify: bool = Field(
        default=False, description="reading: put the parent before every class name, where branches share names"
    )
    allow_skips: bool = Field(
        default=False, description="reading: a class that no row tells takes the name of the finer one"
    )
    attributes: str | None = Field(
        default=None,
        description="table of class descriptions, a row a class: its name, then numbers (CSV, Parquet, npy, ...)",
    )
    coarse: str | None = Field(default=None, description="level to learn from; none = the coarsest")
    fine: str | None = Field(default=None, description="level to find; none = the finest")
    classes: _Names | None = Field(default=None, description="keep only these coarse classes; none = all")
    label_fraction: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="share of each fine class's training images that keep their fine label; none = all that have one",
    )
    coarse_fraction: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="share of each fine class's training images used with their coarse label only; none = all the rest",
    )
    seen: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="share of fine classes that have labels, drawn by the seed; the others have a description only",
    )
    seen_classes: _Names | None = Field(
        default=None, description="in place of seen: the fine classes that have labels, by name"
    )
    labelled_only: bool = Field(default=False, description="train and select on images with a fine label only")
    validation: float = Field(
        default=0.1, ge=0, lt=1, description="share of train kept back where the data has no validation split"
    )

    # Images
    image_size: int = Field(default=224, ge=1, description="side of the square the net sees, pixels")
    resize: int | None = Field(
        default=None,
        ge=1,
        description="shorter side before the centre crop at evaluation, pixels; none = image_size",
    )
    mean: _Colour | None = Field(
        default=None, description="per-channel mean of pixels in 0..1; none = the backbone's own"
    )
    std: _Colour | None = Field(default=None, description="per-channel standard deviation; none = the backbone's own")
    whitening: Literal["none", "gcn", "zca"] = Field(
        default="none",
        description="of small images: global contrast normalisation, and 'zca' behind it; in place of mean and std",
    )
    augment: Literal["none", "crop", "resized-crop", "window"] = Field(
        default="resized-crop",
        description="how training crops vary; 'window': scaled to resize, then a random square of image_size",
    )
    padding: int = Field(default=4, ge=0, description="zero border that augment = 'crop' crops from, pixels")
    flip: bool = Field(default=True, description="mirror training images left-right at random")
    color_jitter: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="strength of random changes of brightness, contrast, saturation and hue in training, 0 for none",
    )
    grayscale: float = Field(default=0.0, ge=0, le=1, description="share of training images shown without colours")

    # Net and method
    backbone: str = Field(default="resnet18", description="a timm name, or one of Linnet's own, such as cifar-resnet18")
    width: int | None = Field(
        default=None, ge=1, description="channels of the first stage where the backbone has a choice"
    )
    dropout: float | None = Field(
        default=None, ge=0, lt=1, description="share of values that the net's dropout layers drop; none = the net's own"
    )
    weights: str | None = Field(
        default=None, description="file of start weights (safetensors), from here or from the folder of data sets"
    )
    pretrained: bool = Field(default=False, description="start from timm's published weights (needs a network once)")
    frozen: bool = Field(
        default=False,
        description="leave the net as it starts and learn from its feature maps, computed once; no crops, but flip",
    )
    method: str = Field(default="coins", description="the system that learns; `linnet recipes` shows them at work")
    options: dict[str, Any] = Field(default={}, description="the method's own settings, such as lambda")

    # Optimisation
    epochs: int = Field(default=30, ge=1, description="passes over the training images")
    batch_size: int = Field(default=256, ge=1, description="images per step, over all devices together")
    drop_last: bool = Field(default=True, description="leave out an epoch's incomplete last batch")
    optimizer: Literal["sgd", "adam", "adamw"] = Field(
        default="sgd", description="update rule; an instance head is updated by sgd whichever it is"
    )
    lr: float = Field(default=0.1, gt=0, description="peak learning rate")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="momentum of sgd")
    betas: _Decays = Field(default=(0.9, 0.999), description="how much adam's running means keep at a step")
    nesterov: bool = Field(default=False, description="Nesterov's form of momentum")
    weight_decay: float = Field(default=5e-4, ge=0, description="weight decay")
    schedule: Literal["constant", "step", "cosine", "plateau"] = Field(
        default="cosine", description="course of the learning rate"
    )
    milestones: _Counts = Field(default=(), description="epochs after which schedule = 'step' multiplies lr by factor")
    factor: float = Field(default=0.2, gt=0, le=1, description="what 'step' and 'plateau' multiply lr by")
    patience: int = Field(
        default=10, ge=1, description="evaluations without a better one after which 'plateau' lowers lr"
    )
    warmup: float = Field(default=0.0, ge=0, description="epochs of linear rise at the start")

    # Machine
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="auto", description="arithmetic of the net; auto: bf16 where faster"
    )
    channels_last: bool = Field(default=True, description="memory layout of images and weights")
    compile: bool = Field(default=False, description="compile the net (torch.compile)")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="where to train")
    threads: int | None = Field(default=None, ge=1, description="CPU threads; none = torch's choice")
    workers: int | None = Field(default=None, ge=0, description="processes that decode images; none = by the machine")
    road: Literal["auto", "memory", "files", "cache"] = Field(
        default="auto",
        description="keep images in memory, or read files each epoch, or decode each once to `resize` pixels on disk",
    )

    # Choice of the epoch that counts, and what is measured
    seed: int = Field(default=0, ge=0, description="key of every random draw")
    select_on: Literal["validation", "test", "last"] = Field(
        default="validation",
        description="split that picks the best epoch; 'test' is for replication and marks the figures",
    )
    select_by: str | None = Field(default=None, description="metric that picks the best epoch; none = the method's own")
    fine_selection: bool = Field(
        default=False, description="let fine validation labels pick the epoch; marks the figures"
    )
    evaluate_every: int = Field(default=1, ge=1, description="epochs between evaluations")
    test_views: Literal[1, 2, 10] = Field(
        default=1,
        description="views of an image that evaluation averages (one picks the epoch): 2 = and its mirror image, "
        "10 = centre and corners, and theirs",
    )
    recall_at: _Counts = Field(default=(1, 2, 4, 8), description="the k of recall@k", min_length=1)

    # Provenance
    paper: str = Field(default="linnet", description="'001' and so on for a paper's row, 'linnet' for our own")
    table: str = Field(default="", description="table of the paper that holds the figures")
    row: str = Field(default="", description="method and variant, as results name them")
    dataset: str = Field(default="", description="data set, as results name it")
    protocol: str = Field(default="", description="what is trained on, and what is measured how")
    scale: Literal["full", "cpu", "own", ""] = Field(
        default="", description="the paper's size, cut to what a CPU can do, or changed by a user"
    )
    published: dict[str, float] = Field(default={}, description="the paper's figures by metric name, percent")
    note: str = Field(default="", description="what else a reader must know")

    @classmethod
    def read(cls, settings: Mapping[str, Any], where: str = "recipe") -> Self:
        """Build a recipe from keys and values as TOML or JSON gives them; `where` opens every message.

        Raises:
            RecipeError: an unknown key (with the nearest name), or a value out of range.
        """
        try:
            return cls.model_validate(dict(settings))
        except ValidationError as error:
            raise translate(error, cls, where) from None

    def change(self, **settings: Any) -> Self:
        """A copy with some settings changed, checked like a new recipe.

        Raises:
            RecipeError: as `read`.
        """
        return type(self).read({**self.model_dump(), **settings})

    def reading(self) -> dict[str, Any]:
        """The reading options that are set, as keywords for `datasets.load_data`.

        The seed is among them where the data set's split is drawn, so that runs of several seeds average over splits.
        """
        return self._reading_set() | ({"seed": self.seed} if self.data in DRAWN else {})

    def _reading_set(self) -> dict[str, Any]:
        return {
            name: getattr(self, name)
            for name in READING
            if getattr(self, name) != type(self).model_fields[name].default
        }

    @model_validator(mode="after")
    def _agree(self) -> Self:
        given = [name for name in self._reading_set() if name != "attributes"]
        if self.data in KNOWN and given:
            raise ValueError(
                f"{', '.join(given)}: for tables and folders only; {self.data!r} is a known data set "
                f"(a folder of that name is ./{self.data})"
            )
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std go together: give both or neither")
        if self.whitening != "none" and self.mean is not None:
            raise ValueError(f"whitening = {self.whitening!r} and mean, std both set the colours: give one of them")
        if self.whitening == "zca" and self.image_size > 64:
            raise ValueError(
                f"whitening = 'zca' is for images up to 64 pixels: at image_size = {self.image_size} its map would "
                f"take {(3 * self.image_size**2) ** 2 * 4 / 1e9:.1f} GB; use 'gcn' or 'none'"
            )
        if self.frozen:
            self._agree_frozen()
        if self.resize is not None and self.resize < self.image_size:
            raise ValueError(
                f"resize = {self.resize} is smaller than image_size = {self.image_size}, which is cut from it"
            )
        if self.seen is not None and self.seen_classes is not None:
            raise ValueError("seen draws the classes that have labels, and seen_classes names them: give one of them")
        if self.coarse_fraction is not None and self.label_fraction is None:
            raise ValueError("coarse_fraction says what becomes of the rest: give label_fraction too")
        if (self.label_fraction or 0) + (self.coarse_fraction or 0) > 1:
            raise ValueError(
                f"label_fraction = {self.label_fraction:g} and coarse_fraction = {self.coarse_fraction:g} are shares "
                "of the same images: together at most 1"
            )
        if self.test_views == 10 and (self.resize or 0) <= self.image_size:
            raise ValueError(
                f"test_views = {self.test_views} cuts corners from a larger image: give resize above image_size = "
                f"{self.image_size}, such as resize = {round(self.image_size * 8 / 7)}"
            )
        if self.schedule == "step" and not self.milestones:
            raise ValueError("schedule = 'step' needs milestones, such as milestones = [60, 120, 160]")
        if self.schedule == "plateau" and self.select_on == "last":
            raise ValueError("schedule = 'plateau' follows the selection metric, which select_on = 'last' has none of")
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones = {list(self.milestones)} must rise from one to the next")
        if self.warmup > self.epochs:
            raise ValueError(f"warmup = {self.warmup:g} is longer than epochs = {self.epochs}")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov = true needs momentum above 0")
        if self.pretrained and self.weights is not None:
            raise ValueError("pretrained = true and weights both say where to start: give one of them")
        return self

    def _agree_frozen(self) -> None:
        """Refuse what would change the maps of a frozen net from step to step, or its weights."""
        if self.augment != "none":
            raise ValueError(
                f"augment = {self.augment!r} cuts another view each epoch, and a frozen net's maps are computed once: "
                "with frozen = true give augment = 'none'; flip = true mirrors images all the same"
            )
        for name in ("color_jitter", "grayscale"):
            if value := getattr(self, name):
                raise ValueError(f"{name} = {value:g} changes images each epoch: leave it out with frozen = true")
        if self.whitening == "zca":
            raise ValueError("whitening = 'zca' is fitted to the training images, before a net that learns: not frozen")
        if self.dropout is not None:
            raise ValueError(f"dropout = {self.dropout:g} is for a net that learns: leave it out with frozen = true")

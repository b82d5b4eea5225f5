"""The settings that every run has: ``train``, ``checkpoint``, and those of each player and evaluator."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, Strict, WithJsonSchema, model_validator

from ganrun.recipe.parameters import CONFIG, DurationField
from ganrun.recipe.parts import Part
from ganrun.schedule import Duration
from ganrun.words.spaces import PartOf, RecipePath


class Settings(BaseModel):
    """Base of all settings: strict, no unknown keys, not changed after reading."""

    model_config = {**CONFIG, "frozen": True}


def _positive(value: Duration) -> Duration:
    if value.amount <= 0:
        raise ValueError(f"must be more than 0, got {value}")
    return value


def _absolute(value: Duration) -> Duration:
    if value.unit in ("%", "minutes"):
        raise ValueError(f"the length of a run is given in steps, epochs, images or kimg, got {value}")
    return _positive(value)


def _untimed(value: Duration) -> Duration:
    if value.unit == "minutes":
        raise ValueError(
            f"expected steps, epochs, images, kimg or percent, got {value}: "
            "minutes would change the result with the machine"
        )
    return _positive(value)


def _not_float16(value: object) -> object:
    if value in ("float16", "fp16", "half"):
        raise ValueError(
            "float16 overflows at 65,504, so each player's gradients would need a scale of their own, and a step whose "
            "scale was too large would be lost; bfloat16 is as fast and has the range of float32"
        )
    return value


class TrainSettings(Settings):
    """Recipe key ``train``: what decides a training run besides its parts."""

    steps: Annotated[
        DurationField, AfterValidator(_absolute), Field(description="length of the run: 3000, 50 epochs, 400 kimg")
    ] = Duration(1000)
    percent_of: Annotated[DurationField, AfterValidator(_absolute)] | None = Field(
        default=None, description="the length that is 100%; null: steps, or what a resumed run began with"
    )
    batch_size: Annotated[int, Field(ge=1, description="real samples in one micro-batch of one process")] = 64
    seed: Annotated[int, Field(ge=0, lt=2**63, description="key of every random draw")] = 0
    device: Annotated[
        str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$", description="auto, cpu, cuda, cuda:N or mps")
    ] = "auto"
    precision: Annotated[
        Literal["float32", "bfloat16", "float64"],
        BeforeValidator(_not_float16),
        Field(description="bfloat16: mixed precision by autocast"),
    ] = "float32"
    deterministic: Annotated[
        bool, Field(description="deterministic algorithms: equal bits on CUDA, too, but slower")
    ] = False
    workers: Annotated[int, Field(ge=0, le=1024, description="processes that read data which is not in memory")] = 0
    accumulate: Annotated[int, Field(ge=1, description="micro-batches whose gradients are averaged for one update")] = 1
    channels_last: Annotated[bool, Field(description="memory format of images and convolutions")] = False
    compile: Annotated[bool, Field(description="torch.compile the networks")] = False
    batches: Annotated[
        Literal["separate", "joint"],
        Field(description="real and fake samples pass the discriminator separately or as one batch"),
    ] = "separate"
    sync_batch_norm: Annotated[
        bool, Field(description="BatchNorm over the batch of all processes, not over that of each")
    ] = False
    # more threads than this end the process in torch, without a message
    threads: Annotated[
        int | None, Field(ge=1, le=4096, description="threads of torch on a CPU; null: torch's choice")
    ] = None


class BestSettings(Settings):
    """Recipe key ``checkpoint.best``: keep the checkpoint with the best score, besides the newest."""

    evaluator: Annotated[str, Field(description="an evaluator of the recipe, or one of its metrics: frechet-distance")]
    mode: Annotated[Literal["min", "max"], Field(description="whether the smallest or the largest score is best")]


class CheckpointSettings(Settings):
    """Recipe key ``checkpoint``."""

    every: Annotated[
        DurationField, AfterValidator(_positive), Field(description="between two checkpoints; minutes are possible")
    ] = Duration(1000)
    keep: Annotated[int, Field(ge=1, description="how many of the newest stay")] = 3
    best: Annotated[BestSettings, Strict(False)] | None = Field(
        default=None, description="keep the best by an evaluator, too"
    )


class InitSettings(Settings):
    """Recipe key ``players.NAME.init``: how a player's weights are drawn. ``default`` leaves torch's own."""

    scheme: Annotated[
        Literal["default", "normal", "xavier", "kaiming", "orthogonal"],
        Field(description="distribution of the weights"),
    ] = "default"
    gain: Annotated[float, Field(ge=0, description="standard deviation (normal) or factor (xavier, orthogonal)")] = 0.02


class StartSettings(Settings):
    """Recipe key ``init``: trained weights to start from. A text alone is its ``run``."""

    run: Annotated[str, RecipePath(or_name=True)] | None = Field(
        default=None, description="the folder of a run, or of one of its checkpoints"
    )
    checkpoint: str | int = Field(default="last", description="which of the run's: last, best, or a step")
    files: dict[str, Annotated[str, RecipePath()]] = Field(
        default={}, description="network -> a file of weights, as `import-weights` reads it"
    )
    networks: Annotated[list[str], Field(min_length=1)] | None = Field(
        default=None, description="which networks start so; null: all that the run has"
    )
    partial: bool = Field(default=False, description="take what fits, and say what does not; false: all of it must fit")
    overlap: bool = Field(
        default=False, description="with partial: of tensors of another shape, too, take the rows and columns both have"
    )
    weights: Literal["training", "sampling"] = Field(
        default="training", description="as training left them, or those that samples are made with, such as averages"
    )
    optimizers: bool = Field(default=False, description="take the state of the players' optimisers, too")

    @model_validator(mode="after")
    def _of_something(self) -> StartSettings:
        if self.run is None and not self.files:
            raise ValueError(
                "expected a run, or files, such as {run: runs/other} or {files: {generator: g.safetensors}}"
            )
        if self.run is None and (self.checkpoint, self.weights, self.optimizers) != ("last", "training", False):
            raise ValueError("files hold one kind of weights: checkpoint, weights and optimizers are of a run; add it")
        if self.overlap and not self.partial:
            raise ValueError("overlap takes parts of tensors, so it needs partial: true")
        return self


class FreezeSettings(Settings):
    """Recipe key ``players.NAME.freeze``: what is not trained. A number alone is ``layers``."""

    layers: int = Field(default=0, ge=0, description="the lowest of each network: those nearest to its input")
    modules: list[str] = Field(
        default=[], description="modules by name, with that of the network: discriminator.main.0, generator.blocks.*"
    )
    until: Annotated[DurationField, AfterValidator(_untimed)] | None = Field(
        default=None, description="they are trained from then on; null: never"
    )


class PlayerSettings(Settings):
    """Recipe key ``players.NAME``. ``updates`` None leaves the variant's schedule as it is."""

    optimizer: Annotated[Part, PartOf("optimizer"), WithJsonSchema({"x-part": "optimizer"}), Field(default="adam")]
    updates: Annotated[int | None, Field(ge=1, description="updates per step; null: as the variant has it")] = None
    init: Annotated[InitSettings, Strict(False)] | None = Field(
        default=None, description="initialisation; null: torch's own"
    )
    freeze: Annotated[FreezeSettings, Strict(False)] | None = Field(
        default=None, description="parameters that are not trained, such as the lowest 3 layers; null: none"
    )


class EvaluatorSettings(Settings):
    """What every evaluator takes besides its own parameters."""

    every: Annotated[DurationField, AfterValidator(_untimed)] | None = Field(
        default=None, description="how often; null: at the end only"
    )
    samples: Annotated[int | None, Field(ge=1, description="how many samples; null: the evaluator's own choice")] = None

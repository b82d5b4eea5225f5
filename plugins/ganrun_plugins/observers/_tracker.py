"""What observers share that send a run to an experiment tracker of Accelerate."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from PIL import Image

from ganrun.plugin import Duration, Every, Experiment, Refusal, Run, hookimpl


class Tracking:
    """A run's terms, scores and pictures on their way to one of Accelerate's trackers."""

    files: ClassVar[Sequence[str]] = ("tracker",)
    install: ClassVar[str] = ""

    def __init__(self, name: str, project: str, every: Duration, images: bool) -> None:
        self.name = name
        self.project = project
        self.every = Every(every)
        self.images = images
        self._tracker: Any = None
        self._scores: dict[str, float] = {}
        self._sent = ""  # the picture that was sent last
        self._sent_step = -1

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        """Refuse a tracker that is not available, before training."""
        known, available = _known(), _available()
        if self.name not in known:
            raise Refusal(f"Accelerate has no tracker {self.name!r}", f"name one of: {', '.join(sorted(known))}")
        if self.name not in available:
            install = self.install or f"pip install {self.name.replace('_', '-')}"
            raise Refusal(f"the package of the tracker {self.name} is not installed", install)

    @hookimpl
    def run_start(self, run: Run) -> None:
        self.every.start(run)
        self._open(run)

    @hookimpl
    def rolled_back(self, run: Run) -> None:
        """Start again, as a resumed run does: a tracker takes no step twice."""
        if self._tracker is not None:
            self._tracker.finish()
        self._scores = {}
        self._open(run)

    def _open(self, run: Run) -> None:
        self._sent_step = run.step
        if not run.is_main:
            return
        assert run.folder is not None
        kind = _known()[self.name]
        where = [run.folder / "tracker"] if kind.requires_logging_directory else []
        for folder in where:
            folder.mkdir(parents=True, exist_ok=True)
        self._tracker = kind(self.project, *where, **self.options(run))
        if hasattr(self._tracker, "start"):  # Accelerate before 1.8 starts in the constructor
            self._tracker.start()
        self.configure(run)

    def options(self, run: Run) -> dict[str, Any]:
        """Further arguments of the tracker's constructor."""
        return {}

    def configure(self, run: Run) -> None:
        """Send the resolved recipe to the tracker."""
        self._tracker.store_init_configuration(dict(flat(run.recipe.resolved)))

    @hookimpl
    def evaluate(self, run: Run, scores: dict[str, float]) -> None:
        self._scores.update(scores)

    @hookimpl
    def step_end(self, run: Run) -> None:
        if self.every.due(run) or self._scores:
            self._send(run)

    @hookimpl(trylast=True)
    def run_end(self, run: Run, reason: str) -> None:
        if self._tracker is None:
            return
        if reason != "failed" and run.step > 0:
            self._send(run)
        self._tracker.finish()
        self._tracker = None

    def _send(self, run: Run) -> None:
        if self._tracker is None:
            return
        if run.step != self._sent_step:
            self._tracker.log({**run.metrics(), **run.rates(), **self._scores}, step=run.step)
            self._scores, self._sent_step = {}, run.step
        picture = run.newest_picture
        if self.images and picture is not None and picture.name != self._sent and hasattr(self._tracker, "log_images"):
            with Image.open(picture) as opened:
                self._tracker.log_images({"samples": self.as_images(opened.convert("RGB"))}, step=run.step)
            self._sent = picture.name
        self.flush()

    def flush(self) -> None:
        """Hand over what was sent and lies in memory yet: a checkpoint of this step may be the last that is done."""

    def state_dict(self) -> dict[str, Any]:
        return {"sent": self._sent}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._sent = state["sent"]

    def as_images(self, picture: Image.Image) -> Any:
        """A picture as this tracker takes it."""
        return [picture.copy()]


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """``key.key`` -> number, text or truth value for every leaf of plain data."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from flat(inner, f"{path}.{key}" if path else str(key))
    elif value is not None:
        yield path, value


def _known() -> dict[str, Any]:
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    return {str(name): kind for name, kind in LOGGER_TYPE_TO_CLASS.items()}


def _available() -> set[str]:
    from accelerate.tracking import get_available_trackers

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {str(getattr(name, "value", name)) for name in get_available_trackers()}

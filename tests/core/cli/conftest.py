"""What the tests of commands share: a recipe file, the command line as a function, a plugin file, and runs."""

import json
from typing import NamedTuple

import pytest
import torch

from ganrun import api
from ganrun.cli import main
from ganrun.data import image_grid

MINE = '''\
"""My own loss.

Paper: Me, "A loss of my own" (2026).
"""
from typing import Annotated

from pydantic import Field

from ganrun.plugin import Component, hookimpl


class Mine:
    """Differences of weighted logits."""

    provides = frozenset({"per-sample-generator", "logit:unbounded"})
    real_in_generator = False

    def __init__(self, *, weight: Annotated[float, Field(gt=0, description="factor of the logits")] = 1.0) -> None:
        self.weight = weight

    def discriminator(self, round):
        """Stream -> minus the weighted logits of real samples, and those of fakes, (B, ...)."""
        return {s: (-self.weight if s.role == "real" else self.weight) * s.logits for s in round.streams}

    def generator(self, round):
        """Fake stream -> minus its weighted logits, (B, ...)."""
        return {s: -self.weight * s.logits for s in round.of("fake")}


@hookimpl
def ganrun_components():
    yield Component("loss", "my-own", Mine)
'''


class Done(NamedTuple):
    """How a command ended: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


@pytest.fixture
def ganrun(capsys, monkeypatch):
    """Run the command line in this process; keywords are environment variables."""
    monkeypatch.delenv("GANRUN_DISABLE_PLUGINS", raising=False)

    def run(*arguments, **environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        try:
            main([str(argument) for argument in arguments])
            code = 0
        except SystemExit as stopped:
            code = stopped.code or 0
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture
def my_loss(tmp_path):
    """A plugin file that is not installed."""
    (tmp_path / "my_loss.py").write_text(MINE)
    return tmp_path / "my_loss.py"


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Runs to look at: ``points``, ``images`` and ``translation``, one step each."""
    base = tmp_path_factory.mktemp("runs")
    small = {"mlp": {"widths": [8], "norm": "none"}}
    gan = {"variant": {"gan": {"latent": 4}}, "generator": small, "discriminator": small}
    recipes = {
        "points": {**gan, "dataset": {"ring": {"count": 64}}},
        "images": {**gan, "dataset": {"digits": {"size": 8}}},
        "translation": {
            "variant": "cyclegan",
            "dataset": {"restyled-digits": {"size": 8}},
            "generator": {"resnet-translator": {"blocks": 0, "width": 2}},
            "discriminator": {"patchgan": {"layers": 1, "width": 2}},
        },
    }
    for name, recipe in recipes.items():
        settings = {"steps": 1, "batch_size": 2, "device": "cpu"}
        api.run({**recipe, "without": ["progress", "samples", "metrics-log"], "train": settings}, output=base / name)
    return base


@pytest.fixture
def inputs(tmp_path):
    """A folder of pictures: a colour JPEG of another size, a grey PNG in a subfolder, a broken one."""
    place = tmp_path / "in"
    image_grid.save(image_grid.single(torch.rand(1, 8, 8) * 2 - 1), place / "sub/b.png")
    image_grid.single(torch.rand(3, 10, 20) * 2 - 1).save(place / "a.jpg")
    (place / "notes.txt").write_text("not an image")
    return place


@pytest.fixture
def write_recipe(tmp_path, monkeypatch, tiny):
    """Write a tiny recipe into an empty working directory; JSON is YAML, too."""
    monkeypatch.chdir(tmp_path)

    def write(name="tiny.yaml", **changes):
        recipe = tiny(**{"observers": ["metrics-log", "checkpoints"], "train": {"steps": 3}, **changes})
        (tmp_path / name).write_text(json.dumps(recipe, indent=1))
        return name

    return write

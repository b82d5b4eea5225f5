"""The pictures of a run: when they are drawn, what is on them, and what a resume removes."""

import numpy as np
import pytest
import torch
from PIL import Image

from ganrun import api
from ganrun.data import image_grid
from ganrun.words.hooks import hookimpl


class Newest:
    """Notes the newest picture after each step, as progress does."""

    seen: list = []

    @hookimpl(trylast=True)
    def step_end(self, run):
        self.seen.append(None if run.newest_picture is None else run.newest_picture.name)


@pytest.fixture
def train(tmp_path, tiny, plugin_module):
    def train(steps=6, resume=False, changes=None, plugins=None, observers=(), **parameters):
        recipe = tiny(
            observers=[{"samples": parameters}, *observers, "checkpoints"], train={"steps": steps}, **(changes or {})
        )
        return api.run(
            recipe, output=tmp_path / "run", resume=resume, plugins=[plugin_module(plugins)] if plugins else []
        )

    return train


def names(tmp_path):
    return sorted(path.name for path in (tmp_path / "run/samples").iterdir())


IMAGES = {"dataset": {"digits": {"size": 8}}, "generator": {"mlp": {"widths": [8], "norm": "none"}}}
TRANSLATION = {
    "variant": "cyclegan",
    "dataset": {"restyled-digits": {"size": 8}},
    "generator": {"resnet-translator": {"blocks": 0, "width": 1}},
    "discriminator": {"patchgan": {"layers": 1, "width": 1}},
}


def test_pictures_come_on_the_stride_and_at_the_end(train, tmp_path):
    train(steps=5, every=2, points=9)
    assert names(tmp_path) == ["step-0000002.png", "step-0000004.png", "step-0000005.png"]


def test_one_column_is_a_square_grid(train, tmp_path):
    """Nine pictures of 8 pixels, 3 x 3, 2 pixels between them."""
    train(steps=1, count=9, changes=IMAGES)
    with Image.open(tmp_path / "run/samples/step-0000001.png") as picture:
        assert picture.size == (16 * 28, 16 * 28), "enlarged by whole pixels"
        assert picture.mode == "RGB"


def test_a_scale_is_how_often_pixels_are_repeated(train):
    with Image.open(train(steps=1, count=9, changes=IMAGES, scale=2).newest_picture) as picture:
        assert picture.size == (2 * 28, 2 * 28)


def test_pictures_of_averaged_weights_say_so_below_and_how_much_of_them_is_the_beginning(train, tmp_path):
    """Decay 0.5: after two updates a quarter of the average is the initial weights."""
    run = train(steps=2, count=9, scale=1, changes={**IMAGES, "tricks": [{"ema": {"decay": 0.5}}]})
    assert run.sample_maker.caption() == "weights: average, 25% of it the initial weights"
    with Image.open(run.newest_picture) as picture:
        assert picture.width == image_grid.LEAST
        assert picture.height > 28 + 10
        captioned = image_grid.captioned(picture.crop((0, 0, 28, 28)), run.sample_maker.caption())
        assert np.array_equal(np.asarray(captioned), np.asarray(picture))


def test_a_translation_shows_rows_of_input_output_and_reconstruction(train, tmp_path):
    """Two directions of three columns, 12 pixels between them; the first column is the data itself."""
    run = train(steps=1, rows=4, scale=1, changes=TRANSLATION)
    with Image.open(run.newest_picture) as picture:
        top = picture.height - (4 * 8 + 3 * 2)
        assert picture.width == 2 * (3 * 8 + 2 * 2) + 12
        assert top > 0, "the names of the columns"
        shown = np.asarray(picture.convert("L"))[top : top + 8, :8]
    first = run.dataset("test").batch(torch.tensor([0]), None)["a"][0, 0]
    assert np.array_equal(shown, first.numpy())


def test_points_are_drawn_over_real_ones(train, tmp_path):
    run = train(steps=1, points=50)
    with Image.open(run.newest_picture) as picture:
        colours = {colour for _, colour in picture.getcolors(1 << 20)}
    assert {(255, 255, 255), (176, 176, 176), (214, 73, 30)} <= colours


def test_the_latents_are_fixed_and_those_of_sample(train, tmp_path):
    """With a learning rate of 0 every picture is the same, and it is what ``sample`` makes."""
    still = {name: {"optimizer": {"sgd": {"lr": 0.0}}} for name in ("generator", "discriminator")}
    run = train(steps=2, every=1, count=4, scale=1, changes={**IMAGES, "players": still})
    first, second = ((run.folder / "samples" / name).read_bytes() for name in names(tmp_path))
    assert first == second
    grid = image_grid.grid(api.load(run.folder).sample(4))
    with Image.open(run.newest_picture) as picture:
        assert np.array_equal(np.asarray(picture), np.asarray(grid))


def test_drawing_changes_nothing_of_training(train, tiny, tmp_path):
    watched = train(steps=4, every=1, count=4, changes=IMAGES)
    alone = api.run(tiny(train={"steps": 4}, **IMAGES), output=tmp_path / "alone")
    for name, module in alone.experiment.modules.items():
        for key, value in module.state_dict().items():
            assert torch.equal(value, watched.experiment.modules[name].state_dict()[key])


def test_a_resumed_run_removes_the_pictures_of_later_steps(train, tmp_path):
    run = train(steps=4, every=2, points=9)
    (run.folder / "samples/step-0000100.png").write_bytes(b"later")
    (run.folder / "samples/mine.png").write_bytes(b"kept")
    before = (run.folder / "samples/step-0000004.png").stat().st_mtime_ns
    resumed = train(steps=5, every=2, points=9, resume=True)
    assert names(tmp_path) == ["mine.png", "step-0000002.png", "step-0000004.png", "step-0000005.png"]
    assert (run.folder / "samples/step-0000004.png").stat().st_mtime_ns == before
    assert resumed.newest_picture.name == "step-0000005.png"


def test_other_observers_see_the_newest_picture(train):
    Newest.seen = []
    train(steps=4, every=2, points=9, observers=["newest"], plugins={"observer.newest": Newest})
    assert Newest.seen == [None, "step-0000002.png", "step-0000002.png", "step-0000004.png"]

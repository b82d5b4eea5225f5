"""Training strips: a column for each moment, cut back by a resume."""

import pytest
from PIL import Image

from ganrun import api
from ganrun.training.build import RefusedError

IMAGES = {"dataset": {"digits": {"size": 8}}, "generator": {"mlp": {"widths": [8], "norm": "none"}}}


@pytest.fixture
def train(tmp_path, tiny):
    def train(steps, resume=False, changes=IMAGES, **parameters):
        recipe = tiny(
            observers=[{"strip": parameters}, "checkpoints"], checkpoint={"every": 2}, train={"steps": steps}, **changes
        )
        api.run(recipe, output=tmp_path / "run", resume=resume)
        return sorted(path.name for path in (tmp_path / "run/strip").iterdir())

    return train


def test_a_strip_has_a_column_for_each_moment_and_one_for_the_end(train, tmp_path):
    assert train(5, at=[1, "80%"], rows=3) == ["step-0000001.png", "step-0000004.png", "step-0000005.png"]
    with (
        Image.open(tmp_path / "run/strip.png") as picture,
        Image.open(tmp_path / "run/strip/step-0000004.png") as column,
    ):
        assert picture.size == (3 * 8 + 2 * 2, 3 * 8 + 2 * 2)
        assert column.size == (8, 28)
        assert picture.crop((10, 0, 18, 28)).tobytes() == column.convert("RGB").tobytes(), "the second column"


def test_epochs_are_counted_by_the_data(train):
    """899 pictures in batches of 8: epoch 1 ends with step 113."""
    assert train(115, at=["1 epochs"]) == ["step-0000113.png", "step-0000115.png"]


def test_a_resumed_run_takes_the_columns_after_its_checkpoint_again(train, tmp_path):
    train(4, at=[1, 3])
    extra = tmp_path / "run/strip/step-0000009.png"
    extra.write_bytes((tmp_path / "run/strip/step-0000001.png").read_bytes())
    assert train(6, resume=True, at=[1, 3]) == [f"step-000000{n}.png" for n in (1, 3, 4, 6)]


def test_the_strip_of_a_resumed_run_has_no_column_of_where_it_stopped(train, tmp_path):
    """Moments 1 and 3 and the end: three columns of 8 pixels and two gaps, not a fourth of step 4."""
    train(4, at=[1, 3], rows=2)
    train(6, resume=True, at=[1, 3], rows=2)
    with Image.open(tmp_path / "run/strip.png") as picture:
        assert picture.width == 3 * 8 + 2 * 2


def test_moments_after_the_end_are_warned_of(tiny, make_run):
    run = make_run(tiny(observers=[{"strip": {"at": [20, "2 epochs"]}}]))
    assert ["no column of 2 epochs" in str(warning) for warning in run.experiment.warnings] == [True]


def test_a_translation_begins_with_its_inputs(train, tmp_path, small_cyclegan):
    recipe = {**small_cyclegan(), "observers": [{"strip": {"at": [1], "rows": 2}}]}
    api.run({**recipe, "train": {**recipe["train"], "steps": 1}}, output=tmp_path / "cycle")
    with (
        Image.open(tmp_path / "cycle/strip.png") as picture,
        Image.open(tmp_path / "cycle/strip/step-0000001.png") as column,
    ):
        assert picture.width == 2 * column.width + 2


def test_minutes_are_refused(train):
    with pytest.raises(RefusedError, match="other steps on another machine"):
        train(1, at=["3 minutes"])

"""Data sets as an outside author writes them, with the front door alone: arrays, row groups, no end, a chosen part."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from ganrun.catalog.catalog import Catalog
from ganrun.data.order import Bijection
from ganrun.data.reader import read_items
from ganrun.data.splits import datasets
from ganrun.errors import UserError
from ganrun.preflight.check import check as check_recipe
from ganrun.recipe import load_recipe
from ganrun.testing import Example, parametrize_with_checks
from ganrun.training.start import train

FOLDER = Path(__file__).parent / "third_party" / "one_file"
FILES = [FOLDER / f"{name}.py" for name in ("arrays", "row_groups", "procedural", "instance_selection")]
BILLION = 10**9
SMALL = {
    "variant": "gan",
    "generator": {"mlp": {"widths": [8]}},
    "discriminator": {"mlp": {"widths": [8]}},
    "loss": "non-saturating",
    "without": ["samples"],
    "train": {"steps": 4, "batch_size": 4, "device": "cpu"},
}
CROSS = [[0, 0], [2, 0], [-2, 0], [4, 0], [-4, 0], [0, 1], [0, -1]]


def arrays(folder):
    """Points of two splits in the folder."""
    for seed, split in enumerate(("train", "test")):
        np.save(folder / f"{split}.npy", np.random.default_rng(seed).standard_normal((12, 2)).astype(np.float32))
    return Example({"folder": str(folder)})


def texts(folder):
    """Rows of two splits in the folder: 12 rows of (row, its square)."""
    for sign, split in ((1, "train"), (-1, "test")):
        rows = "\n".join(f"{sign * (i + 1)},{(i + 1) ** 2 / 144}" for i in range(12))
        (folder / f"{split}.csv").write_text(f"row,square\n{rows}\n")
    return Example({"folder": str(folder), "group": 5})


EXAMPLES = {
    "dataset.arrays": arrays,
    "dataset.row-groups": texts,
    "dataset.instance-selection": Example({"dataset": {"ring": {"count": 24}}}),
}
NAMES = ["dataset.arrays", "dataset.row-groups", "dataset.spiral", "dataset.instance-selection"]


@parametrize_with_checks(NAMES, examples=EXAMPLES, modules=FILES)
def test_contract(plugin, check):
    check(plugin)


def opened(dataset, split="train"):
    recipe = load_recipe({**SMALL, "dataset": dataset}, catalog=Catalog(modules=FILES))
    return datasets(recipe)(split)


def read(data, indices):
    return torch.cat([batch["x"] for batch in read_items(data, indices)])


# --- arrays and row groups --------------------------------------------------------------------------------------


def test_images_are_read_from_an_array_file(tmp_path):
    x = np.arange(2 * 3 * 2 * 2, dtype=np.uint8).reshape(2, 3, 2, 2)
    np.save(tmp_path / "train.npy", x)
    data = opened({"arrays": {"folder": str(tmp_path)}})
    assert data.spaces["x"].shape == (3, 2, 2)
    torch.testing.assert_close(read(data, [1]), torch.from_numpy(x[1:] / 127.5 - 1).float())


def test_an_array_of_another_kind_is_refused_with_what_is_wanted(tmp_path):
    np.save(tmp_path / "train.npy", np.zeros((3, 2, 2)))
    with pytest.raises(UserError, match=r"holds float64 \(3, 2, 2\); wanted"):
        opened({"arrays": {"folder": str(tmp_path)}})


def test_row_groups_are_trained_on_in_their_order(tmp_path):
    """12 rows in batches of 4: the first three batches of any reader are the file from its start to its end."""
    recipe = load_recipe(
        {**SMALL, "dataset": {"row-groups": dict(texts(tmp_path).parameters)}}, catalog=Catalog(modules=FILES)
    )
    run = train(recipe, Catalog(modules=FILES), tmp_path / "run")
    reader = run.experiment.reader("discriminator", 4)
    rows = []
    for _ in range(4):
        rows += reader.get(4)["x"][:, 0].tolist()
        reader.advance(4)
    assert rows == [*range(1, 13), 1, 2, 3, 4]


def test_a_row_is_the_same_from_any_group(tmp_path):
    data = opened({"row-groups": dict(texts(tmp_path).parameters)})
    assert read(data, [11, 0, 4, 5])[:, 0].tolist() == [12, 1, 5, 6]


# --- without an end ---------------------------------------------------------------------------------------------


def endless(**changes):
    evaluators = [{"kernel-distance": {"features": "pixels", "samples": 64}}]
    return load_recipe(
        {**SMALL, "dataset": "spiral", "observers": ["health"], "evaluators": evaluators, **changes},
        catalog=Catalog(modules=FILES),
    )


def test_a_billion_items_are_checked_trained_on_and_scored_without_a_list_of_them(tmp_path):
    """Ten megabytes: an int64 an item would be 8,000 of them."""
    tracemalloc.start()
    experiment, _ = check_recipe(endless())
    run = train(endless(), Catalog(modules=FILES), tmp_path / "run")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert experiment.clock.dataset == run.experiment.clock.dataset == BILLION
    assert run.step == 4
    assert any(name.startswith("kernel-distance") for name in run.scores)
    assert peak < 10 << 20


def test_a_run_on_a_billion_items_reads_them_in_a_random_order(tmp_path):
    run = train(endless(), Catalog(modules=FILES), tmp_path / "run")
    x = run.experiment.reader("discriminator", 4).get(4)["x"]
    rows = Bijection(BILLION, 0, "reader", "discriminator", "order", 0)(np.arange(4))
    assert torch.equal(x, read(run.experiment.dataset, rows))


def test_a_run_on_a_billion_items_resumes_to_the_same_bits(tmp_path):
    catalog = Catalog(modules=FILES)
    whole = train(endless(), catalog, tmp_path / "whole")
    train(endless(train={**SMALL["train"], "steps": 2}), catalog, tmp_path / "halves")
    resumed = train(endless(), catalog, tmp_path / "halves", resume=True, force=True)
    for name, module in whole.experiment.modules.items():
        for key, value in module.state_dict().items():
            assert torch.equal(value, resumed.experiment.modules[name].state_dict()[key]), f"{name}.{key}"


def test_durations_in_epochs_of_a_billion_items_are_steps():
    clock = check_recipe(endless(train={**SMALL["train"], "steps": "2 epochs"}))[0].clock
    assert clock.total == 2 * BILLION // 4


# --- instance selection -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "rows"), [(1 / 7, [0]), (3 / 7, [0, 1, 2]), (5 / 7, [0, 1, 2, 3, 4]), (1, [0, 1, 2, 3, 4, 5, 6])]
)
def test_the_densest_points_of_a_cross_are_kept(tmp_path, share, rows):
    """Mean 0; variances (4 + 4 + 16 + 16) / 7 = 40/7 and 2/7, no covariance. Squared distances: 0 of the centre,
    4 x 7/40 = 0.7 at (2, 0), 16 x 7/40 = 2.8 at (4, 0), 7/2 = 3.5 at (0, 1), which is nearest but for the centre.
    """
    np.save(tmp_path / "train.npy", np.array(CROSS, np.float32))
    np.save(tmp_path / "test.npy", np.array(CROSS, np.float32) + 9)
    dataset = {"instance-selection": {"dataset": {"arrays": {"folder": str(tmp_path)}}, "share": share}}
    data = opened(dataset)
    assert data.rows.tolist() == rows
    assert read(data, range(len(data))).tolist() == [CROSS[row] for row in rows]
    assert len(opened(dataset, "test")) == 7


def test_digits_are_chosen_by_what_a_classifier_sees_in_them(tmp_path, monkeypatch):
    """Half of the digits, in the order of the data; features are kept on disk, and not computed again."""
    monkeypatch.setenv("GANRUN_DATA", str(tmp_path))
    dataset = {"instance-selection": {"dataset": {"digits": {"size": 8}}, "features": "random-conv"}}
    recipe = load_recipe({**SMALL, "dataset": dataset}, catalog=Catalog(modules=FILES))
    data = datasets(recipe)("train")
    assert len(data) == round(len(data.base) / 2)
    (kept,) = (tmp_path / "features").glob("*.safetensors")
    written = kept.stat().st_mtime_ns
    assert datasets(recipe)("train").rows.tolist() == data.rows.tolist()
    assert kept.stat().st_mtime_ns == written
    labels = [data.base.tensors["label"][row] for row in data.rows[:8]]
    assert torch.cat([batch["label"] for batch in read_items(data, range(8))]).tolist() == labels

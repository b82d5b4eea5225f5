"""The data set that hides labels: balanced, nested, a function of the seed, and whole for evaluators."""

import pytest
import torch
from sgan_recipe import recipe_of

from ganrun.catalog.catalog import Catalog
from ganrun.data.reader import Reader
from ganrun.errors import DataError
from ganrun.preflight.check import check
from ganrun.recipe import load_recipe
from ganrun_plugins.datasets.digits import Digits
from ganrun_plugins.datasets.semi_supervised import balanced_order


def dataset_of(make_run, **parameters):
    parameters = {"dataset": {"digits": {"size": 8}}, **parameters}
    run = make_run(recipe_of(dataset={"semi-supervised": parameters}))
    return run.experiment.dataset, run.evaluation.dataset("test")


def test_an_order_takes_the_classes_in_turn():
    """Three of class 0, two of 1, one of 2: rounds 012, 01, 0."""
    label = torch.tensor([0, 1, 0, 2, 0, 1])
    order = balanced_order(label, 3, seed=0)
    assert label[order].tolist() == [0, 1, 2, 0, 1, 0]
    assert sorted(order.tolist()) == list(range(6))


def test_labels_are_balanced_nested_and_a_function_of_the_seed(make_run):
    base = Digits(None, "train", size=8)
    chosen = {n: dataset_of(make_run, labels=n)[0].chosen for n in (25, 50, 100, 1000)}
    assert base.tensors["label"][chosen[100]].bincount().tolist() == [10] * 10
    assert sorted(base.tensors["label"][chosen[25]].bincount().tolist()) == [2] * 5 + [3] * 5
    assert set(chosen[25].tolist()) < set(chosen[50].tolist()) < set(chosen[100].tolist())
    assert chosen[1000].tolist() == list(range(899))  # all there are
    other, _ = dataset_of(make_run, labels=100, seed=1)
    assert len(set(other.chosen.tolist()) & set(chosen[100].tolist())) < 50
    assert (
        other.fingerprint()
        != dataset_of(make_run, labels=100)[0].fingerprint()
        != dataset_of(make_run, labels=50)[0].fingerprint()
    )


def test_only_the_chosen_images_come_with_labels_and_those_are_true(make_run):
    data, _ = dataset_of(make_run, labels=30)
    base = Digits(None, "train", size=8)
    allowed = {base.tensors["x"][i].numpy().tobytes(): int(base.tensors["label"][i]) for i in data.chosen}
    everything = {x.numpy().tobytes() for x in base.tensors["x"]}
    reader = Reader(data, ("test",), batch_rows=100)
    seen, images, repeated = {}, set(), 0
    for _ in range(8):
        batch = reader.get(100)
        reader.advance(100)
        raw = {name: ((batch[name] + 1) * 127.5).round().to(torch.uint8) for name in ("x", "labelled")}
        for x, known, label in zip(raw["x"], raw["labelled"], batch["label"]):
            seen[known.numpy().tobytes()] = int(label)
            images.add(x.numpy().tobytes())
            repeated += torch.equal(x, known)
    assert seen == allowed  # 800 draws of 30: each comes
    assert len(images) > 750  # an epoch of all images, not of the 30
    assert images <= everything
    assert repeated < 10  # the two orders know nothing of each other: 800 / 899 in the mean


def test_the_test_split_hides_nothing(make_run):
    _, held = dataset_of(make_run, labels=10)
    base = Digits(None, "test", size=8)
    batch = Reader(held, ("test",), batch_rows=50).get(50)
    assert torch.equal(batch["x"], batch["labelled"])
    rows = {x.numpy().tobytes(): int(label) for x, label in zip(base.tensors["x"], base.tensors["label"])}
    raw = ((batch["x"] + 1) * 127.5).round().to(torch.uint8)
    assert [rows[x.numpy().tobytes()] for x in raw] == batch["label"].tolist()


def test_evaluators_get_all_true_labels_of_the_train_split(make_run):
    data, _ = dataset_of(make_run, labels=10)
    x, label = data.labelled("x")
    base = Digits(None, "train", size=8)
    assert torch.equal(label, base.tensors["label"])
    assert torch.equal(((x + 1) * 127.5).round().to(torch.uint8), base.tensors["x"])
    assert data.subjects == dict.fromkeys(("x", "labelled"), base.subjects["x"])


def test_a_data_set_without_labels_has_none_to_hide(make_run):
    with pytest.raises(DataError, match="x and label are wanted"):
        dataset_of(make_run, dataset={"restyled-digits": {"size": 8}})


def test_published_data_are_checked_before_they_are_here(monkeypatch):
    monkeypatch.setattr("ganrun.data.download.fetch", lambda *args, **kwargs: pytest.fail("a check must not download"))
    data = {"semi-supervised": {"dataset": {"mnist": {"size": 32}}, "labels": 100}}
    experiment, _ = check(
        load_recipe({"variant": "sgan", "dataset": data, "train": {"device": "cpu", "steps": 1}}, catalog=Catalog())
    )
    assert (experiment.clock.dataset, set(experiment.dataset.spaces)) == (60_000, {"x", "labelled", "label"})

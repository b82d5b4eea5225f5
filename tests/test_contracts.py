"""Every installed built-in plugin keeps the contract of its kind: it is tested the moment it is listed."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganrun.catalog import Catalog
from ganrun.testing import Example, Plugin, checks_of, parametrize_with_checks

SMALL_TRANSLATION = {
    "generator": {"resnet-translator": {"blocks": 1, "width": 4}},
    "discriminator": {"patchgan": {"layers": 1, "width": 4}},
    "dataset": {"restyled-digits": {"size": 8}},
}


def pictures(folder: Path, *names: str, count: int = 12) -> None:
    """Folders of small pictures of noise, all different."""
    noise = np.random.default_rng(0)
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            Image.fromarray(noise.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(folder / name / f"{number}.png")


def image_folder(folder: Path) -> Example:
    pictures(folder, "one", "two")
    networks = {"mlp": {"widths": [16], "norm": "none"}}
    return Example({"root": str(folder), "size": 8}, {"generator": networks, "discriminator": networks})


def unpaired_folders(folder: Path) -> Example:
    pictures(folder, "trainA", "trainB", "testA", "testB")
    return Example({"root": str(folder), "size": 8, "load_size": 10}, {k: v for k, v in SMALL_TRANSLATION.items() if k != "dataset"})


BATCH_NORMS = {player: {"mlp": {"widths": [16, 16], "norm": "batch"}} for player in ("generator", "discriminator")}
SMALL_AUTOENCODER = {"width": 4, "widths": [16], "code": 8}
ENERGY = {"discriminator": {"autoencoder": SMALL_AUTOENCODER}}

EXAMPLES = {
    "dataset.horse2zebra": unpaired_folders,
    "dataset.image-folder": image_folder,
    "dataset.unpaired-folders": unpaired_folders,
    "discriminator.autoencoder": Example(SMALL_AUTOENCODER),
    "discriminator.patchgan": Example({"layers": 1, "width": 8}),
    "generator.resnet-translator": Example({"blocks": 1, "width": 8}),
    "loss.began": Example({}, ENERGY),
    "loss.ebgan": Example({}, ENERGY),
    "loss.magan": Example({"pretrain": 1}, ENERGY),
    "observer.tracker": Example({"name": "tensorboard"}),
    "trick.ada": Example({"kimg": 0.1, "start": 0.5}),
    "trick.gradient-clipping": Example({"max_norm": 0.05}),
    "trick.lecam": Example({"start": 2}),
    "trick.loss-balance": Example({}, {"tricks": ["historical-averaging"]}),  # a second term
    "trick.norm-swap": Example({"of": "any"}, BATCH_NORMS),
    "trick.top-k": Example({"gamma": 0.7}, {"dataset": {"ring": {"count": 32}}}),  # an epoch of 4 steps
    "trick.virtual-batch-norm": Example({}, BATCH_NORMS),
    "variant.cyclegan": Example({}, SMALL_TRANSLATION),
}
BUILT_IN = [entry.qualified for entry in Catalog(disabled=()).entries() if entry.distribution == "ganrun"]


@parametrize_with_checks(BUILT_IN, examples=EXAMPLES)
def test_contract(plugin, check):
    check(plugin)


def test_an_expected_failure_that_names_no_check_is_an_error():
    with pytest.raises(ValueError, match="did you mean 'check_source'"):
        parametrize_with_checks(["loss.minimax"], expected_failures={"check_sources": "a slip"})


def test_an_expected_failure_is_strict_and_belongs_to_the_plugins_it_names():
    reasons = {"check_source": "unpublished", "loss.minimax:check_summary": "too long"}
    (cases,) = parametrize_with_checks(["loss.minimax", "trick.ema"], expected_failures=reasons).mark.args[1:]
    marked = {case.id: case.marks[0] for case in cases if case.marks}
    assert set(marked) == {"loss.minimax-check_source", "trick.ema-check_source", "loss.minimax-check_summary"}
    assert all(mark.name == "xfail" and mark.kwargs["strict"] for mark in marked.values())
    assert marked["loss.minimax-check_summary"].kwargs["reason"] == "too long"


def test_what_needs_a_download_is_left_out_and_nothing_else():
    published, held = ({check.__name__ for check in checks_of(Plugin(name))} for name in ("dataset.mnist", "dataset.digits"))
    assert {"check_entry_point", "check_parameters_and_hooks"} <= published
    assert {"check_batch_agrees_with_spaces", "check_resumes"} <= held - published

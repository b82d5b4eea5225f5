"""What scores are called, where they are from, and what is kept of them."""

import math

import pytest
import torch

from ganrun import jsonl
from ganrun.catalog.catalog import Catalog
from ganrun.data.reader import InMemory
from ganrun.evaluation.provenance import FILE, Measured, differences, few, joined, keep, kept
from ganrun.evaluation.scores import Score, share
from ganrun.training.scoring import evaluate
from ganrun.words.spaces import Space

PIXELS = {"frechet-distance": {"features": "pixels", "samples": 100}}


@pytest.fixture
def scored(tiny, make_run, tmp_path):
    """A function: a run with a folder whose evaluators have run."""

    def make(*evaluators, plugins=None, **changes):
        run = make_run(tiny(evaluators=list(evaluators), **changes), plugins)
        run.folder = run.evaluation.folder = tmp_path
        run.step = run.steps
        return run, evaluate(run)

    return make


def test_the_name_of_a_score_says_its_evaluator_its_features_and_its_key():
    assert [joined("a", key) for key in ("", "[pixels]", "[pixels].spread", "modes")] == [
        "a",
        "a[pixels]",
        "a[pixels].spread",
        "a.modes",
    ]


def test_a_score_is_kept_with_everything_that_decided_it(scored, tmp_path):
    run, _ = scored(PIXELS)
    (line,) = jsonl.read(tmp_path / FILE)
    about = line["provenance"]
    assert about["alike"]["evaluator"]["frechet-distance"]["split"] == "test"
    assert about["alike"]["samples"] == [100]
    assert about["alike"]["real"] == {"test": {"samples": 512, "data": run.dataset("test").fingerprint()}}
    assert about["alike"]["features"]["pixels"]["hash"] == "pixels"
    assert about["alike"]["quantisation"] == "none", "points are not rounded"
    assert about["weights"] == {"generator": "trained"}
    assert (about["step"], about["seed"]) == (20, 0)
    assert {"ganrun", "torch", "evaluator.frechet-distance", "features.pixels"} <= about["versions"].keys()


def test_scores_of_some_real_samples_say_of_how_many(scored, tmp_path):
    scored({"parzen-likelihood": {"samples": 50, "test": 100, "validation": 512}})
    (line,) = jsonl.read(tmp_path / FILE)
    real = line["provenance"]["alike"]["real"]
    assert (real["test"]["samples"], real["test"]["of"]) == (100, 512)
    assert real["train"].keys() == {"samples", "data"}, "all of them"


def test_a_score_that_asks_for_no_real_samples_says_of_which_data_it_is(scored, tmp_path):
    """Two rings whose modes are unlike: what is within three deviations is not comparable."""
    for sd in (0.02, 0.1):
        scored({"mode-coverage": {"samples": 50}}, dataset={"ring": {"count": 300, "sd": sd}})
    wide, narrow = (found.provenance for found in reversed(kept(tmp_path, Catalog())))
    assert narrow["alike"]["real"]["test"].keys() == {"data"}
    assert narrow["data"]["ring"]["sd"] == 0.02
    assert wide["data"]["ring"]["sd"] == 0.1
    (different,) = differences(narrow["alike"], wide["alike"])
    assert different.startswith("real.test.data: ")
    assert few(Score(1.0, enough=1000), narrow) == "50 samples, where this score takes 1,000"


def test_data_without_a_fingerprint_are_told_by_name_and_parameters(scored, tmp_path):
    class Plain(InMemory):
        def __init__(self, files, split, *, shift: float = 0.0) -> None:
            x = torch.randn(300, 2, generator=torch.Generator().manual_seed(0)) + shift
            super().__init__({"x": x}, {"x": Space("points", (2,))}, [])

        fingerprint = property()  # as if there were none

    scored(PIXELS, dataset={"plain": {"shift": 2.0}}, plugins={"dataset.plain": Plain})
    (line,) = jsonl.read(tmp_path / FILE)
    assert line["provenance"]["alike"]["real"]["test"]["data"] == '{"plain": {"shift": 2.0}}, 300 items'


def test_averaged_weights_are_named(scored, tmp_path):
    run, _ = scored(PIXELS, tricks=["ema"])
    assert jsonl.read(tmp_path / FILE)[0]["provenance"]["weights"] == {"generator": "trained"}, (
        "there is no average before training"
    )
    run.step = 0
    run.train()
    assert jsonl.read(tmp_path / FILE)[-1]["provenance"]["weights"] == {"generator": "average"}


def test_kept_scores_come_back_the_newest_of_each_evaluator(scored, tmp_path):
    class Changing:
        def __init__(self):
            self.calls = 0

        def evaluate(self, evaluation):
            self.calls += 1
            return {"value": share(self.calls, 4, enough=10), "bad": math.nan, "far": math.inf, "none": share(0, 4)}

    run, _ = scored("changing", plugins={"evaluator.changing": Changing})
    evaluate(run)
    (found,) = kept(tmp_path, Catalog())
    assert found.scores["changing.value"] == share(2, 4, enough=10)
    assert found.scores["changing.none"] == share(0, 4)
    assert found.scores["changing.far"].value == math.inf
    assert math.isnan(found.scores["changing.bad"].value)
    assert "NaN" not in (tmp_path / FILE).read_text()


def one_line(step, samples, value):
    """A score of a step as it is kept."""
    alike = {"evaluator": {"distance": {}}, "samples": [samples], "features": {}, "real": {}}
    return Measured("distance", {"distance": Score(value)}, {"alike": alike, "step": step})


def test_kept_scores_are_of_the_latest_step_and_of_each_way_to_ask(tmp_path):
    """An older checkpoint scored later does not hide the newest one, nor do 100 samples hide 900."""
    for measured in (
        one_line(10, 900, 1.0),
        one_line(20, 900, 2.0),
        one_line(20, 100, 3.0),
        one_line(10, 900, 4.0),
        one_line(20, 100, 5.0),
    ):
        keep(tmp_path, measured)
    assert sorted(found.scores["distance"].value for found in kept(tmp_path, Catalog())) == [2.0, 5.0]


def test_lines_of_another_version_are_passed_over(tmp_path):
    keep(tmp_path, one_line(10, 900, 1.0))
    whole = jsonl.read(tmp_path / FILE)[0]
    for other in (
        {"step": 1, "distance": 3.0},
        whole | {"scores": {"distance": 2.0}},
        whole | {"provenance": {}},
        whole | {"scores": {"d": {"new": 1}}},
    ):
        jsonl.append(tmp_path / FILE, other)
    assert [found.scores["distance"].value for found in kept(tmp_path, Catalog())] == [1.0]


def test_equal_conditions_are_alike_and_others_are_not():
    one, same, other = ({"alike": {"samples": [n], "real": {"test": {"samples": 512}}}} for n in (100, 100, 200))
    assert Measured("a", {}, one).kind == Measured("b", {}, same).kind != Measured("a", {}, other).kind
    assert differences(one["alike"], other["alike"]) == ["samples: [100], and [200]"]
    assert differences({"real": {"test": 1}}, {"real": {"train": 2}}) == [
        "real.test: 1, and null",
        "real.train: null, and 2",
    ]


def test_too_few_samples_are_told_by_the_smaller_side():
    about = {"alike": {"samples": [5000], "real": {"test": {"samples": 898}}}}
    assert few(Score(1.0, enough=1000), about) == "898 samples, where this score takes 1,000"
    assert few(Score(1.0, enough=898), about) == ""
    assert few(Score(1.0), about) == ""


def test_kept_scores_have_the_names_that_their_parameters_have_now(tmp_path):
    """So that scores of an older run stand in one column with those of a new one."""
    for name in ("floor", "real_against_real"):
        alike = {"evaluator": {"frechet-distance": {name: "splits"}}, "samples": [9], "features": {}, "real": {}}
        scores = {"frechet-distance[pixels]": Score(3.0), f"frechet-distance[pixels].{name}": Score(1.0)}
        keep(tmp_path, Measured("frechet-distance", scores, {"alike": alike, "step": 10}))
    (found,) = kept(tmp_path, Catalog())
    assert list(found.scores) == ["frechet-distance[pixels]", "frechet-distance[pixels].real_against_real"]
    assert found.provenance["alike"]["evaluator"] == {"frechet-distance": {"real_against_real": "splits"}}


def of_pairs(scores, parameters, shape):
    alike = {"evaluator": {"psnr-ssim": parameters}, "samples": [9], "features": {}, "real": {}, "shape": shape}
    return Measured("psnr-ssim", {f"psnr-ssim.{name}": Score(1.0) for name in scores}, {"alike": alike, "step": 10})


@pytest.mark.parametrize(
    ("scores", "channel", "channels", "now"),
    [
        (("rec.psnr", "rec.ssim"), "y", 1, ("rec.psnr.y", "rec.ssim.y")),
        (("rec.psnr",), "rgb", 3, ("rec.psnr.rgb",)),
        (("rec.psnr",), "rgb", 1, ("rec.psnr.y",)),
        (("rec_b.psnr", "b.psnr", "a-to-b.psnr"), "y", 3, ("rec_b.psnr.y", "a-to-b.psnr.y")),
        (("rec.psnr.rgb",), None, 3, ("rec.psnr.rgb",)),
    ],
)
def test_kept_scores_of_pairs_say_what_they_looked_at(tmp_path, scores, channel, channels, now):
    """A score that stood there twice, as b and as a-to-b, is one; grey has one channel whatever was asked for."""
    keep(tmp_path, of_pairs(scores, {"channel": channel, "border": 4}, [channels, 8, 8]))
    (found,) = kept(tmp_path, Catalog())
    assert list(found.scores) == [f"psnr-ssim.{name}" for name in now]
    assert found.provenance["alike"]["evaluator"]["psnr-ssim"] == {"channel": now[0].rpartition(".")[2], "border": 4}


def test_kept_scores_of_enlargements_say_what_they_looked_at(tmp_path):
    alike = {"evaluator": {"super-resolution": {"channel": "y"}}, "samples": [9], "features": {}, "real": {}}
    names = ("bicubic.psnr", "bicubic.ssim", "gain")
    scores = {f"super-resolution.{name}": Score(1.0) for name in names}
    keep(tmp_path, Measured("super-resolution", scores, {"alike": alike | {"shape": [3, 8, 8]}, "step": 10}))
    assert list(kept(tmp_path, Catalog())[0].scores) == [f"super-resolution.{name}.y" for name in names]


def test_a_translation_says_which_way_it_goes(scored, tmp_path):
    """Both ways are scored under one name, on data of one fingerprint: they are not alike."""
    small = {
        "generator": {"unet": {"width": 4}},
        "discriminator": {"patchgan": {"layers": 1, "width": 4, "norm": "none"}},
        "dataset": {"paired-digits": {"size": 8, "classes": ["0"]}},
    }
    for way in ("ab", "ba"):
        scored({"frechet-distance": {"features": "pixels"}}, variant={"pix2pix": {"direction": way}}, **small)
    one, other = (line["provenance"]["alike"] for line in jsonl.read(tmp_path / FILE))
    assert (one["entry"], other["entry"]) == ("b", "a")
    assert {'entry: "b", and "a"'} <= set(differences(one, other))

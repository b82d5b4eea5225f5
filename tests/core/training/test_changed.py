"""A run that is resumed with another length, or on other data: what stays as it was, and what is said."""

import json

import pytest

import ganrun
from ganrun.schedule import Clock, Scheduled
from ganrun.training import checkpoint


@pytest.fixture
def train(tiny, tmp_path):
    """Train a recipe whose generator's rate falls from 0.01 to 0 over the run, in one folder."""

    def train(steps=10, resume=False, force=False, **settings):
        falling = {"generator": {"optimizer": {"sgd": {"lr": {"linear": [0.01, 0.0]}}}}}
        dataset = {"ring": {"count": settings.pop("count", 512)}}
        recipe = tiny(
            players=falling,
            dataset=dataset,
            observers=["checkpoints", {"metrics-log": {"every": 1}}],
            without=["progress", "samples", "health"],
            train={"steps": steps, **settings},
        )
        return ganrun.run(recipe, output=tmp_path / "run", resume=resume, force=force)

    return train


def rates(tmp_path):
    """Step -> rate of the generator."""
    lines = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    return {line["step"]: pytest.approx(line["rate/generator"]) for line in map(json.loads, lines)}


def test_percentages_may_be_of_another_length_than_the_run():
    ramp = Scheduled({"linear": [1.0, 0.0], "until": "50%"})
    assert [ramp.at(5, Clock(40, 1, 1, percent_of=20)), ramp.at(5, Clock(40, 1, 1))] == [0.5, 0.75]


def test_a_longer_run_keeps_the_rates_of_the_length_that_it_began_with_and_says_so(train, tmp_path, capsys):
    """The rate of the k-th step of 10 is 0.01 (1 - (k - 1) / 10); after the 10th it is 0."""
    train()
    run = train(20, resume=True)
    assert rates(tmp_path) == {k: 0.01 * (1 - (k - 1) / 10) if k <= 10 else 0.0 for k in range(1, 21)}
    said = capsys.readouterr().out
    assert "train.steps: 10 before, 20 now" in said
    assert "percentages stay those of 10 steps (train.percent_of)" in said
    assert "players.generator.optimizer.sgd.lr: 0.001 in step 10; 0 in step 11, 0 in step 20" in said
    assert "discriminator" not in said
    assert run.recipe.resolved["train"]["percent_of"] == 10
    assert "percent_of: 10\n" in (tmp_path / "run/recipe.yaml").read_text()


def test_a_run_made_longer_twice_keeps_the_first_length(train, capsys):
    train()
    train(20, resume=True)
    capsys.readouterr()
    assert train(30, resume=True).recipe.train.percent_of.amount == 10
    assert "percentages stay those of 10 steps" in capsys.readouterr().out


def test_percentages_of_the_new_length_are_asked_for_and_the_jump_is_said(train, tmp_path, capsys):
    """At step 11 of 20 half of the rate is left."""
    train()
    train(20, resume=True, percent_of=20)
    assert rates(tmp_path)[11] == pytest.approx(0.005)
    said = capsys.readouterr().out
    assert "percentages are of 20 steps now, of 10 before (train.percent_of)" in said
    assert "sgd.lr: 0.001 in step 10; 0.005 in step 11, 0.0005 in step 20" in said


def test_a_run_resumed_as_it_was_says_nothing(train, tmp_path, capsys):
    train()
    (tmp_path / "run/checkpoints/step-0000010").rename(tmp_path / "gone")
    checkpoint.write(tmp_path / "run/checkpoints", 5, checkpoint.read(tmp_path / "gone")[1] | {"step": 5})
    assert train(resume=True).recipe.train.percent_of is None
    assert capsys.readouterr().out == ""


def test_data_that_changed_are_named(train, tmp_path, capsys):
    """A recipe with fewer items is another one; the same recipe may find fewer in the same place."""
    train()
    kept = json.loads((tmp_path / "run/versions.json").read_text())
    assert kept["data"]["items"] == 512
    train(11, resume=True, force=True, count=500)
    said = capsys.readouterr().out
    assert "warning: the training data are not those of before: 512 items then, 500 now; fingerprint " in said
    kept["data"] |= {"items": 500, "fingerprint": "0123456789abcdef"}
    (tmp_path / "run/versions.json").write_text(json.dumps(kept))
    train(11, resume=True, count=500)
    assert "not those of before: fingerprint 0123456789ab then, " in capsys.readouterr().out


def test_a_run_of_a_version_that_kept_no_fingerprint_is_resumed_in_silence(train, tmp_path, capsys):
    train()
    kept = json.loads((tmp_path / "run/versions.json").read_text())
    del kept["data"]["fingerprint"]
    (tmp_path / "run/versions.json").write_text(json.dumps(kept))
    train(resume=True)
    assert capsys.readouterr().out == ""

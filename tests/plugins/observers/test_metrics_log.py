"""The lines of metrics.jsonl: when they come, what they hold, and what a resume cuts."""

import json
import math

import pytest

from ganrun import api
from ganrun.jsonl import truncate


class Score:
    def evaluate(self, evaluation):
        return {"value": float("nan"), "good": 0.5}


@pytest.fixture
def train(tmp_path, tiny, plugin_module):
    def train(steps=10, every=4, resume=False, evaluators=(), **changes):
        observers = [{"metrics-log": {"every": every}}, "checkpoints"]
        recipe = tiny(observers=observers, train={"steps": steps}, evaluators=list(evaluators), **changes)
        api.run(recipe, output=tmp_path / "run", resume=resume, plugins=[plugin_module({"evaluator.score": Score})])
        return [
            json.loads(line, parse_constant=pytest.fail)
            for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()
        ]

    return train


def without_time(lines):
    return [{name: value for name, value in line.items() if name != "time"} for line in lines]


def test_a_line_comes_on_the_stride_and_at_the_end(train):
    assert [line["step"] for line in train()] == [4, 8, 10]


def test_a_line_holds_terms_rates_and_the_time(train):
    line = train(players={"generator": {"optimizer": {"adam": {"lr": {"linear": [1.0, 0.0]}}}}})[0]
    terms = {"discriminator/adversarial.real", "discriminator/adversarial.fake", "generator/adversarial.fake"}
    assert set(line) == {"step", "time", "rate/discriminator", "rate/generator"} | terms
    assert line["rate/generator"] == pytest.approx(0.7)  # step 4 is the one counted 3 from 0
    assert all(math.isfinite(line[name]) for name in terms)


def test_scores_come_in_the_line_of_their_step_and_nan_is_null(train):
    lines = train(evaluators=[{"score": {"every": 3}}], every=100)
    assert [line["step"] for line in lines] == [3, 6, 9, 10]
    assert all(line["score.value"] is None and line["score.good"] == 0.5 for line in lines)


def test_a_resumed_log_equals_one_never_interrupted(train, tmp_path):
    whole = without_time(train(steps=12, every=2))
    path = tmp_path / "run"
    path.rename(tmp_path / "whole")
    train(steps=7, every=2, checkpoint={"every": 7})
    with (path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8}\n{"step": 9, "tim')
    resumed = without_time(train(steps=12, every=2, checkpoint={"every": 7}, resume=True))
    assert [line for line in resumed if line["step"] != 7] == whole


@pytest.mark.parametrize("torn", ['{"step": 3, "a', "[1]\n", "{}\n", '{"step": "x"}\n', "\0\0\0\n"])
def test_torn_and_later_lines_are_cut(tmp_path, torn):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n' + torn)
    truncate(path, 2)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'


def test_cutting_nothing_leaves_the_file_alone(tmp_path):
    truncate(tmp_path / "absent", 0)
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n')
    before = path.stat().st_ino
    truncate(path, 1)
    assert path.stat().st_ino == before

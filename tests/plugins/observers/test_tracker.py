"""Trackers of Accelerate: what they are sent, and what is refused before training."""

import pytest
from tensorboard.backend.event_processing import event_accumulator

from ganrun import api
from ganrun.training.build import RefusedError
from ganrun.words.hooks import hookimpl
from ganrun_plugins.observers import _tracker
from ganrun_plugins.observers._tracker import flat


def recording(sent):
    """A tracker's class that records what it is sent."""

    class Recording:
        requires_logging_directory = True

        def __init__(self, project, folder):
            sent.append(("new", project, folder.name))

        def start(self):
            sent.append("start")

        def store_init_configuration(self, values):
            sent.append(("configuration", values["train.steps"]))

        def log(self, values, step):
            sent.append(("log", step, sorted(values)))

        def log_images(self, values, step):
            sent.append(("images", step, values["samples"][0].size))

        def finish(self):
            sent.append("finish")

    return Recording


class Score:
    def evaluate(self, evaluation):
        return {"distance": 1.25}


def test_a_tracker_gets_terms_rates_scores_and_pictures(monkeypatch, tiny, tmp_path, plugin_module):
    sent = []
    monkeypatch.setattr(_tracker, "_known", lambda: {"mine": recording(sent)})
    monkeypatch.setattr(_tracker, "_available", lambda: {"mine"})
    recipe = tiny(
        observers=[{"samples": {"every": 2, "points": 5}}, {"tracker": {"name": "mine", "every": 2, "project": "p"}}],
        evaluators=[{"score": {"every": 3}}],
        train={"steps": 4},
    )
    api.run(recipe, output=tmp_path / "run", plugins=[plugin_module({"evaluator.score": Score})])
    terms = ["discriminator/adversarial.fake", "discriminator/adversarial.real", "generator/adversarial.fake"]
    usual = sorted([*terms, "rate/discriminator", "rate/generator"])
    assert sent == [
        ("new", "p", "tracker"),
        "start",
        ("configuration", 4),
        ("log", 2, usual),
        ("images", 2, (480, 480)),
        ("log", 3, sorted([*usual, "score.distance"])),
        ("log", 4, sorted([*usual, "score.distance"])),
        ("images", 4, (480, 480)),
        "finish",
    ]


def test_tensorboard_gets_scalars_and_the_picture(tiny, tmp_path):
    recipe = tiny(observers=[{"samples": {"points": 5}}, {"tensorboard": {"every": 2}}], train={"steps": 4})
    api.run(recipe, output=tmp_path / "run")
    events = event_accumulator.EventAccumulator(str(tmp_path / "run/tracker"))
    events.Reload()
    assert [event.step for event in events.Scalars("generator/adversarial.fake")] == [2, 4]
    assert [event.step for event in events.Images("samples")][-1] == 4


def test_a_resumed_tensorboard_shows_each_step_once(tiny, tmp_path):
    def recipe(steps):
        return tiny(
            observers=[{"tensorboard": {"every": 1}}, "checkpoints"], train={"steps": steps}, checkpoint={"every": 2}
        )

    api.run(recipe(3), output=tmp_path / "run")
    (last,) = (tmp_path / "run/checkpoints").glob("step-0000003")
    last.rename(tmp_path / "gone")
    api.run(recipe(5), output=tmp_path / "run", resume=True)
    events = event_accumulator.EventAccumulator(str(tmp_path / "run/tracker"))
    events.Reload()
    assert [event.step for event in events.Scalars("rate/generator")] == [1, 2, 3, 4, 5]


def test_a_resumed_tracker_does_not_send_a_picture_again(monkeypatch, tiny, tmp_path):
    sent = []
    monkeypatch.setattr(_tracker, "_known", lambda: {"mine": recording(sent)})
    monkeypatch.setattr(_tracker, "_available", lambda: {"mine"})

    def recipe(steps):
        observers = [{"samples": {"every": 2, "points": 5}}, {"tracker": {"name": "mine", "every": 1}}, "checkpoints"]
        return tiny(observers=observers, train={"steps": steps})

    api.run(recipe(2), output=tmp_path / "run")
    api.run(recipe(4), output=tmp_path / "run", resume=True)
    assert [entry[1] for entry in sent if entry[0] == "images"] == [2, 4]


class GoBack:
    """Once, at the end of step 5, to the checkpoint of step 2."""

    @hookimpl
    def step_end(self, run):
        if run.step == 5 and not run.rollbacks:
            assert run.roll_back("a whim", before=3)


def test_a_tensorboard_of_a_run_that_went_back_shows_each_step_once(tiny, tmp_path, plugin_module):
    observers = [{"tensorboard": {"every": 1}}, "checkpoints", "go-back"]
    recipe = tiny(observers=observers, train={"steps": 6}, checkpoint={"every": 2})
    run = api.run(recipe, output=tmp_path / "run", plugins=[plugin_module({"observer.go-back": GoBack})])
    assert run.rollbacks[0]["to"] == 2
    events = event_accumulator.EventAccumulator(str(tmp_path / "run/tracker"))
    events.Reload()
    assert [event.step for event in events.Scalars("rate/generator")] == [1, 2, 3, 4, 5, 6]


def test_a_tracker_starts_again_after_a_step_back(monkeypatch, tiny, tmp_path, plugin_module):
    sent = []
    monkeypatch.setattr(_tracker, "_known", lambda: {"mine": recording(sent)})
    monkeypatch.setattr(_tracker, "_available", lambda: {"mine"})
    observers = [
        {"samples": {"every": 2, "points": 5}},
        {"tracker": {"name": "mine", "every": 2}},
        "checkpoints",
        "go-back",
    ]
    recipe = tiny(
        observers=observers, train={"steps": 6}, checkpoint={"every": 2}, evaluators=[{"score": {"every": 5}}]
    )
    api.run(
        recipe, output=tmp_path / "run", plugins=[plugin_module({"evaluator.score": Score, "observer.go-back": GoBack})]
    )
    assert [entry if isinstance(entry, str) else entry[:2] for entry in sent] == [
        ("new", "ganrun"),
        "start",
        ("configuration", 6),
        ("log", 2),
        ("images", 2),
        ("log", 4),
        ("images", 4),
        ("log", 5),
        "finish",
        ("new", "ganrun"),
        "start",
        ("configuration", 6),
        ("log", 4),
        ("images", 4),
        ("log", 5),
        ("log", 6),
        ("images", 6),
        "finish",
    ]


@pytest.mark.parametrize(
    ("observer", "message"),
    [
        ({"tracker": {"name": "wandbb"}}, "no tracker 'wandbb'"),
        ({"tracker": {"name": "comet_ml"}}, "pip install comet-ml"),
        ("tensorboard", r"pip install 'ganrun\[tensorboard\]'"),
    ],
)
def test_a_tracker_that_is_not_there_is_refused_before_training(monkeypatch, tiny, tmp_path, observer, message):
    monkeypatch.setattr(_tracker, "_available", set)
    with pytest.raises(RefusedError, match=message):
        api.run(tiny(observers=[observer]), output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_plain_data_is_flattened():
    assert dict(flat({"a": {"b": [1, {"c": "x"}]}, "d": None, "e": True})) == {"a.b.0": 1, "a.b.1.c": "x", "e": True}

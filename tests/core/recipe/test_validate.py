"""Mistakes in a recipe: each is reported with file, line, column, path and a way to mend it, all at once."""

from __future__ import annotations

import pytest

from ganrun.catalog.catalog import Catalog
from ganrun.errors import UserError
from ganrun.recipe import RecipeError, load_recipe
from ganrun.recipe.yaml import read_file

GOOD = {"variant": "toy", "dataset": "digits"}


def recipe(text: str) -> str:
    """The text as lines 3 and following of a recipe that is complete otherwise."""
    return f"variant: toy\ndataset: digits\n{text}"


ONE = [
    # unknown keys at every level
    ("trian: {steps: 3}", '3:1: trian: unknown key; did you mean "train"?'),
    (
        "zzz: 3",
        "3:1: zzz: unknown key; a recipe takes extends, variant, dataset, generator, discriminator, loss, "
        "sampler, tricks, without, players, evaluators, observers, checkpoint, train, init",
    ),
    ("loss:\n  wasserstein:\n    clpi: 1", '5:5: loss.wasserstein.clpi: unknown key; did you mean "clip"?'),
    ("loss: {wasserstein: {zzz: 1}}", '3:22: loss.wasserstein.zzz: unknown key; loss "wasserstein" takes clip, drift'),
    ("sampler: {normal: {sd: 1}}", '3:20: sampler.normal.sd: unknown key; sampler "normal" takes no parameters'),
    ("train: {stps: 3}", '3:9: train.stps: unknown key; did you mean "steps"?'),
    ("train: {batch-size: 3}", '3:9: train.batch-size: unknown key; did you mean "batch_size"?'),
    (
        "players: {critic: {lr: 3}}",
        "3:20: players.critic.lr: unknown key; a player takes optimizer, updates, init, freeze",
    ),
    (
        "players: {critic: {optimizer: {adam: {lrr: 3}}}}",
        '3:39: players.critic.optimizer.adam.lrr: unknown key; did you mean "lr"?',
    ),
    ("players: {critic: {init: {gian: 3}}}", '3:27: players.critic.init.gian: unknown key; did you mean "gain"?'),
    ("evaluators: [distance: {evry: 3}]", '3:25: evaluators.0.distance.evry: unknown key; did you mean "every"?'),
    (
        "evaluators: [distance: {features: {classifier: {widht: 3}}}]",
        '3:49: evaluators.0.distance.features.classifier.widht: unknown key; did you mean "width"?',
    ),
    ("train: {threads: 100000}", "3:18: train.threads: must be <= 4096, got 100000"),
    ("train: {workers: 100000}", "3:18: train.workers: must be <= 1024, got 100000"),
    ('init: "a\\0b"', r"3:7: init: a NUL character (\0) is part of no name and no path; remove it"),
    ("checkpoint: {kep: 3}", '3:14: checkpoint.kep: unknown key; did you mean "keep"?'),
    # names of plugins
    ("loss: wassertein", '3:7: loss: no loss is called "wassertein"; did you mean "wasserstein"?'),
    ("loss:\n  wassertein: {clip: 1}", '4:3: loss: no loss is called "wassertein"; did you mean "wasserstein"?'),
    ("tricks: [replay_buffer]", '3:10: tricks.0: no trick is called "replay_buffer"; did you mean "replay-buffer"?'),
    ("loss: broken", "3:7: loss: loss.broken (third-party 1.0, module broken): ImportError: no module named x"),
    (
        "tricks: [untyped]",
        "3:10: tricks.0.untyped: trick.untyped cannot be used: parameter strength has no type; "
        "give it one, such as strength: float = 1.0",
    ),
    (
        "tricks: [unreadable]",
        "3:10: tricks.0.unreadable: trick.unreadable cannot be used: "
        "its parameters cannot be read: NameError: name 'Missing' is not defined",
    ),
    # wrong types
    ("train: {batch_size: '3'}", '3:21: train.batch_size: expected a whole number, got "3"'),
    ("train: {batch_size: true}", "3:21: train.batch_size: expected a whole number, got true"),
    ("train: {batch_size: 2.0}", "3:21: train.batch_size: expected a whole number, got 2.0"),
    ("train: {batch_size: }", "3:9: train.batch_size: expected a whole number, got nothing"),
    ("train: {deterministic: yes}", '3:24: train.deterministic: expected true or false, got "yes"'),
    ("train: [3]", "3:1: train: expected a mapping, got a list"),
    ("loss: {wasserstein: {clip: x}}", '3:28: loss.wasserstein.clip: expected a number, got "x"'),
    ("loss: {wasserstein: {clip: false}}", "3:28: loss.wasserstein.clip: expected a number, got false"),
    ("loss: {wasserstein: {clip: [1]}}", "3:22: loss.wasserstein.clip: expected a number, got a list"),
    ("generator: {mlp: {widths: 8}}", "3:27: generator.mlp.widths: expected a list, got 8"),
    ("generator: {mlp: {widths: [8, x]}}", '3:31: generator.mlp.widths.1: expected a whole number, got "x"'),
    (
        "generator: {mlp: {norm: bacth}}",
        '3:25: generator.mlp.norm: expected "batch" or "none", got "bacth"; did you mean "batch"?',
    ),
    (
        "tricks: [label-smoothing: {real: x}]",
        '3:34: tricks.0.label-smoothing.real: expected a number or a list, got "x"',
    ),
    ("tricks: [label-smoothing: {real: [1, x]}]", '3:38: tricks.0.label-smoothing.real.1: expected a number, got "x"'),
    (
        "tricks: [label-smoothing: {fake: x}]",
        '3:34: tricks.0.label-smoothing.fake: expected a number or a schedule or a list, got "x"',
    ),
    ("tricks: [label-smoothing: {fake: [1, x]}]", '3:38: tricks.0.label-smoothing.fake.1: expected a number, got "x"'),
    (
        "tricks: [label-smoothing: {fake: [1, 2, 3]}]",
        "3:28: tricks.0.label-smoothing.fake: expected at most 2 items, got 3",
    ),
    ("tricks: [label-smoothing: {fake: -1}]", "3:34: tricks.0.label-smoothing.fake: must be >= 0, got -1"),
    (
        "tricks: [label-smoothing: {fake: {linear: 3}}]",
        "3:28: tricks.0.label-smoothing.fake: linear takes the first and the last value, such as [0.1, 0]",
    ),
    (
        "players: {g: {optimizer: {adam: {betas: [1]}}}}",
        "3:34: players.g.optimizer.adam.betas: expected [number, number], got [1]",
    ),
    ("tricks: [awkward: {json: {1: 2}}]", "3:27: tricks.0.awkward.json.1: a key here must be text, got 1"),
    ("tricks: [awkward: {colour: green}]", '3:28: tricks.0.awkward.colour: expected "red" or "blue", got "green"'),
    ("init: 3", "3:7: init: expected the folder of a run, or a mapping, got 3"),
    ("without: ema", '3:10: without: expected a list of names, such as [replay-buffer], got "ema"'),
    ("without: [3]", "3:11: without.0: expected the name of a part, got 3"),
    (
        "without: [replay-bufer]",
        '3:11: without.0: "replay-bufer" is not inherited, so it cannot be removed; did you mean "replay-buffer"?',
    ),
    ("tricks: replay-buffer", '3:9: tricks: expected a list, got "replay-buffer"; write it as [replay-buffer]'),
    (
        "tricks: []",
        "3:1: tricks: an empty list changes nothing, because lists are added up; "
        "`without` removes parts: [replay-buffer]",
    ),
    ("loss:", "3:1: loss: expected a loss: its name, or {name: {parameters}}; got nothing"),
    ("loss: [hinge]", "3:1: loss: expected a loss: its name, or {name: {parameters}}; got a list"),
    ("loss: {hinge: 3}", '3:15: loss.hinge: expected the parameters of "hinge" as a mapping, got 3'),
    (
        "loss: {hinge: {}, wasserstein: {}}",
        '3:19: loss.wasserstein: a loss is one part with one name, found "hinge", "wasserstein"; keep one of them',
    ),
    # out of bounds
    ("train: {batch_size: 0}", "3:21: train.batch_size: must be >= 1, got 0"),
    ("loss: {wasserstein: {clip: 1.5}}", "3:28: loss.wasserstein.clip: must be <= 1.0, got 1.5"),
    ("loss: {hinge: {margin: .inf}}", "3:24: loss.hinge.margin: expected a finite number, got inf"),
    ("loss: {hinge: {margin: 1e999}}", "3:24: loss.hinge.margin: expected a finite number, got inf"),
    ("tricks: [label-smoothing: {real: -1}]", "3:34: tricks.0.label-smoothing.real: must be >= 0.0, got -1"),
    ("players: {g: {optimizer: {adam: {lr: -1}}}}", "3:38: players.g.optimizer.adam.lr: must be >= 0, got -1"),
    (
        "players: {g: {optimizer: {adam: {lr: {linear: [1, -1]}}}}}",
        "3:34: players.g.optimizer.adam.lr: every value must be >= 0, got {linear: [1, -1]}",
    ),
    (
        "players: {g: {optimizer: {adam: {lr: {linaer: [1, 0]}}}}}",
        "3:34: players.g.optimizer.adam.lr: a schedule has exactly one of: linear, cosine, exponential, steps; "
        'did you mean "linear"?',
    ),
    ("train: {device: gpu}", '3:17: train.device: expected auto, cpu, cuda, cuda:N or mps; got "gpu"'),
    # durations
    ("train: {steps: 0}", "3:16: train.steps: must be more than 0, got 0"),
    ("train: {steps: 1e999 epochs}", "3:16: train.steps: '1e999 epochs' is longer than any run"),
    ("train: {steps: -5}", "3:16: train.steps: a duration cannot be negative, got -5"),
    (
        "train: {steps: 50%}",
        "3:16: train.steps: the length of a run is given in steps, epochs, images or kimg, got 50%",
    ),
    (
        "checkpoint: {every: 5 parsecs}",
        "3:21: checkpoint.every: '5 parsecs' is not a duration; "
        "write a number of steps (500), '3 epochs', '40 kimg', '500 images' or '50%'",
    ),
    (
        "evaluators: [distance: {every: 3 minutes}]",
        "3:32: evaluators.0.distance.every: expected steps, epochs, images, kimg or percent, got 3 minutes: "
        "minutes would change the result with the machine",
    ),
    # checkpoint.best
    (
        "checkpoint: {best: {evaluator: x, mode: min}}",
        '3:32: checkpoint.best.evaluator: no evaluator "x" in this recipe; the recipe has no evaluators; '
        "add one under evaluators:",
    ),
    (
        "checkpoint: {best: {mode: min}}",
        "3:14: checkpoint.best.evaluator: missing; give it a value, such as evaluator: ...",
    ),
    # a part indented one level too little
    (
        "loss:\n  wasserstein:\n  clip: 0.1",
        '5:3: loss.clip: "clip" stands beside "wasserstein", not below it; '
        'to make it part of "wasserstein", indent it further than "wasserstein"',
    ),
    (
        "tricks:\n  - label-smoothing:\n    real: 0.8",
        '5:5: tricks.0.real: "real" stands beside "label-smoothing", not below it; '
        'to make it part of "label-smoothing", indent it further than "label-smoothing"',
    ),
    (
        "players:\n  g:\n    optimizer:\n      adam:\n      lr: 1",
        '7:7: players.g.optimizer.lr: "lr" stands beside "adam", not below it; to make it part of "adam", '
        'indent it further than "adam"',
    ),
    (
        "loss:\nwasserstein:\n  clip: 0.1",
        '4:1: wasserstein: unknown key; if "wasserstein" belongs to "loss" (line 3), indent it further than "loss"',
    ),
    (
        "train:\nsteps: 10",
        '4:1: steps: unknown key; if "steps" belongs to "train" (line 3), indent it further than "train"',
    ),
    (
        "tricks:\n  label-smoothing:\n    real: 0.8",
        '3:1: tricks: expected a list, got a mapping; put "- " before each trick',
    ),
    (
        "players:\n  g:\n  optimizer: adam",
        '5:3: players.optimizer: if "optimizer" belongs to "g" (line 4), indent it further than "g"',
    ),
    (
        "players:\ngenerator:\n  optimizer: adam",
        '4:1: generator: if "generator" belongs to "players" (line 3), indent it further than "players"',
    ),
]


@pytest.mark.parametrize(("text", "expected"), ONE, ids=[text.splitlines()[-1].strip() for text, _ in ONE])
def test_one_mistake_gives_one_line(problems, text, expected):
    assert problems(recipe(text)) == [f"a.yaml:{expected}"]


def test_all_mistakes_are_reported_at_once_sorted_by_line(problems):
    text = "loss: {wasserstein: {clpi: 1}}\ntrain: {stps: 3, batch_size: x}\nplayers:\n  g: {updates: 0}\n"
    text += "variant: toyy\ndataset: {digits: {size: 0}}\n"
    assert [line.split(": ")[:2] for line in problems(text, "train.seed=-1")] == [
        ["a.yaml:1:22", "loss.wasserstein.clpi"],
        ["a.yaml:2:9", "train.stps"],
        ["a.yaml:2:30", "train.batch_size"],
        ["a.yaml:4:16", "players.g.updates"],
        ["a.yaml:5:10", "variant"],
        ["a.yaml:6:26", "dataset.digits.size"],
        ["--set train.seed=-1", "train.seed"],
    ]


def test_a_part_indented_too_little_is_read_as_meant_so_that_its_other_mistakes_show_too(problems):
    assert len(problems(recipe("loss:\n  wasserstein:\n  clip: 7"))) == 2


def test_variant_and_dataset_are_needed(problems):
    assert problems("train: {steps: 3}\n") == [
        "a.yaml:1:1: dataset: missing; every recipe needs it, such as dataset: digits",
        "a.yaml:1:1: variant: missing; every recipe needs it, such as variant: dcgan",
    ]


def test_a_parameter_without_a_default_is_asked_for(problems):
    assert problems("variant: toy\ndataset: folder\n") == [
        'a.yaml:2:10: dataset.folder.path: missing; dataset "folder" needs it (path)'
    ]


def test_plain_data_has_no_position_but_the_same_messages(problems):
    assert problems({**GOOD, "loss": {"wasserstein": {"clpi": 1}}}) == [
        'loss.wasserstein.clpi: unknown key; did you mean "clip"?'
    ]


def test_what_is_not_plain_data_is_refused(problems):
    assert (
        problems({**GOOD, "init": object()})
        == ["init: a object cannot be written in a recipe", "init: expected text, got nothing"][:1]
    )
    assert problems({**GOOD, "train": {None: 3}}) == ["train: a key must be text, got None"]


def test_mistakes_in_a_variants_defaults_name_the_variant(problems, catalog, monkeypatch):
    factory = catalog.load("variant", "toy").factory
    monkeypatch.setattr(factory, "defaults", {"variant": "bare", "loss": {"wasserstein": {"clpi": 1}}})
    assert problems(recipe("")) == [
        'variant toy: loss.wasserstein.clpi: unknown key; did you mean "clip"?',
        "variant toy: variant: the defaults of a variant cannot name this; remove it from the plugin",
    ]


SET = [
    ("train.stps=10", 'train.stps: unknown key; did you mean "steps"?'),
    ("trian.steps=10", 'trian.steps: unknown key; did you mean "train"?'),
    ("train.batch_size=x", 'train.batch_size: expected a whole number, got "x"'),
    ("loss=wassertein", 'loss: no loss is called "wassertein"; did you mean "wasserstein"?'),
    ("loss.wasserstein=3", 'loss.wasserstein: expected the parameters of "wasserstein" as a mapping, got 3'),
    (
        "tricks.0.ema.decay=1",
        'tricks.0.ema.decay: tricks.0 is replay-buffer, not "ema"; the merged recipe has 0 replay-buffer',
    ),
    ("tricks.3.ema.decay=1", "tricks.3.ema.decay: there is no tricks.3; the merged recipe has 0 replay-buffer"),
    ("tricks.replay-buffer.size=0", "tricks.replay-buffer.size: must be >= 1, got 0"),
    (
        "players.generator.optimizer.adam.betas.7=1",
        "players.generator.optimizer.adam.betas.7: 7 is not the number of an item; the list has 2, counted from 0",
    ),
    ("players.generator.update=1", 'players.generator.update: unknown key; did you mean "updates"?'),
    ("extends=b.yaml", "extends: a base can only be named in a recipe file"),
    ("without.0=x", "without.0: write the whole list: --set without=[replay-buffer]"),
    (
        "tricks=[]",
        "tricks: an empty list changes nothing, because lists are added up; `without` removes parts: [replay-buffer]",
    ),
    (
        "tricks=",
        "tricks: an empty list changes nothing, because lists are added up; `without` removes parts: [replay-buffer]",
    ),
    ("train..steps=3", "train..steps: a key is missing before, between or after dots"),
    ("train", "expected PATH=VALUE, such as train.steps=1000"),
    ("=3", "expected PATH=VALUE, such as train.steps=1000"),
    ("train.steps=[1", 'a "," or "]" is missing in the list that was opened with "["'),
    (
        "train.steps=!!int 3",
        'train.steps: tags ("tag:yaml.org,2002:int") are not part of recipes; '
        "remove it, a recipe holds plain data only",
    ),
]


@pytest.mark.parametrize(("text", "expected"), SET, ids=[text for text, _ in SET])
def test_a_wrong_override_is_shown_as_it_was_typed(problems, text, expected):
    assert problems(recipe(""), text) == [f"--set {text}: {expected}"]


def test_wrong_overrides_from_python_are_named(problems):
    assert problems(recipe(""), overrides={"train.stps": 3, "loss": {"hinge": {"margn": 2}}}) == [
        'overrides: loss.hinge.margn: unknown key; did you mean "margin"?',
        'overrides: train.stps: unknown key; did you mean "steps"?',
    ]


def test_others_can_raise_a_problem_at_the_line_of_a_value(load):
    recipe_ = load("variant: toy\ndataset: digits\nplayers:\n  critic:\n    updates: 3\n")
    error = RecipeError([recipe_.problem("players.critic", "the variant has no such player")])
    assert str(error) == "a.yaml:4:3: players.critic: the variant has no such player"
    assert isinstance(error, UserError)
    assert error.exit_code == 2
    assert (
        str(recipe_.problem(("players", "critic", "updates"), "too many"))
        == "a.yaml:5:14: players.critic.updates: too many"
    )
    assert str(recipe_.problem("loss.wasserstein.clip", "too low")) == "variant toy: loss.wasserstein.clip: too low"
    assert (
        str(recipe_.problem(recipe_.tricks[0].path, "does not fit"))
        == "variant toy: tricks.0.replay-buffer: does not fit"
    )


def test_a_value_without_a_place_of_its_own_is_reported_at_the_nearest_one(load):
    recipe_ = load("variant: toy\ndataset:\n  digits: {size: 8}\n")
    assert str(recipe_.problem("dataset.digits.size.deeper", "x")) == "a.yaml:3:18: dataset.digits.size.deeper: x"


def test_the_name_of_a_file_is_given_as_the_user_wrote_it(catalog, write):
    with pytest.raises(RecipeError, match=r"^folder/b\.yaml:1:1: "):
        load_recipe(write("x: 1\n", "folder/b.yaml"), catalog=catalog)


@pytest.mark.parametrize(
    ("override", "cure"),
    [
        ("loss.coding=pearson", "for a parameter of least-squares write loss.least-squares.coding"),
        ("tricks.0.decay=0.5", "for a parameter of it write tricks.0.ema.decay"),
    ],
)
def test_an_override_that_leaves_out_the_parts_name_is_told_where_it_belongs(override, cure):
    source = {"variant": "gan", "dataset": "ring", "loss": "least-squares", "tricks": ["ema"]}
    with pytest.raises(RecipeError) as caught:
        load_recipe(source, catalog=Catalog(), overrides=[override])
    assert cure in str(caught.value)


def test_a_folder_in_place_of_a_recipe_is_told_once(tmp_path):
    with pytest.raises(RecipeError) as caught:
        read_file(tmp_path, "folder")
    assert str(caught.value) == "folder: this is a directory; name a recipe file in it"


LONG = [("text", "x" * 100_000), ("words", "a b " * 30_000), ("digits", "9" * 100_000), ("items", [1] * 50)]


@pytest.mark.parametrize("value", [value for _, value in LONG], ids=[name for name, _ in LONG])
@pytest.mark.parametrize("key", ["variant", "loss", "tricks", "without", "train", "players", "checkpoint", "init"])
def test_a_value_of_megabytes_is_shortened(problems, key, value):
    assert max(map(len, problems({**GOOD, key: value, "trian": 1}))) <= 300


def test_keys_of_megabytes_are_shortened_and_of_thousands_of_problems_the_first_are_shown(catalog):
    with pytest.raises(RecipeError) as caught:
        load_recipe({**GOOD, "x" * 100_000: 1, "train": {f"key {n}": n for n in range(5000)}}, catalog=catalog)
    lines = str(caught.value).splitlines()
    assert max(map(len, lines)) <= 300
    assert lines[-1] == "and 4,901 more problems"
    assert len(caught.value.problems) == 5001

"""Layers, merging, overrides, and what a resolved recipe holds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ganrun.recipe import RecipeError, diff_text, dump, explain, find_recipe, load_recipe, shipped_recipes
from ganrun.schedule import Duration, Scheduled

GOOD = "variant: toy\ndataset: digits\n"


def names(parts):
    return [part.name for part in parts]


def test_a_variants_defaults_fill_what_the_recipe_leaves_out(load):
    recipe = load(GOOD)
    assert recipe.loss.parameters == {"clip": 0.05, "drift": 0.0}
    assert recipe.networks["discriminator"].parameters["widths"] == (8, 4)
    assert names(recipe.tricks) == ["replay-buffer"]
    assert recipe.sampler.name == "normal"
    assert names(recipe.observers) == ["progress", "samples", "metrics-log", "health", "checkpoints"]
    assert recipe.players["discriminator"].updates == 5
    assert (recipe.players["discriminator"].init.scheme, recipe.players["discriminator"].init.gain) == ("normal", 0.02)
    assert (recipe.train.steps, recipe.train.batch_size, recipe.checkpoint.every) == (
        Duration(1000),
        64,
        Duration(1000),
    )
    assert (recipe.name, recipe.base, recipe.init) == ("a", Path.cwd(), None)


def test_parameters_merge_only_under_the_same_name(load):
    assert load(GOOD + "loss: {wasserstein: {drift: 1}}\n").loss.parameters == {"clip": 0.05, "drift": 1.0}
    assert load(GOOD + "loss: wasserstein\n").loss.parameters == {"clip": 0.05, "drift": 0.0}
    assert load(GOOD + "loss: hinge\n").loss.parameters == {"margin": 1.0}


def test_the_kth_part_of_a_name_merges_with_the_kth_below_and_others_are_appended(load):
    recipe = load(GOOD + "tricks:\n- label-smoothing\n- replay-buffer: {size: 3}\n- replay-buffer: {size: 4}\n")
    assert [(part.name, part.parameters.get("size")) for part in recipe.tricks] == [
        ("replay-buffer", 3),
        ("label-smoothing", None),
        ("replay-buffer", 4),
    ]


@pytest.mark.parametrize("written", ["tricks: []\nwithout: [replay-buffer]\n", "evaluators: []\n", "tricks:\n"])
def test_an_empty_list_is_fine_where_nothing_is_left_for_it_to_remove_or_nothing_is_written(load, written):
    assert load(GOOD + written).resolved == load(GOOD + written.replace("tricks: []\n", "")).resolved


def test_an_empty_list_of_a_program_adds_nothing(catalog):
    recipe = {"variant": "toy", "dataset": "digits"}
    assert load_recipe(recipe | {"tricks": []}, catalog=catalog) == load_recipe(recipe, catalog=catalog)


def test_without_removes_what_is_inherited_and_the_layer_may_add_its_own(load):
    recipe = load(GOOD + "without: [replay-buffer, progress]\ntricks: [label-smoothing, replay-buffer]\n")
    assert [(part.name, part.parameters.get("size")) for part in recipe.tricks] == [
        ("label-smoothing", None),
        ("replay-buffer", 50),
    ]
    assert names(recipe.observers) == ["samples", "metrics-log", "health", "checkpoints"]


def test_players_merge_by_name_and_key(load):
    players = load(
        GOOD + "players: {discriminator: {optimizer: {adam: {lr: 1}}, init: {scheme: xavier}}, critic: {updates: 2}}\n"
    ).players
    assert players["discriminator"].optimizer.parameters == {"lr": Scheduled(1), "betas": (0.9, 0.999)}
    assert (players["discriminator"].updates, players["discriminator"].init.scheme) == (5, "xavier")
    assert players["generator"].optimizer.parameters["betas"] == (0.5, 0.999)
    assert (players["critic"].optimizer.name, players["critic"].updates) == ("adam", 2)


def test_another_optimiser_replaces_the_variants_with_its_parameters(load):
    player = load(GOOD + "players: {generator: {optimizer: rmsprop}}\n").players["generator"]
    assert (player.optimizer.name, player.optimizer.parameters) == ("rmsprop", {"lr": Scheduled(1e-3)})


def test_values_are_those_the_constructor_wants(load):
    recipe = load(
        "variant: bare\n"
        "dataset: {folder: {path: ../x}}\n"
        "tricks:\n"
        "- label-smoothing: {real: [0.7, 1], fade: 3 epochs}\n"
        "- awkward: {copy: false, schema: b, json: {a: 1}, colour: blue, seen: [3]}\n"
        "evaluators:\n"
        "- distance:\n"
        "    {features: {classifier: {width: 3}}, several: [pixels, classifier], every: 2 epochs, samples: 10}\n"
        "players: {g: {optimizer: {adam: {lr: {linear: [1, 0], until: 50%}}}}}\n"
    )
    assert recipe.dataset.parameters["path"] == Path("../x")
    smoothing = recipe.tricks[0].make()
    assert (smoothing.real, smoothing.fade) == ((0.7, 1.0), Duration(3, "epochs"))
    copy, schema, json, config, colour, seen = recipe.tricks[1].make().values
    assert (copy, schema, json, config, colour.value, seen) == (False, "b", {"a": 1.0}, 1, "blue", {3})
    (evaluator,) = recipe.evaluators
    assert (evaluator.every, evaluator.samples) == (Duration(2, "epochs"), 10)
    distance = evaluator.part.make()
    assert distance.features.make("context").width == 3
    assert (distance.other, names(distance.several)) == (None, ["pixels", "classifier"])
    assert recipe.players["g"].optimizer.make().lr == Scheduled({"linear": [1, 0], "until": "50%"})
    assert distance.several[1].path == ("evaluators", 0, "distance", "several", 1, "classifier")
    assert [part.name for part in recipe.parts() if part.kind == "features"] == ["classifier", "pixels", "classifier"]


def test_make_hands_positional_arguments_and_parameters_to_the_factory(load):
    network = load(GOOD).networks["generator"].make("interface")
    assert (network.interface, network.widths, network.norm) == ("interface", (16,), "none")


def test_an_integer_may_stand_for_a_float(load):
    value = load(GOOD + "loss: {hinge: {margin: 2}}\n").loss.parameters["margin"]
    assert (value, type(value)) == (2.0, float)


@pytest.mark.parametrize(
    ("override", "read", "expected"),
    [
        ("train.steps=10", lambda r: r.train.steps, Duration(10)),
        ("train={steps: 10, seed: 2}", lambda r: (r.train.seed, r.train.batch_size), (2, 64)),
        ("loss=hinge", lambda r: r.loss.name, "hinge"),
        ("loss.hinge.margin=3", lambda r: r.loss.parameters, {"margin": 3.0}),
        ("loss.wasserstein.drift=0.1", lambda r: r.loss.parameters, {"clip": 0.05, "drift": 0.1}),
        ("loss={wasserstein: {drift: 0.1}}", lambda r: r.loss.parameters, {"clip": 0.05, "drift": 0.1}),
        ("tricks.0.replay-buffer.size=7", lambda r: r.tricks[0].parameters, {"size": 7}),
        ("tricks.replay-buffer.size=7", lambda r: r.tricks[0].parameters, {"size": 7}),
        ("tricks.0=label-smoothing", lambda r: names(r.tricks), ["label-smoothing"]),
        (
            "tricks.label-smoothing.real=0.5",
            lambda r: [*names(r.tricks), r.tricks[1].parameters["real"]],
            ["replay-buffer", "label-smoothing", 0.5],
        ),
        ("tricks=[label-smoothing]", lambda r: names(r.tricks), ["replay-buffer", "label-smoothing"]),
        ("without=[replay-buffer]", lambda r: names(r.tricks), []),
        (
            "players.generator.updates=3",
            lambda r: (r.players["generator"].updates, r.players["discriminator"].updates),
            (3, 5),
        ),
        (
            "players.generator.optimizer.adam.betas.0=0",
            lambda r: r.players["generator"].optimizer.parameters["betas"],
            (0.0, 0.999),
        ),
        ("players.generator.optimizer=rmsprop", lambda r: r.players["generator"].optimizer.name, "rmsprop"),
        ("players.critic.optimizer.rmsprop.lr=1", lambda r: r.players["critic"].optimizer.name, "rmsprop"),
        ("players.discriminator.init.gain=1", lambda r: r.players["discriminator"].init.scheme, "normal"),
        ("players.discriminator.init=", lambda r: r.players["discriminator"].init, None),
        ("variant=bare", lambda r: (r.loss, r.tricks), (None, [])),
        ("variant.toy.latent=3", lambda r: r.variant.parameters, {"latent": 3}),
        ("dataset.digits.classes=[1, 7]", lambda r: r.dataset.parameters["classes"], [1, 7]),
        ("init=runs/x", lambda r: r.init.run, "runs/x"),
        (
            "evaluators.distance.features.classifier.width=3",
            lambda r: r.evaluators[0].part.parameters["features"].parameters,
            {"width": 3},
        ),
    ],
)
def test_set_changes_one_value_and_leaves_the_rest(load, override, read, expected):
    assert read(load(GOOD, override)) == expected


def test_a_nested_part_written_as_a_name_takes_parameters_from_set(load):
    recipe = load(
        GOOD + "evaluators: [distance: {features: classifier}]\n", "evaluators.0.distance.features.classifier.width=3"
    )
    assert recipe.evaluators[0].part.parameters["features"].parameters == {"width": 3}


def test_a_later_override_wins_and_without_is_applied_first(load):
    assert load(GOOD, "train.seed=1", "train.seed=2").train.seed == 2
    assert names(load(GOOD, "tricks.label-smoothing.real=1", "without=[replay-buffer]").tricks) == ["label-smoothing"]


def test_overrides_from_python_take_paths_and_nested_mappings(load):
    recipe = load(
        GOOD,
        overrides={
            "train.steps": 10,
            "train": {"seed": 3},
            "players": {"generator": {"updates": 2}},
            "dataset.digits.classes": (1, 2),
        },
    )
    assert (recipe.train.steps, recipe.train.seed, recipe.players["generator"].updates) == (Duration(10), 3, 2)
    assert recipe.dataset.parameters["classes"] == [1, 2]
    assert recipe.origins["train", "steps"] == "overrides"


# --- extends --------------------------------------------------------------------------------------------------


def test_a_base_is_merged_under_the_recipe_by_the_same_rules(load, write):
    write(
        GOOD + "loss: {wasserstein: {clip: 0.2}}\ntricks: [label-smoothing: {real: 0.7}]\ntrain: {steps: 5, seed: 9}\n",
        "sub/base.yaml",
    )
    recipe = load(
        "extends: sub/base.yaml\n"
        "loss: {wasserstein: {drift: 2}}\n"
        "tricks: [label-smoothing: {fade: 10}]\n"
        "train: {steps: 6}\n"
    )
    assert recipe.loss.parameters == {"clip": 0.2, "drift": 2.0}
    assert recipe.tricks[1].parameters == {"real": 0.7, "fake": None, "fade": Duration(10)}
    assert (recipe.train.steps, recipe.train.seed) == (Duration(6), 9)
    assert (recipe.origins["train", "steps"], recipe.origins["train", "seed"]) == ("a.yaml:4", "sub/base.yaml:5")
    assert "extends" not in recipe.resolved


def test_a_chain_of_bases_is_followed_each_relative_to_its_own_file(load, write):
    write(GOOD + "train: {seed: 1, steps: 1}\n", "sub/c.yaml")
    write("extends: c.yaml\ntrain: {seed: 2}\n", "sub/b.yaml")
    recipe = load("extends: sub/b.yaml\n")
    assert (recipe.train.seed, recipe.train.steps) == (2, Duration(1))


def test_a_recipe_may_remove_what_its_base_added(load, write):
    write(GOOD + "tricks: [label-smoothing]\n", "base.yaml")
    recipe = load("extends: base.yaml\nwithout: [label-smoothing]\n")
    assert names(recipe.tricks) == ["replay-buffer"]


def test_a_recipe_may_change_its_bases_variant(load, write):
    write(GOOD, "base.yaml")
    assert load("extends: base.yaml\nvariant: bare\n").loss is None


def test_a_circle_a_missing_base_a_directory_and_text_that_is_none_are_refused(problems, write):
    write("extends: a.yaml\n", "b.yaml")
    write(GOOD, "folder/x.yaml")
    assert "b.yaml:1:10: extends: the bases form a cycle: a.yaml -> b.yaml -> a.yaml; remove one extends" in problems(
        "extends: b.yaml\n"
    )
    assert "a.yaml:1:10: extends: the bases form a cycle: a.yaml -> a.yaml; remove one extends" in problems(
        "extends: a.yaml\n"
    )
    assert 'a.yaml:3:10: extends: no such file: bb.yaml; did you mean "b.yaml"?' in problems(
        GOOD + "extends: bb.yaml\n"
    )
    assert (
        "a.yaml:3:10: extends: this is a directory; a base is named relative to the recipe that extends it"
        in problems(GOOD + "extends: folder\n")
    )
    assert "a.yaml:3:1: extends: expected text, got a list" in problems(GOOD + "extends: [b.yaml]\n")
    assert problems(GOOD + 'extends: "x\\0"\n')


def test_mistakes_in_a_base_are_reported_with_its_name_together_with_the_recipes(problems, write):
    write(GOOD + "train: {stps: 1}\n", "base.yaml")
    found = problems("extends: base.yaml\ntrain: {sede: 1}\n")
    assert found == [
        'a.yaml:2:9: train.sede: unknown key; did you mean "seed"?',
        'base.yaml:3:9: train.stps: unknown key; did you mean "steps"?',
    ]


# --- the resolved recipe --------------------------------------------------------------------------------------

RECIPES = {
    "plain": GOOD,
    "bare": "variant: bare\ndataset: {folder: {path: ../x}}\n",
    "removed": GOOD + "without: [replay-buffer, samples]\n",
    "replaced": GOOD + "without: [replay-buffer]\n"
    "tricks: [label-smoothing: {real: [0.7, 1], fake: {cosine: [1, 0], every: 1 epochs}}, replay-buffer]\n",
    "twice": GOOD + "tricks: [replay-buffer, awkward, replay-buffer: {size: 3}]\n",
    "nested": GOOD + "evaluators: [distance: {features: classifier, every: 0.5 epochs}, distance]\n"
    "checkpoint: {every: 5 minutes, best: {evaluator: distance, mode: max}}\n",
    "scheduled": GOOD + "init: runs/x\n"
    "players: {generator: {optimizer: {adam: {lr: {steps: {0: 2e-4, 100 epochs: 1e-5}}}}, init: {gain: 1}}}\n",
    "null": GOOD + "players: {discriminator: {init: null, updates: null}}\ntrain: {steps: 1e3 images}\n",
}


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize(
    "overrides",
    [(), ("tricks=[label-smoothing]", "train.steps=1.5 epochs"), ("observers.0=samples",)],
    ids=["as is", "set", "moved"],
)
def test_a_resolved_recipe_is_complete_and_loads_to_an_equal_one(load, catalog, write, name, overrides):
    recipe = load(RECIPES[name], *overrides)
    again = load_recipe(recipe.resolved, catalog=catalog)
    written = load_recipe(write(dump(recipe.resolved), "resolved.yaml"), catalog=catalog)
    explained = load_recipe(write(explain(recipe), "explained.yaml"), catalog=catalog)
    for other in (again, written, explained):
        assert other == recipe
        assert other.resolved == recipe.resolved
        assert dump(other.resolved) == dump(recipe.resolved)
    assert not [path for path, origin in written.origins.items() if origin == "default" and path != ("sampler",)]


def test_recipes_that_differ_are_not_equal(load):
    assert load(GOOD) != load(GOOD, "train.seed=1")
    assert load(GOOD) != load(GOOD, "loss.wasserstein.clip=0.3")


def test_every_value_has_an_origin(load):
    recipe = load(GOOD + "train:\n  seed: 3\n", "train.steps=7")
    assert recipe.origins["train", "seed"] == "a.yaml:4"
    assert recipe.origins["train", "steps"] == "--set"
    assert recipe.origins["train", "workers"] == "default"
    assert recipe.origins["loss", "wasserstein", "clip"] == "variant toy"
    assert recipe.origins["loss", "wasserstein", "drift"] == "default"
    assert recipe.origins["dataset", "digits"] == "a.yaml:2"


def test_explain_shows_the_origin_beside_each_value(load):
    lines = explain(load(GOOD + "train: {seed: 3}\n", "tricks.0.replay-buffer.size=7")).splitlines()
    found = {tuple(part.strip() for part in line.split("#")) for line in lines}
    assert {
        ("seed: 3", "a.yaml:3"),
        ("size: 7", "--set"),
        ("wasserstein:", "variant toy"),
        ("workers: 0", "default"),
        ("digits:", "a.yaml:2"),
    } <= found


def test_diff_names_parts_and_tells_added_removed_changed_and_moved(load):
    left = load(GOOD + "tricks: [label-smoothing, replay-buffer, replay-buffer]\n")
    right = load(
        GOOD + "without: [replay-buffer]\ntricks: [label-smoothing, replay-buffer]\nloss: hinge\n", "train.seed=1"
    )
    assert diff_text(left.resolved, left.resolved) == ""
    assert diff_text(left.resolved, right.resolved).splitlines() == [
        "- loss.wasserstein.clip: 0.05",
        "- loss.wasserstein.drift: 0.0",
        "  tricks.replay-buffer.size: 10 -> 50",
        "- tricks.replay-buffer#2.size: 50",
        "  tricks (order): [replay-buffer, label-smoothing, replay-buffer] -> [label-smoothing, replay-buffer]",
        "  train.seed: 0 -> 1",
        "+ loss.hinge.margin: 1.0",
        "+ without: [replay-buffer]",
    ]


def test_plain_data_is_a_recipe_too_and_is_named_after_its_parts(load):
    recipe = load(
        {
            "variant": {"toy": {"latent": 3}},
            "dataset": "digits",
            "tricks": ("label-smoothing",),
            "train": {"steps": Duration(5)},
        }
    )
    assert (recipe.name, recipe.variant.parameters["latent"], recipe.train.steps) == ("toy-digits", 3, Duration(5))
    assert recipe.origins["variant", "toy", "latent"] == "recipe"


def test_empty_sections_are_nothing(load):
    assert load(GOOD + "tricks:\nevaluators:\nplayers:\ntrain:\nwithout:\ncheckpoint:\ninit:\n") == load(GOOD)


# --- shipped recipes, imports ---------------------------------------------------------------------------------


def test_a_recipe_is_found_by_path_or_by_the_name_of_a_shipped_one(write, tmp_path, monkeypatch):
    (tmp_path / "shipped" / "gpu").mkdir(parents=True)
    monkeypatch.setattr("ganrun.recipe.sources.recipes_folder", lambda: tmp_path / "shipped")
    for name in ("dcgan_digits.yaml", "gpu/big.yaml"):
        (tmp_path / "shipped" / name).write_text(GOOD)
    assert list(shipped_recipes()) == ["dcgan_digits", "gpu/big"]
    assert find_recipe("dcgan_digits") == tmp_path / "shipped" / "dcgan_digits.yaml"
    assert find_recipe("gpu/big") == tmp_path / "shipped" / "gpu" / "big.yaml"
    assert find_recipe(write(GOOD, "mine.yaml")) == Path("mine.yaml")
    with pytest.raises(
        RecipeError,
        match=r'dcgan-digit: no such file or run, and no recipe of this name is shipped; did you mean "dcgan_digits"\?',
    ):
        find_recipe("dcgan-digit")
    with pytest.raises(RecipeError, match=r'did you mean "dcgan_digits"\?'):
        find_recipe("recipes/dcgan_digit.yaml")
    with pytest.raises(RecipeError, match=r'min\.yaml: .*did you mean "mine\.yaml"\?'):
        find_recipe("min.yaml")
    with pytest.raises(RecipeError, match="cannot be read"):
        find_recipe("x" * 5000)


def test_reading_recipes_imports_no_torch():
    code = "import sys, ganrun.recipe; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""Networks under keys that a variant declares, also ones whose shape follows from another, by plugins from outside."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from ganrun.catalog.catalog import Catalog
from ganrun.preflight.check import check as preflight
from ganrun.recipe import RecipeError, load_recipe
from ganrun.recipe.dump import dump
from ganrun.recipe.explain import diff_text, explain
from ganrun.recipe.schema import recipe_schema
from ganrun.testing import Example, parametrize_with_checks
from ganrun.testing.runs import first_difference, new_run, steps, weights
from ganrun.training import checkpoint
from ganrun.training.build import RefusedError
from ganrun.words.game import Network
from ganrun.words.spaces import Interface, Reason, Space
from ganrun_plugins.variants.gan import GAN

HERE = Path(__file__).parent / "third_party" / "one_file"
FILES = [HERE / "cut.py", HERE / "triple_gan.py"]
SILENT = ["progress", "samples", "metrics-log", "health", "checkpoints"]
TRAIN = {"steps": 10, "batch_size": 4, "device": "cpu"}
SMALL = {"dcgan": {"width": 4, "norm": "none"}}
CUT = {
    "variant": {"cut": {"patches": 8, "size": 5}},
    "dataset": {"restyled-digits": {"size": 8}},
    "generator": {"resnet-translator": {"blocks": 1, "width": 4}},
    "discriminator": {"patchgan": {"layers": 1, "width": 4}},
    "projector": {"patch-projector": {"width": 6}},
    "without": SILENT,
    "train": TRAIN,
}
TRIPLE = {
    "variant": {"triple-gan": {"latent": 4}},
    "dataset": {"digits": {"size": 8}},
    **dict.fromkeys(("generator", "discriminator", "classifier"), SMALL),
    "without": SILENT,
    "train": TRAIN,
}


def around(recipe, *away):
    """A recipe without some keys: what stands around the part that is tried."""
    return {key: value for key, value in recipe.items() if key not in away}


EXAMPLES = {
    "variant.cut": Example({"patches": 8, "size": 5}, around(CUT, "variant")),
    "variant.triple-gan": Example({"latent": 4}, around(TRIPLE, "variant")),
    "generator.patch-projector": Example({"width": 6}, around(CUT, "projector"), place="projector"),
}


@parametrize_with_checks(list(EXAMPLES), modules=FILES, examples=EXAMPLES)
def test_contract(plugin, check):
    check(plugin)


@pytest.fixture
def run_of():
    """A function that builds the run of a recipe of these plugins."""
    return lambda recipe: new_run(load_recipe(recipe, catalog=Catalog(modules=FILES)), Catalog(modules=FILES))


def load(recipe, **changes):
    return load_recipe(recipe, catalog=Catalog(modules=FILES), **changes)


# --- patches in hidden layers: cut ----------------------------------------------------------------------------------


def test_the_contrast_of_patches_by_hand():
    """Of two places at right angles each finds itself: -log(e^2 / (e^2 + 1)); of two alike none does: log 2."""
    contrast = Catalog(modules=FILES).load("variant", "cut").factory.terms.__globals__["contrast"]
    axes = torch.tensor([[[3.0, 0.0], [0.0, 0.5]]])
    assert float(contrast(axes, axes, 0.5)) == pytest.approx(-math.log(math.exp(2) / (math.exp(2) + 1)))
    assert float(contrast(axes, torch.ones(1, 2, 2), 0.5)) == pytest.approx(math.log(2))


def test_the_projector_is_as_wide_as_the_generators_layers(run_of):
    """A translator of width 4 has layers of 4, 8, 16 (and one block), 8 and 4 channels: 6 times 5 numbers come out."""
    run = run_of(CUT)
    projector = run.experiment.modules["projector"]
    assert [layer[0].in_features for layer in projector.layers] == [4, 8, 16, 16, 8, 4]
    assert run.experiment.description.networks["projector"].interface.makes == Space("latent", (30,))


def test_generator_and_projector_learn_from_the_patches_and_the_discriminator_does_not(run_of):
    run = run_of(CUT)
    before = weights(run)
    steps(run, 1)
    assert set(run.engine.terms["generator"]) == {"b.fake", "contrast"}
    assert set(run.engine.terms["projector"]) == {"contrast"}
    assert set(run.engine.terms["discriminator"]) == {"b.real", "b.fake"}
    after = weights(run)
    moved = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"generator", "projector", "discriminator"}


def test_a_projector_learns_to_tell_the_patches_apart(run_of):
    players = {player: {"optimizer": {"sgd": {"lr": 0.0}}} for player in ("discriminator", "generator")}
    recipe = {**CUT, "players": {**players, "projector": {"optimizer": {"adam": {"lr": 0.01}}}}}
    run = run_of(recipe)
    values = []
    for step in range(40):
        run.engine.step(step)
        values.append(float(run.engine.terms["projector"]["contrast"]))
    assert sum(values[-5:]) < 0.9 * sum(values[:5])


def test_a_generator_without_hidden_layers_is_refused_with_the_way_out():
    with pytest.raises(RefusedError) as error:
        preflight(load({**CUT, "generator": {"joint-embedding": {}}}))
    refusals = [str(refusal) for refusal in error.value.refusals]
    assert any("generator joint-embedding" in line for line in refusals)
    assert not any("projector" in line for line in refusals), (
        "what follows from a network that is not there has no refusal"
    )


# --- a classifier of its own key: triple-gan ------------------------------------------------------------------------


def test_a_classifier_is_a_network_with_a_logit_a_class_and_labels_better_with_training(run_of):
    players = {"classifier": {"optimizer": {"adam": {"lr": 0.01}}}}
    classifier = {"mlp": {"widths": [16]}}
    run = run_of({**TRIPLE, "classifier": classifier, "players": players, "train": {**TRAIN, "batch_size": 32}})
    assert run.experiment.networks("discriminator").keys() == {"discriminator"}
    assert run.experiment.networks("classifier").keys() == {"classifier"}
    values = []
    for step in range(40):
        run.engine.step(step)
        values.append(float(run.engine.terms["classifier"]["labelled"]))
    assert values[0] == pytest.approx(math.log(10), rel=0.2)
    assert sum(values[-5:]) < 0.8 * sum(values[:5])
    assert set(run.engine.terms["discriminator"]) == {"generated.real", "generated.fake", "labelled.fake"}


def test_it_comes_back_from_a_checkpoint(run_of, tmp_path):
    run = run_of(TRIPLE)
    steps(run, 2)
    path = checkpoint.write(tmp_path, run.step, run.state_dict())
    again = run_of(TRIPLE)
    again.load_state_dict(checkpoint.read(path)[1])
    assert any(name.startswith("classifier") for name in weights(again))
    assert first_difference(weights(run), weights(again)) == ""


def test_it_starts_as_its_player_says(run_of):
    players = {"classifier": {"init": {"scheme": "normal", "gain": 0.0}}}
    run = run_of({**TRIPLE, "players": players})
    weight = {name: next(module.parameters()) for name, module in run.experiment.modules.items()}
    assert not weight["classifier"].any()
    assert weight["discriminator"].any()


def test_the_check_counts_and_shows_it():
    _, lines = preflight(load(TRIPLE))
    (line,) = [line for line in lines if line.name == "classifier"]
    assert (line.part, line.parameters) == ("discriminator dcgan", 4 * 16 + 10 * 4 * 16)
    assert line.shapes == "image of shape (1, 8, 8) -> logits of shape (10,)"


def test_what_a_classifier_is_made_of_is_a_capability_of_its_key(run_of, monkeypatch):
    batch = {**TRIPLE, "classifier": {"mlp": {"widths": [4, 4], "norm": "batch"}}}
    preflight(load(batch))
    reason = Reason("its classes would depend on the batch", "classifier: {dcgan: {norm: none}}")
    recipe = load(batch)
    monkeypatch.setattr(recipe.variant.component.factory, "refuses", {"classifier:batch-statistics": reason}, False)
    with pytest.raises(RefusedError, match="its classes would depend on the batch"):
        preflight(recipe)


# --- in a recipe ----------------------------------------------------------------------------------------------------


def test_a_resolved_recipe_holds_it_behind_the_discriminator_and_loads_again():
    recipe = load(TRIPLE)
    keys = list(recipe.resolved)
    assert keys[: keys.index("loss") + 1] == ["variant", "dataset", "generator", "discriminator", "classifier", "loss"]
    assert load(recipe.resolved) == recipe
    assert {part.kind for part in recipe.parts() if part.path[:1] == ("classifier",)} == {"discriminator"}


def test_dump_explain_and_diff_know_it():
    one, other = load(TRIPLE), load(TRIPLE, overrides=["classifier.dcgan.width=8"])
    assert "classifier:\n  dcgan:\n    width: 8\n" in dump(other.resolved)
    (line,) = [line for line in explain(other).splitlines() if "width: 8" in line]
    assert line.endswith("# --set")
    assert diff_text(one.resolved, other.resolved) == "  classifier.dcgan.width: 4 -> 8\n"


def test_parameters_merge_with_the_variants_default():
    recipe = load({**around(TRIPLE, "classifier"), "classifier": {"dcgan": {"width": 8}}})
    assert recipe.networks["classifier"].parameters["norm"] == "none"
    assert recipe.origins["classifier", "dcgan", "norm"] == "variant triple-gan"


def test_the_schema_knows_the_keys_of_every_variant():
    properties = recipe_schema(Catalog(modules=FILES))["properties"]
    assert properties["classifier"] == {"$ref": "#/$defs/discriminator"}
    assert properties["projector"] == properties["encoder"] == {"$ref": "#/$defs/generator"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("clasifier: mlp", '1: clasifier: unknown key; did you mean "classifier"?'),
        ("encodr: mlp", '1: encodr: unknown key; did you mean "encoder"?'),
        ("classifier: dcgn", '13: classifier: no discriminator is called "dcgn"; did you mean "dcgan"?'),
        ("classifier: {dcgan: {widht: 4}}", '22: classifier.dcgan.widht: unknown key; did you mean "width"?'),
        (
            "classifier: []",
            "1: classifier: expected a classifier: its name, or {name: {parameters}}; got an empty list",
        ),
        (
            "zzz: 3",
            "1: zzz: unknown key; a recipe takes extends, variant, dataset, generator, discriminator, classifier,",
        ),
    ],
)
def test_mistakes_are_reported_with_their_place(line, message, tmp_path):
    (tmp_path / "a.yaml").write_text(f"variant: triple-gan\ndataset: digits\n{line}\n")
    with pytest.raises(RecipeError) as error:
        load(tmp_path / "a.yaml")
    assert f"a.yaml:3:{message}" in str(error.value)


def test_an_override_of_an_unknown_key_is_told():
    with pytest.raises(RecipeError, match='clasifier.dcgan.width: unknown key; did you mean "classifier"?'):
        load(TRIPLE, overrides=["clasifier.dcgan.width=8"])


def test_the_variant_of_an_override_and_of_a_base_decides(tmp_path):
    (tmp_path / "base.yaml").write_text("variant: triple-gan\ndataset: digits\n")
    (tmp_path / "a.yaml").write_text("extends: base.yaml\nclassifier: mlp\n")
    assert load(tmp_path / "a.yaml").networks["classifier"].name == "mlp"
    recipe = {"variant": "gan", "dataset": "digits", "classifier": "mlp"}
    assert load(recipe, overrides=["variant=triple-gan"]).networks["classifier"].name == "mlp"


def test_a_key_that_another_variant_asks_for_is_warned_of():
    recipe = load({"variant": "dcgan", "dataset": "digits", "encoder": "mlp", "classifier": "mlp"})
    experiment, _ = preflight(recipe)
    warnings = [str(warning) for warning in experiment.warnings]
    assert sum("asks for no encoder" in line or "asks for no classifier" in line for line in warnings) == 2
    assert set(experiment.modules) == {"generator", "discriminator"}


def test_a_network_that_a_recipe_lacks_is_asked_for(make_run):
    class Bare(Catalog(modules=FILES).load("variant", "triple-gan").factory):
        defaults = {"loss": "non-saturating"}

    players = {player: {"optimizer": "adam"} for player in ("generator", "discriminator", "classifier")}
    recipe = {**around(TRIPLE, "classifier"), "variant": {"bare": {"latent": 4}}, "players": players}
    with pytest.raises(RefusedError, match="it needs a classifier\n    instead: add `classifier: NAME`"):
        make_run(recipe, {"variant.bare": Bare})


# --- what a variant declares ----------------------------------------------------------------------------------------


class Undeclared(GAN):
    """Asks for a mapping, and does not say so."""

    def describe(self, spaces):
        found = super().describe(spaces)
        found.networks["mapping"] = Network("mapping", Interface(takes=self.latent, makes=self.latent))
        return found


def test_a_key_that_the_variant_does_not_declare_is_a_mistake_of_the_plugin(tiny, make_run):
    with pytest.raises(RefusedError, match="it asks for a mapping, which is no key of its recipes"):
        make_run(tiny(variant="undeclared"), {"variant.undeclared": Undeclared})


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        ({"train": "generator"}, 'names "train", a key of every recipe'),
        ({"mapping": "network"}, 'has mapping: "network"; it is generator or discriminator'),
        (["mapping"], "is not a mapping of recipe keys to kinds"),
    ],
)
def test_a_wrong_declaration_is_reported_at_the_variant(networks, message, tiny, make_run):
    wrong = type("Wrong", (GAN,), {"networks": networks})
    with pytest.raises(RecipeError, match=message):
        make_run(tiny(variant="wrong"), {"variant.wrong": wrong})


def test_a_network_that_judges_is_a_discriminator_to_others_whatever_its_key(tiny, make_run):
    class Judged(GAN):
        networks = {"judge": "discriminator"}
        defaults = {**GAN.defaults, "judge": {"mlp": {"widths": [4], "norm": "none"}}}

        def describe(self, spaces):
            found = super().describe(spaces)
            found.networks["discriminator"].kind = "judge"
            return found

    recipe = tiny(variant={"judged": {"latent": 4}}, tricks=["spectral-norm"])
    del recipe["discriminator"]
    run = make_run(recipe, {"variant.judged": Judged})
    assert run.experiment.networks("discriminator") == run.experiment.networks("judge")
    assert any(nn.utils.parametrize.is_parametrized(m) for m in run.experiment.modules["discriminator"].modules())


def test_show_names_the_keys(tmp_path):
    from typer.testing import CliRunner

    from ganrun.cli import app

    shown = CliRunner().invoke(app, ["show", "variant.triple-gan", "--plugin", str(FILES[1])]).stdout
    assert "networks besides generator and discriminator: classifier (a discriminator)" in shown

"""``players.NAME.freeze``: frozen parameters do not move, whatever tricks do, and go on when the time is over."""

import pytest
import torch

from ganrun.catalog.catalog import Catalog
from ganrun.recipe import RecipeError, load_recipe
from ganrun.testing.runs import new_run, written_and_read
from ganrun.training.build import RefusedError

LOWEST = ["discriminator.main.0.weight", "discriminator.main.2.weight"]
NORM = ["discriminator.main.3.weight", "discriminator.main.3.bias"]  # behind the second layer


def recipe(freeze=None, tricks=(), norm="batch", **changes):
    """A DCGAN of 16 x 16 pixels, whose discriminator has three layers: main.0, main.2 and main.5."""
    return {
        "variant": "dcgan",
        "dataset": {"digits": {"size": 16}},
        "generator": {"dcgan": {"width": 2}},
        "discriminator": {"dcgan": {"width": 2, "norm": norm}},
        "tricks": list(tricks),
        "players": {} if freeze is None else {"discriminator": {"freeze": freeze}},
        "without": ["progress", "samples", "metrics-log", "health", "checkpoints"],
        "train": {"steps": 6, "batch_size": 4, "device": "cpu"},
        **changes,
    }


def built(*args, **changes):
    return new_run(load_recipe(recipe(*args, **changes), catalog=Catalog()), Catalog())


def stepped(run, first, last):
    for step in range(first, last):
        run.engine.step(step)
        run.step = step + 1
    return run


def weights(run):
    modules = run.experiment.modules.items()
    return {f"{name}.{key}": tensor.clone() for name, module in modules for key, tensor in module.state_dict().items()}


def moved(before, after, names):
    return {name for name in names if not torch.equal(before[name], after[name])}


def test_the_lowest_layers_keep_their_weights_have_no_gradient_and_no_state_of_the_optimiser():
    run = built(2)
    assert run.experiment.frozen["discriminator"].names == LOWEST + NORM
    before = weights(run)
    stepped(run, 0, 3)
    assert moved(before, weights(run), before.keys()) >= {"discriminator.main.5.weight", "generator.main.0.weight"}
    assert moved(before, weights(run), LOWEST + NORM) == set()
    frozen = run.experiment.frozen["discriminator"].parameters
    assert all(parameter.grad is None for parameter in frozen)
    state = run.engine.optimizers["discriminator"].state
    assert len(state) == 1
    assert not any(parameter in state for parameter in frozen)


def test_running_statistics_of_frozen_layers_follow_the_data():
    run = built(2)
    before = weights(run)
    name = "discriminator.main.3.running_mean"
    assert moved(before, weights(stepped(run, 0, 1)), [name]) == {name}


def test_what_is_not_frozen_makes_the_step_that_it_would_make():
    frozen, plain = stepped(built(2), 0, 1), stepped(built(), 0, 1)
    name = "discriminator.main.5.weight"
    assert torch.equal(weights(frozen)[name], weights(plain)[name])


@pytest.mark.parametrize("nothing", [0, {"layers": 0}, {"modules": []}, {"until": 2}])
def test_freezing_nothing_is_no_freezing_bit_for_bit(nothing):
    one, other = (weights(stepped(run, 0, 3)) for run in (built(nothing), built()))
    assert moved(one, other, one.keys()) == set()


def test_until_is_when_training_begins():
    run = built({"layers": 2, "until": "50%"})
    before = weights(run)
    assert moved(before, weights(stepped(run, 0, 3)), LOWEST) == set()
    assert moved(before, weights(stepped(run, 3, 4)), LOWEST) == set(LOWEST)


TRICKS = [
    ["ema", {"spectral-norm": {"networks": "all"}}],
    [{"weight-norm": {"networks": "discriminators"}}],
    [{"r1": {"every": 2}}],
    ["gradient-penalty"],
    [{"weight-clipping": {"limit": 0.01}}],
    [{"unrolling": {"steps": 2}}],
    ["loss-balance", "feature-matching"],
    ["historical-averaging", "gradient-clipping"],
    [{"orthogonal-regularisation": {"players": ["discriminator"]}}],
]


@pytest.mark.parametrize("tricks", [TRICKS[0], *(pytest.param(t, marks=pytest.mark.slow) for t in TRICKS[1:])], ids=str)
def test_no_trick_moves_what_is_frozen_and_a_run_resumes_across_the_moment_to_the_same_bits(tricks):
    freeze = {"layers": 2, "until": 3}
    straight = built(freeze, tricks, "none")
    frozen = straight.experiment.frozen["discriminator"].parameters
    before = [parameter.clone() for parameter in frozen]
    stepped(straight, 0, 2)
    state = written_and_read(straight.state_dict())
    stepped(straight, 2, 3)
    assert all(torch.equal(*pair) for pair in zip(before, frozen))
    stepped(straight, 3, 6)
    assert not any(torch.equal(*pair) for pair in zip(before, frozen))
    resumed = built(freeze, tricks, "none")
    resumed.load_state_dict(state)
    one, other = weights(straight), weights(stepped(resumed, 2, 6))
    assert moved(one, other, one.keys()) == set()


def test_steps_that_are_unrolled_leave_frozen_layers_as_they_are():
    run = built(2, [{"unrolling": {"steps": 1}}], "none")
    seen = []
    trick = run.experiment.tricks[0]
    unrolled = trick._unrolled
    trick._unrolled = lambda *args: seen.append(unrolled(*args)) or seen[-1]
    stepped(run, 0, 1)
    assert [set(overrides) for overrides in seen] == [{"main.4.weight"}]


def test_modules_are_frozen_by_name_and_pattern_for_generators_too():
    players = {"generator": {"freeze": {"modules": ["generator.main.0", "generator.main.[47]"]}}}
    run = built(players=players)
    assert run.experiment.frozen["generator"].names == [
        "generator.main.0.weight",
        "generator.main.4.weight",
        "generator.main.4.bias",
    ]


@pytest.mark.parametrize(
    ("freeze", "message"),
    [
        (4, r"discriminator.freeze.layers: discriminator has 3 layers: main.0, main.2, main.5\n.*at most 2\n?$"),
        (3, "nothing of discriminator would be trained"),
        ({"modules": ["discriminator.mian.*"]}, r"no parameter of discriminator lies in 'discriminator.mian.\*'"),
        ({"modules": ["generator.main.0"]}, "no parameter of discriminator lies in 'generator.main.0'"),
    ],
)
def test_what_cannot_be_frozen_is_refused_before_training(freeze, message):
    with pytest.raises(RefusedError, match=message):
        built(freeze)


def test_frozen_layers_that_were_never_trained_are_warned_of():
    warnings = [str(warning) for warning in built(1).experiment.warnings]
    assert any("players.discriminator.freeze" in line and "init: RUN" in line for line in warnings)


def test_a_number_is_the_layers_and_merges_with_more():
    def freeze(**overrides):
        return load_recipe(recipe(3), catalog=Catalog(), overrides=overrides).players["discriminator"].freeze

    assert (freeze().layers, freeze().until) == (3, None)
    later = freeze(**{"players.discriminator.freeze.until": "10%"})
    assert (later.layers, str(later.until)) == (3, "10%")
    assert freeze(**{"players.discriminator.freeze": None}) is None
    with pytest.raises(RecipeError, match="freeze: expected a number of layers, or a mapping, got true"):
        load_recipe(recipe(True), catalog=Catalog())


def test_a_step_without_freezing_has_nothing_to_look_at():
    engine = built().engine
    parameters = engine.parameters["discriminator"]
    assert engine.freezing.frozen == {}
    assert engine.freezing.trained("discriminator", parameters) is parameters

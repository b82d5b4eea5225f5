"""Progressive growing in runs: optimisers that forget, one growth for all, resuming within a fade, averages."""

from types import MappingProxyType

import pytest
import torch
from torch import nn

from ganrun.schedule import Clock
from ganrun.testing.runs import first_difference, samples, steps, weights, written_and_read
from ganrun.words.game import Phase
from ganrun.words.spaces import Refusal, Space
from ganrun_plugins.variants.progan import ProGAN


@pytest.fixture
def recipe():
    """Level 0 in steps 0 to 3, faded by a half in step 4, level 1 from step 5 on."""

    def make(**changes):
        narrow = {"progan": {"base": 64, "widest": 8}}
        return {
            "variant": {"progan": {"latent": 4, "stage": 3, "fade": 2}},
            "dataset": {"digits": {"size": 8}},
            "generator": narrow,
            "discriminator": narrow,
            "without": ["progress", "samples", "metrics-log", "health", "checkpoints"],
            "train": {"steps": 10, "batch_size": 8, "device": "cpu"},
            **changes,
        }

    return make


def count_of_adam(run, player):
    """How many steps the optimiser remembers, of the layers that were in use last."""
    entries = [entry["step"] for entry in run.engine.optimizers[player].state.values()]
    return int(max(entries))


def test_optimisers_forget_exactly_where_levels_change(recipe, make_run):
    run = make_run(recipe())
    found = {"generator": [], "discriminator": []}
    growth = []
    for _ in range(8):
        steps(run, 1)
        growth.append(float(run.engine.modules["generator"].grown))
        for player, counts in found.items():
            counts.append(count_of_adam(run, player))
    assert growth == [0, 0, 0, 0, 0.5, 1, 1, 1]
    assert found["generator"] == found["discriminator"] == [1, 2, 3, 4, 1, 1, 2, 3]


def test_the_growth_of_networks_reals_and_log_is_one(recipe, make_run):
    run = make_run(recipe())
    steps(run, 5)
    assert [float(module.grown) for module in run.engine.modules.values()] == [0.5, 0.5]
    assert float(run.engine.terms["generator"]["grown"]) == 0.5


@pytest.mark.parametrize("before", [3, 4, 5, 6])
def test_a_run_resumes_before_within_and_after_a_fade(recipe, make_run, before):
    def go(run, count):
        return steps(run, count)

    changed = recipe(variant={"progan": {"latent": 4, "stage": 2, "fade": 4}})  # fading in steps 3 to 5
    straight = go(make_run(changed), 8)
    stopped = go(make_run(changed), before)
    assert stopped.engine.modules["generator"].fading == (before > 3)
    resumed = make_run(changed)
    resumed.load_state_dict(written_and_read(stopped.state_dict()))
    assert not first_difference(samples(stopped), samples(resumed)), "what a checkpoint shows"
    go(resumed, 8 - before)
    assert not first_difference(weights(straight), weights(resumed))
    assert not first_difference(samples(straight), samples(resumed))
    assert count_of_adam(straight, "generator") == count_of_adam(resumed, "generator")


def test_other_networks_train_and_it_is_said_that_they_do_not_grow(recipe, make_run):
    plain = {"dcgan": {"width": 4, "norm": "none"}}
    run = steps(make_run(recipe(generator=plain, discriminator=plain)), 3)
    assert sum("has no levels" in warning.why for warning in run.experiment.warnings) == 2
    assert all(bool(value.isfinite().all()) for value in weights(run).values())


@pytest.mark.parametrize("space", [Space("points", (2,)), Space("image", (1, 30, 30))])
def test_what_cannot_be_halved_down_to_a_base_is_refused(space):
    with pytest.raises(Refusal):
        ProGAN().describe({"x": space})


def test_an_average_after_the_discriminator_lags_one_step_behind_and_counts_its_updates(recipe, make_run):
    """The discriminator moves first.

    After step 1 the average is the start; after step 2 half the start, half the weights of step 1.
    """
    changed = recipe(tricks=[{"ema": {"decay": 0.5, "after": "discriminator"}}])
    run = make_run(changed)
    ema = next(trick for trick in run.experiment.tricks if hasattr(trick, "averages"))
    bias = run.engine.modules["generator"].rgb["4"].bias
    start = bias.detach().clone()
    steps(run, 1)
    first = bias.detach().clone()
    assert not torch.equal(start, first)
    assert torch.equal(ema.averages["generator"]["rgb.4.bias"], start)
    steps(run, 1)
    assert torch.allclose(ema.averages["generator"]["rgb.4.bias"], (start + first) / 2)
    twice = steps(make_run({**changed, "players": {"discriminator": {"updates": 2}}}), 3)
    assert next(trick for trick in twice.experiment.tricks if hasattr(trick, "averages")).updates == {"generator": 6}


def test_an_average_without_a_game_counts_the_generators_own_updates():
    from ganrun_plugins.tricks.ema import EMA

    class Experiment:
        players = {"alone": type("Player", (), {"name": "alone", "modules": ["generator"]})()}
        games = ()
        phases = (Phase("alone", "alone"),)
        clock = Clock(total=10, batch=1, dataset=10)

        modules = MappingProxyType({"generator": nn.Linear(1, 1)})

        def is_generator(self, name):
            return name == "generator"

    ema = EMA(after="discriminator")
    ema.build(Experiment())
    assert ema.players == {"alone": {"generator"}}

"""Losses that an outside author could write: one that learns a multiplier (Fisher), and a family (f-GAN)."""

from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType

import pytest
import torch

from ganrun.catalog.catalog import Catalog
from ganrun.plugin import DiscriminatorOutput, Game, Round, Stream
from ganrun.recipe import load_recipe
from ganrun.testing import Example, Plugin, losses, parametrize_with_checks
from ganrun.testing.runs import first_difference, new_run, steps, weights
from ganrun.training import checkpoint
from ganrun.words.hooks import Component, hookimpl

HERE = Path(__file__).parent / "third_party" / "one_file"
FILES = [HERE / "fisher.py", HERE / "f_gan.py"]
GAME = Game("adversarial", "discriminator", "discriminator", ["generator"])
Fisher = Catalog(modules=FILES).load("loss", "fisher").factory
FGAN = Catalog(modules=FILES).load("loss", "f-gan").factory


@parametrize_with_checks(["loss.fisher", "loss.f-gan"], modules=FILES)
def test_contract(plugin, check):
    check(plugin)


@parametrize_with_checks(
    ["loss.f-gan"], modules=FILES, examples={"loss.f-gan": Example({"divergence": "reverse-kl", "generator": "theory"})}
)
def test_contract_of_another_divergence(plugin, check):
    check(plugin)


def round_of(side, **logits):
    streams = [
        Stream(torch.zeros(len(found), 2), role, output=DiscriminatorOutput(torch.tensor(found, dtype=torch.float64)))
        for role, found in logits.items()
    ]
    return Round(GAME, side, streams)


# --- fisher -------------------------------------------------------------------------------------------------------


def test_the_fisher_loss_by_hand():
    """f = 1, 3 on real samples and -2, 0 on fakes: Omega = (5 + 2) / 2 = 3.5; lambda = 0.5, rho = 0.2.

    The constraint is 0.5 * -2.5 - 0.1 * 6.25 = -1.875, so what is minimised is -2 - 1 + 1.875.
    """
    loss = Fisher(rho=0.2)
    loss.multiplier["adversarial"] = torch.tensor(0.5)
    found = loss.discriminator(round_of("discriminator", real=[1.0, 3.0], fake=[-2.0, 0.0]))
    values = {stream.role: value.tolist() for stream, value in found.items()}
    assert values == {"real": [-0.0625, -2.0625], "fake": [-1.0625, 0.9375]}
    assert sum(sum(value) / 2 for value in values.values()) == pytest.approx(-2 - 1 + 1.875)


@pytest.fixture
def run_of(tiny):
    """A function: an untrained run with one of these losses."""

    def make(loss, **parts):
        catalog = Catalog(modules=FILES)
        return new_run(load_recipe(tiny(loss=loss, **parts), catalog=catalog), catalog)

    return make


@pytest.mark.parametrize("train", [{}, {"accumulate": 2}])
def test_lambda_follows_the_second_moment_of_each_turn(run_of, train):
    run, expected = run_of({"fisher": {"rho": 0.1}}, train=train), 0.0
    for _ in range(3):
        steps(run, 1)
        expected += 0.1 * (float(run.engine.terms["discriminator"]["adversarial.second-moment"]) - 1)
        assert float(run.experiment.loss("adversarial").multiplier["adversarial"]) == pytest.approx(expected, rel=1e-5)
    assert expected != 0.0


def test_lambda_resumes(run_of):
    run, again = run_of({"fisher": {"rho": 0.1}}), run_of({"fisher": {"rho": 0.1}})
    steps(run, 2)
    tensors = {}
    again.load_state_dict(checkpoint.unflatten(checkpoint.flatten(run.state_dict(), tensors), tensors))
    assert not first_difference(weights(steps(run, 2)), weights(steps(again, 2)))


# --- a loss is looked at in the states that it comes to -----------------------------------------------------------


class Ascent(Fisher):
    """The multiplier alone, which begins at 0, where the samples of a batch are apart."""

    def discriminator(self, round):
        slack = 1 - sum(s.logits.square().mean() for s in round.streams) / 2
        multiplier = self.multiplier.get("adversarial", 0.0)
        return {s: (-s.logits if s.role == "real" else s.logits) - multiplier * slack / 2 for s in round.streams}


class Silent(Ascent):
    """It does not say that its samples are coupled."""

    provides = frozenset({"logit:unbounded"})


class Breaks(Ascent):
    """A logarithm of the multiplier, which has none once it has fallen below 0."""

    def generator(self, round):
        shift = (1 + 1e6 * self.multiplier.get("adversarial", torch.zeros(()))).log()
        return {s: -s.logits + shift for s in round.of("fake")}


def plugin_of(factory):
    def ganrun_components():
        yield Component("loss", "tried", factory)

    module = ModuleType("tried")
    module.__doc__ = f"{factory.__doc__}"
    module.ganrun_components = hookimpl(ganrun_components)
    return Plugin("loss.tried", modules=[module])


def test_a_coupling_that_begins_at_nothing_is_found_after_some_updates():
    losses.check_batch_coupling_is_declared(plugin_of(Ascent))
    with pytest.raises(AssertionError, match="after 3 steps: values of the discriminator's side change with other"):
        losses.check_batch_coupling_is_declared(plugin_of(Silent))


def test_what_breaks_in_a_later_state_is_found_and_the_state_is_named():
    losses.check_values_have_one_row_a_sample(plugin_of(Ascent))
    with pytest.raises(AssertionError, match="after 3 steps: generator, logits .*: values are not finite"):
        losses.check_values_have_one_row_a_sample(plugin_of(Breaks))


# --- f-gan --------------------------------------------------------------------------------------------------------

RATIO = 3.0  # p_data / p_generator
SLOPES = {  # f'(u) of table 6, at u = 3
    "kl": 1 + math.log(RATIO),
    "reverse-kl": -1 / RATIO,
    "pearson": 2 * (RATIO - 1),
    "jensen-shannon": math.log(2 * RATIO / (1 + RATIO)),
}
LOGITS = {  # those with g(l) = f'(3)
    "kl": 1 + math.log(RATIO),
    "reverse-kl": math.log(RATIO),
    "pearson": 2 * (RATIO - 1),
    "jensen-shannon": math.log(RATIO),
}
DIVERGENCES = {  # q f(u) at a point with p = 3/4 and q = 1/4
    "kl": 0.75 * math.log(RATIO),
    "reverse-kl": -0.25 * math.log(RATIO),
    "pearson": 0.25 * (RATIO - 1) ** 2,
    "jensen-shannon": 0.25 * (RATIO * math.log(RATIO) - (RATIO + 1) * math.log((RATIO + 1) / 2)),
}


@pytest.mark.parametrize("name", SLOPES)
def test_the_best_discriminator_gives_the_slope_of_f_and_its_bound_the_divergence(name):
    loss = FGAN(divergence=name)
    (value, *_) = loss.discriminator(round_of("discriminator", real=[LOGITS[name]], fake=[0.0])).values()
    assert -value.item() == pytest.approx(SLOPES[name])
    best = torch.tensor([LOGITS[name]], dtype=torch.float64, requires_grad=True)
    streams = [Stream(torch.zeros(1, 2), role, output=DiscriminatorOutput(best)) for role in ("real", "fake")]
    values = loss.discriminator(Round(GAME, "discriminator", streams))
    total = sum({"real": 0.75, "fake": 0.25}[stream.role] * value.sum() for stream, value in values.items())
    assert torch.autograd.grad(total, best)[0].item() == pytest.approx(0.0, abs=1e-9)
    assert -total.item() == pytest.approx(DIVERGENCES[name])


@pytest.mark.parametrize(("side", "wanted"), [("trick", -2.0), ("theory", -math.exp(1.0))])
def test_the_generators_side_by_hand(side, wanted):
    """KL at l = 2: g = 2, f*(2) = e."""
    (value,) = FGAN(generator=side).generator(round_of("generator", fake=[2.0])).values()
    assert value.item() == pytest.approx(wanted)

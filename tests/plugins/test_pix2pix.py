"""pix2pix: its step by hand, what its discriminator sees, the L1-only network, and how it is sampled."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ganrun.sampling.sampling import SampleMaker, Sampling
from ganrun.words.spaces import Refusal, Space
from ganrun_plugins.variants.pix2pix import Pix2pix

QUIET = ["progress", "samples", "metrics-log", "health", "checkpoints"]
IMAGE = Space("image", (1, 8, 8))


def recipe(*, steps=4, dropout=0.5, norm="batch", tricks=(), batch_size=4, precision="float32", **parameters):
    return {
        "variant": {"pix2pix": parameters} if parameters else "pix2pix",
        "dataset": {"paired-digits": {"size": 8}},
        "generator": {"unet": {"width": 2, "dropout": dropout, "norm": norm}},
        "discriminator": {"patchgan": {"layers": 1, "width": 2, "norm": "batch"}},
        "tricks": list(tricks),
        "without": QUIET,
        "train": {"steps": steps, "batch_size": batch_size, "device": "cpu", "precision": precision},
    }


def trained(make_run, made):
    run = make_run(made)
    for step in range(made["train"]["steps"]):
        run.engine.step(step)
    return run


def weights(run, name):
    return [p.detach().clone() for p in run.experiment.modules[name].parameters()]


def items(n=6):
    generator = torch.Generator().manual_seed(0)
    return {name: torch.rand(n, 1, 8, 8, generator=generator) * 2 - 1 for name in ("a", "b")}


# --- the step ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("adversarial", [1.0, 0.0])
def test_pix2pix_follows_a_loop_written_by_hand(make_run, adversarial):
    """D first on half the sum, then G on the same fakes: -log D(a, G(a)) + 100 L1; with weight 0 the discriminator is
    out of the sum.
    """
    made = recipe(dropout=0, adversarial=adversarial, precision="float64")
    run, twin = trained(make_run, made), make_run(made)
    with twin.experiment.settings():
        by_hand(twin, 4, game=adversarial > 0)
    for name in ("generator", "discriminator"):
        assert all(
            torch.allclose(a, b, rtol=0, atol=1e-9)
            for a, b in zip(weights(run, name), weights(twin, name), strict=True)
        )


def by_hand(twin, steps, *, game):
    m = twin.experiment.modules
    adam = {"lr": 2e-4, "betas": (0.5, 0.999)}
    optimizers = {name: torch.optim.Adam(m[name].parameters(), **adam) for name in m}
    reader = twin.experiment.reader("step", 4)

    def bce(logits, target):
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))

    for _ in range(steps):
        batch = reader.get(4)
        reader.advance(4)
        a, b = batch["a"], batch["b"]
        fake = m["generator"](a)
        optimizers["discriminator"].zero_grad()
        (
            0.5 * (bce(m["discriminator"](b, a).logits, 1.0) + bce(m["discriminator"](fake.detach(), a).logits, 0.0))
        ).backward()
        optimizers["discriminator"].step()
        optimizers["generator"].zero_grad()
        loss = 100 * (fake - b).abs().mean()
        if game:
            loss = loss + bce(m["discriminator"](fake, a).logits, 1.0)
        loss.backward()
        optimizers["generator"].step()


def test_fakes_are_made_once_a_step(make_run):
    """With dropout a second forward would be another translation."""
    run, calls = make_run(recipe()), []
    run.experiment.modules["generator"].register_forward_hook(lambda module, x, y: calls.append(y.shape))
    run.engine.step(0)
    assert len(calls) == 1


def test_without_the_game_the_discriminator_has_no_say(make_run):
    """Whatever the discriminator's weights, the generator of the L1-only network learns the same; with the game it does
    not.
    """
    ends = {}
    for weight in (0.0, 1.0):
        for rate in (0.0, 1e-2):
            still = {"players": {"discriminator": {"optimizer": {"adam": {"lr": rate}}}}}
            ends[weight, rate] = weights(trained(make_run, recipe(adversarial=weight) | still), "generator")
    assert all(torch.equal(x, y) for x, y in zip(ends[0.0, 0.0], ends[0.0, 1e-2]))
    assert not all(torch.equal(x, y) for x, y in zip(ends[1.0, 0.0], ends[1.0, 1e-2]))


@pytest.mark.parametrize(("direction", "source", "target"), [("ab", "a", "b"), ("ba", "b", "a")])
def test_the_discriminator_sees_the_answer_beside_its_own_input(make_run, direction, source, target):
    run, seen = make_run(recipe(direction=direction)), []
    run.experiment.modules["discriminator"].register_forward_pre_hook(
        lambda module, args: seen.append([t.clone() for t in args])
    )
    made, real = [], {}
    make = run.experiment.variant.make
    run.experiment.variant.make = lambda turn: (
        make(turn),
        made.append(turn.made[target].detach()),
        real.update(turn.real),
    )
    run.engine.step(0)
    assert len(seen) == 3, "real and fake in the discriminator's turn, fake in the generator's"
    assert all(torch.equal(given, real[source]) for _, given in seen)
    assert [torch.equal(x, y) for (x, _), y in zip(seen, (real[target], made[0], made[0]))] == [True] * 3
    assert run.experiment.description.outputs == (target,)


def test_terms_have_the_weights_of_the_paper(make_run):
    run, seen = make_run(recipe()), {}
    backward = run.engine.backward
    run.engine.backward = lambda turn: (
        seen.update({turn.player: {k: t.weight for k, t in turn.terms.items()}}),
        backward(turn),
    )
    run.engine.step(0)
    assert seen == {
        "discriminator": {"adversarial.real": 0.5, "adversarial.fake": 0.5},
        "generator": {"adversarial.fake": 1, "l1": 100},
    }


def test_defaults_are_the_papers(make_run):
    run = make_run(
        {"variant": "pix2pix", "dataset": {"paired-digits": {"size": 32}}, "without": QUIET, "train": {"device": "cpu"}}
    )
    assert (run.recipe.train.batch_size, str(run.recipe.train.steps), run.recipe.tricks) == (1, "200 epochs", [])
    assert run.experiment.modules["generator"].model.model[0].weight.shape == (64, 1, 4, 4)
    assert run.experiment.modules["generator"].model.model[0].weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert sum(isinstance(layer, nn.Dropout) for layer in run.experiment.modules["generator"].modules()) == 3
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in run.experiment.modules["discriminator"].modules())


# --- sampling ---------------------------------------------------------------------------------------------------


def two_translations(run):
    return [SampleMaker(run.engine).turn(6, seed, real=items()).made["b"] for seed in (0, 1)]


def test_dropout_is_on_when_sampling_unless_it_is_turned_off(make_run):
    """The same input becomes two pictures, or one."""
    run = trained(make_run, recipe())
    first, second = two_translations(run)
    assert not torch.equal(first, second)
    assert torch.equal(first, two_translations(run)[0])
    assert torch.equal(*two_translations(trained(make_run, recipe(dropout_at_test=False))))


def test_dropout_and_batch_statistics_are_switches_of_their_own(make_run):
    for dropout in (False, True):
        for statistics in (False, True):
            run = make_run(recipe(dropout_at_test=dropout, bn_at_test=statistics))
            sampling = Sampling(dict(run.experiment.modules))
            run.experiment.variant.sampling(sampling)
            assert any(isinstance(layer, nn.Dropout) for layer in sampling.active) is dropout
            assert any(isinstance(layer, nn.BatchNorm2d) for layer in sampling.active) is statistics


@pytest.mark.parametrize("ema", [False, True])
def test_batch_statistics_are_those_of_batches_as_in_training(make_run, ema):
    """Ten pictures in batches of 4: rows 0 to 3, 4 to 7, 8 and 9 by their own means, as a generator in training mode;
    no buffer moves.
    """
    run = trained(make_run, recipe(dropout=0, tricks=[{"ema": {"decay": 0.0}}] if ema else ()))
    generator, x = run.experiment.modules["generator"], items(10)
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    made = SampleMaker(run.engine).turn(10, real=x).made["b"]
    after = generator.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    with torch.no_grad():
        expected = torch.cat([generator.train()(piece) for piece in x["a"].split(4)])
    assert torch.allclose(made, expected, atol=1e-6)
    assert not torch.allclose(made, generator.eval()(x["a"]), atol=1e-3)


def test_a_single_row_left_over_joins_the_batch_before_it(make_run):
    run = trained(make_run, recipe(dropout=0))
    with torch.no_grad():
        expected = torch.cat(
            [run.experiment.modules["generator"].train()(piece) for piece in (items(9)["a"][:4], items(9)["a"][4:])]
        )
    assert torch.allclose(SampleMaker(run.engine).turn(9, real=items(9)).made["b"], expected, atol=1e-6)


def test_without_batch_statistics_a_sample_does_not_depend_on_its_neighbours(make_run):
    run = trained(make_run, recipe(dropout_at_test=False, bn_at_test=False))
    generator, x = run.experiment.modules["generator"].eval(), items()
    assert torch.allclose(SampleMaker(run.engine).turn(6, real=x).made["b"], generator(x["a"]), atol=1e-6)


def test_panels_show_input_answer_and_truth(make_run):
    run, real = make_run(recipe(dropout_at_test=False, bn_at_test=False)), items(3)
    (name, panel), *rest = SampleMaker(run.engine).panels(3, real=real).items()
    assert (name, rest, panel.column_names) == ("a to b", [], ["a", "to b", "true b"])
    columns = panel.columns
    assert torch.equal(columns[0], real["a"])
    assert torch.equal(columns[2], real["b"])


def test_what_is_no_pair_of_images_is_refused():
    with pytest.raises(Refusal, match="learns from pairs"):
        Pix2pix().describe({"x": IMAGE})
    with pytest.raises(Refusal, match="translates images"):
        Pix2pix().describe({"a": IMAGE, "b": Space("points", (2,))})

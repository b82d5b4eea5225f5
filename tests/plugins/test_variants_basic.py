"""The basic variants through the real engine, against loops written by hand."""

import pytest
import torch
import torch.nn.functional as F
from basic_variants import QUIET, recipe_of, trained, weights

from ganrun.randomness import Draws
from ganrun.schedule import Clock, Scheduled
from ganrun_plugins.variants.cyclegan import RATE


@pytest.mark.parametrize(("variant", "least_squares"), [("dcgan", False), ("lsgan", True)])
def test_dcgan_is_bit_identical_to_a_hand_written_loop(make_run, variant, least_squares):
    recipe = recipe_of(variant, steps=5)
    run, twin = trained(make_run, recipe), make_run(recipe)
    generator, discriminator = twin.experiment.modules["generator"], twin.experiment.modules["discriminator"]
    adam = {"lr": 2e-4, "betas": (0.5, 0.999), "fused": True}
    optimizers = [torch.optim.Adam(network.parameters(), **adam) for network in (discriminator, generator)]
    reader = twin.experiment.reader("discriminator", 4)
    zero, one = torch.zeros(4), torch.ones(4)

    def loss(logits, target):
        if least_squares:
            return 0.5 * F.mse_loss(logits, target)
        return F.binary_cross_entropy_with_logits(logits, target)

    for step in range(5):
        x = reader.get(4, 0, 1)["x"]
        reader.advance(4)
        z = Draws((0, 0, step, "discriminator", 0)).normal("z", 4, 100)
        fake = generator(z)
        optimizers[0].zero_grad()
        (loss(discriminator(x).logits, one) + loss(discriminator(fake.detach()).logits, zero)).backward()
        optimizers[0].step()
        optimizers[1].zero_grad()
        logits = discriminator(fake).logits
        (loss(logits, one) if least_squares else -F.logsigmoid(logits).mean()).backward()
        optimizers[1].step()
    expected = {f"{n}.{k}": v for n, m in twin.experiment.modules.items() for k, v in m.state_dict().items()}
    found = weights(run)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in found)


def test_cyclegan_follows_the_reference_step_by_step(make_run):
    """Both generators first, then both discriminators on the fakes made before; weights 10 and 5; half the
    discriminators' sum.
    """
    recipe = recipe_of("cyclegan", steps=4, without=["replay-buffer"], precision="float64")
    run = trained(make_run, recipe)
    twin = make_run(recipe)
    with twin.experiment.settings():
        by_hand_cyclegan(twin, 4)
    expected = {f"{n}.{k}": v for n, m in twin.experiment.modules.items() for k, v in m.state_dict().items()}
    found = weights(run)
    assert all(torch.allclose(found[key], expected[key], rtol=0, atol=1e-9) for key in expected)


def by_hand_cyclegan(twin, steps: int) -> None:
    m = twin.experiment.modules
    ab, ba, d_a, d_b = (m[name] for name in ("generator_ab", "generator_ba", "discriminator_a", "discriminator_b"))
    adam = {"lr": 2e-4, "betas": (0.5, 0.999)}
    generators = torch.optim.Adam([*ab.parameters(), *ba.parameters()], **adam)
    discriminators = torch.optim.Adam([*d_a.parameters(), *d_b.parameters()], **adam)
    reader = twin.experiment.reader("step", 4)

    def gan(logits, real):
        return F.mse_loss(logits, torch.full_like(logits, float(real)))

    for _ in range(steps):
        batch = reader.get(4, 0, 1)
        reader.advance(4)
        a, b = batch["a"], batch["b"]
        fake_b, fake_a = ab(a), ba(b)
        loss = gan(d_b(fake_b).logits, True) + gan(d_a(fake_a).logits, True)
        loss = loss + 10 * F.l1_loss(ba(fake_b), a) + 10 * F.l1_loss(ab(fake_a), b)
        loss = loss + 5 * F.l1_loss(ab(b), b) + 5 * F.l1_loss(ba(a), a)
        generators.zero_grad()
        loss.backward()
        generators.step()
        discriminators.zero_grad()
        (0.5 * (gan(d_b(b).logits, True) + gan(d_b(fake_b.detach()).logits, False))).backward()
        (0.5 * (gan(d_a(a).logits, True) + gan(d_a(fake_a.detach()).logits, False))).backward()
        discriminators.step()


def test_cyclegan_translates_six_times_a_step(make_run):
    """Two fakes, two ways back and two identities in the generators' turn; none in the discriminators'."""
    run, calls = make_run(recipe_of("cyclegan")), []
    for name in ("generator_ab", "generator_ba"):
        run.experiment.modules[name].register_forward_hook(lambda module, x, y, name=name: calls.append(name))
    run.engine.step(0)
    assert sorted(calls) == ["generator_ab"] * 3 + ["generator_ba"] * 3


def test_cyclegan_without_identity_makes_no_identity_forward(make_run):
    recipe = recipe_of("cyclegan") | {"variant": {"cyclegan": {"identity": 0}}}
    run = make_run(recipe)
    run.engine.step(0)
    assert set(run.engine.terms["generator"]) == {"b.fake", "a.fake", "cycle_a", "cycle_b"}


def test_cyclegan_terms_have_the_weights_of_the_paper(make_run):
    seen = {}
    run = make_run(recipe_of("cyclegan"))
    backward = run.engine.backward
    run.engine.backward = lambda turn: (
        seen.update({turn.player: {k: t.weight for k, t in turn.terms.items()}}),
        backward(turn),
    )
    run.engine.step(0)
    assert seen["generator"] == {
        "b.fake": 1,
        "a.fake": 1,
        "cycle_a": 10,
        "cycle_b": 10,
        "identity_a": 5,
        "identity_b": 5,
    }
    assert seen["discriminator"] == {"b.real": 0.5, "b.fake": 0.5, "a.real": 0.5, "a.fake": 0.5}


@pytest.mark.parametrize(
    ("epoch", "factor"), [(1, 1.0), (100, 1.0), (101, 1 - 1 / 101), (150, 1 - 50 / 101), (200, 1 - 100 / 101)]
)
def test_cyclegan_rate_at_the_epochs_of_the_reference(epoch, factor):
    clock = Clock(total=200 * 1334, batch=1, dataset=1334)
    rate = Scheduled(RATE)
    first, last = (epoch - 1) * 1334, epoch * 1334 - 1
    assert rate.at(first, clock) == pytest.approx(2e-4 * factor)
    assert rate.at(last, clock) == rate.at(first, clock)


def test_cyclegan_defaults_are_the_papers(make_run):
    run = make_run(
        {
            "variant": "cyclegan",
            "dataset": {"restyled-digits": {"size": 32}},
            "without": QUIET,
            "train": {"device": "cpu"},
        }
    )
    parameters = {name: sum(p.numel() for p in module.parameters()) for name, module in run.experiment.modules.items()}
    assert run.recipe.train.batch_size == 1
    assert str(run.recipe.train.steps) == "200 epochs"
    assert [trick.name for trick in run.recipe.tricks] == ["replay-buffer"]
    assert run.recipe.tricks[0].parameters["size"] == 50
    assert parameters["generator_ab"] == parameters["generator_ba"]
    assert parameters["discriminator_a"] == 2_764_737 - 2 * 64 * 16  # one channel instead of three
    assert run.experiment.modules["discriminator_a"].model[2].weight.std().item() == pytest.approx(0.02, rel=0.05)

"""DiscoGAN: its networks, its exclusive schedule, its terms by hand, and what the discriminators' turns leave alone."""

import pytest
import torch
import torch.nn.functional as F

from ganrun.schedule import Clock
from ganrun.testing import made
from ganrun.words.game import Phase
from ganrun.words.spaces import Interface, Refusal, Space
from ganrun_plugins.networks.dcgan import DCGANDiscriminator
from ganrun_plugins.networks.discogan import DiscoGANGenerator
from ganrun_plugins.variants.discogan import DiscoGAN

QUIET = ["progress", "samples", "metrics-log", "health", "checkpoints"]
IMAGE = Space("image", (3, 64, 64))


def recipe(*, steps=4, precision="float32", **parameters):
    return {
        "variant": {"discogan": parameters} if parameters else "discogan",
        "dataset": {"restyled-digits": {"size": 16}},
        "generator": {"discogan": {"width": 2}},
        "discriminator": {"dcgan": {"width": 2}},
        "without": QUIET,
        "train": {"steps": steps, "batch_size": 4, "device": "cpu", "precision": precision},
    }


def trained(make_run, made, steps):
    run = make_run(made)
    for step in range(steps):
        run.engine.step(step)
    return run


def weights(run, kind):
    return [
        p.detach().clone()
        for name, module in run.experiment.modules.items()
        if name.startswith(kind)
        for p in module.parameters()
    ]


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


# --- networks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bottleneck", "parameters"), [(None, 5_513_856), (100, 7_153_480)])
def test_generators_have_the_published_size(bottleneck, parameters):
    with torch.device("meta"):
        network = DiscoGANGenerator(Interface(takes=IMAGE, makes=IMAGE), bottleneck=bottleneck)
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_the_discriminator_has_the_published_size_and_three_more_layers_of_features():
    network = DCGANDiscriminator(Interface(takes=IMAGE))
    assert sum(p.numel() for p in network.parameters()) == 2_765_568
    assert [tuple(f.shape[1:]) for f in network(torch.zeros(2, 3, 64, 64)).features[1:]] == [
        (128, 16, 16),
        (256, 8, 8),
        (512, 4, 4),
    ]


def test_the_end_is_the_codes_sigmoid_in_other_units():
    """An image y in [0, 1] is 2 y - 1 here: the output is 2 sigmoid(last layer) - 1."""
    network = (
        DiscoGANGenerator(Interface(takes=Space("image", (1, 8, 8)), makes=Space("image", (1, 8, 8))), width=2)
        .double()
        .eval()
    )
    x = torch.randn(3, 1, 8, 8, dtype=torch.float64)
    assert torch.allclose(network(x), 2 * torch.sigmoid(network.main(x)) - 1)


def test_a_vector_in_the_middle_serves_every_norm_and_single_rows():
    space = Space("image", (1, 8, 8))
    for norm in ("instance", "none"):
        assert (
            DiscoGANGenerator(Interface(takes=space, makes=space), width=2, bottleneck=3, norm=norm)(
                torch.zeros(1, 1, 8, 8)
            )
            .isfinite()
            .all()
        )


# --- the schedule -----------------------------------------------------------------------------------------------


def test_seven_steps_are_d_g_g_d_g_g_d(make_run):
    run, turns = make_run(recipe()), []
    take = run.engine.take
    run.engine.take = lambda phase, *rest: (turns.append(phase.name[0]), take(phase, *rest))[1]
    for step in range(7):
        run.engine.step(step)
    assert "".join(turns) == "dggdggd"


def test_other_numbers_of_generator_steps():
    phases: list[Phase] = DiscoGAN(generator_steps=1).describe({"a": IMAGE, "b": IMAGE}).phases
    assert [[phase.name[0] for phase in phases if phase.due(step)] for step in range(4)] == [["d"], ["g"], ["d"], ["g"]]


def test_a_step_changes_one_player_alone(make_run):
    run = make_run(recipe())
    start = {kind: weights(run, kind) for kind in ("generator", "discriminator")}
    run.engine.step(0)
    after = {kind: weights(run, kind) for kind in start}
    assert same(start["generator"], after["generator"])
    assert not same(start["discriminator"], after["discriminator"])
    run.engine.step(1)
    assert same(after["discriminator"], weights(run, "discriminator"))
    assert not same(after["generator"], weights(run, "generator"))


def test_every_step_reads_a_batch_of_its_own(make_run):
    run, seen = make_run(recipe()), []
    make = run.experiment.variant.make
    run.experiment.variant.make = lambda turn: (seen.append(turn.real["a"].clone()), make(turn))
    for step in range(3):
        run.engine.step(step)
    reader = run.experiment.reader("step", 4)
    for batch in seen:
        assert torch.equal(batch, reader.get(4)["a"])
        reader.advance(4)


# --- the terms --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("step", "r"), [(1, 0.01), (9_998, 0.01), (10_000, 0.5), (10_001, 0.5)])
def test_the_reconstruction_takes_over_after_ten_thousand_steps(make_run, step, r):
    """The others share what is left: 0.1 (1 - r) and 0.9 (1 - r)."""
    run, seen = make_run(recipe(steps=20_000)), {}
    backward = run.engine.backward
    run.engine.backward = lambda turn: (
        seen.update({name: term.weight for name, term in turn.terms.items()}),
        backward(turn),
    )
    run.engine.step(step)
    games, matching = 0.1 * (1 - r), 0.9 * (1 - r)
    assert seen == pytest.approx(
        {
            "b.fake": games,
            "a.fake": games,
            "matching_b": matching,
            "matching_a": matching,
            "reconstruction_a": r,
            "reconstruction_b": r,
        }
    )


def test_the_shares_of_a_schedule_are_bounded_like_numbers():
    rest = DiscoGAN().adversarial
    assert (rest.at(0, Clock(1, 1, 1)), rest.at(10_000, Clock(1, 1, 1))) == (pytest.approx(0.099), pytest.approx(0.05))
    assert rest >= 0.05
    assert not rest >= 0.06
    assert rest == DiscoGAN().adversarial
    assert rest != made(DiscoGAN, adversarial=0.2).adversarial


def test_discogan_follows_a_loop_written_by_hand(make_run):
    """Seven steps with BatchNorm: the discriminators' and generators' own steps, all terms, Adam with weight decay."""
    made = recipe(steps=7, precision="float64", reconstruction={"steps": {0: 0.01, 4: 0.5}})
    run, twin = trained(make_run, made, 7), make_run(made)
    with twin.experiment.settings():
        by_hand(twin, 7)
    for kind in ("generator", "discriminator"):
        assert all(
            torch.allclose(a, b, rtol=0, atol=1e-9)
            for a, b in zip(weights(run, kind), weights(twin, kind), strict=True)
        )


def by_hand(twin, steps):
    m = twin.experiment.modules
    ab, ba, d_a, d_b = (m[name] for name in ("generator_ab", "generator_ba", "discriminator_a", "discriminator_b"))
    adam = {"lr": 2e-4, "betas": (0.5, 0.999), "weight_decay": 1e-5}
    discriminators = torch.optim.Adam([*d_a.parameters(), *d_b.parameters()], **adam)
    generators = torch.optim.Adam([*ab.parameters(), *ba.parameters()], **adam)
    reader = twin.experiment.reader("step", 4)

    def bce(logits, target):
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))

    for step in range(steps):
        batch = reader.get(4)
        reader.advance(4)
        a, b, r = batch["a"], batch["b"], 0.01 if step < 4 else 0.5
        fake_b, fake_a = ab(a), ba(b)
        optimizer, loss = (discriminators, 0) if step % 3 == 0 else (generators, 0)
        for judge, real, fake, back in ((d_b, b, fake_b, ab(fake_a)), (d_a, a, fake_a, ba(fake_b))):
            true, false = judge(real), judge(fake if step % 3 else fake.detach())
            if step % 3 == 0:
                loss = loss + 0.5 * bce(true.logits, 1.0) + 0.5 * bce(false.logits, 0.0)
                continue
            matching = sum(
                (one.mean(0).detach() - other.mean(0)).square().mean()
                for one, other in zip(true.features[1:], false.features[1:])
            )
            reconstruction = ((back + 1) / 2 - (real + 1) / 2).square().mean()  # on images in [0, 1]
            loss = loss + (0.1 * bce(false.logits, 1.0) + 0.9 * matching) * (1 - r) + r * reconstruction
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_matching_leaves_the_discriminators_statistics_alone(make_run):
    """Three calls a game in a generators' turn; one of them, the game's own, moves the running mean."""
    run = make_run(recipe())
    run.engine.step(1)
    batches = {
        int(v)
        for m in ("discriminator_a", "discriminator_b")
        for k, v in run.experiment.modules[m].state_dict().items()
        if "num_batches" in k
    }
    assert batches == {1}


# --- what it is made of -----------------------------------------------------------------------------------------


def test_defaults_are_those_of_the_authors_code(make_run):
    run = make_run(
        {
            "variant": "discogan",
            "dataset": {"restyled-digits": {"size": 16}},
            "without": QUIET,
            "train": {"steps": 1, "device": "cpu"},
        }
    )
    assert run.recipe.train.batch_size == 64
    assert run.recipe.tricks == []
    for optimizer in run.engine.optimizers.values():
        group = optimizer.param_groups[0]
        assert (group["lr"], group["betas"], group["weight_decay"]) == (2e-4, (0.5, 0.999), 1e-5)
    first = run.experiment.modules["generator_ab"].main[0].weight  # torch's default: uniform, up to 1 / sqrt(fan-in)
    assert 0.9 / 4 < first.abs().max() <= 1 / 4


def test_what_cannot_be_translated_is_refused():
    with pytest.raises(Refusal, match="'a' and 'b'"):
        DiscoGAN().describe({"x": IMAGE})
    with pytest.raises(Refusal, match="keeps the size"):
        DiscoGANGenerator(Interface(takes=IMAGE, makes=Space("image", (3, 32, 32))))

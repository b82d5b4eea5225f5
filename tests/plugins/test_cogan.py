"""Coupled domains: which layers are shared, one latent for both, and how agreement is counted."""

import itertools

import pytest
import torch

from ganrun.data.reader import normalised
from ganrun.errors import UserError
from ganrun.testing.runs import steps, weights
from ganrun.training.build import RefusedError
from ganrun.training.scoring import evaluate
from ganrun.words.hooks import hookimpl
from ganrun.words.spaces import Interface, Refusal, Space
from ganrun_plugins.evaluators.pair_agreement import agreement
from ganrun_plugins.networks.cogan import CoGANDiscriminator, CoGANGenerator
from ganrun_plugins.variants.cogan import CoGAN

LATENT = Space("latent", (5,))
DOMAIN = Space("labels", (), 2)
A, B = torch.zeros(4, dtype=torch.long), torch.ones(4, dtype=torch.long)


def image(side, channels=1):
    return Space("image", (channels, side, side))


@pytest.fixture
def generator():
    torch.manual_seed(0)
    return CoGANGenerator(Interface(LATENT, image(16), given=(DOMAIN,)), width=4)


@pytest.fixture
def discriminator():
    torch.manual_seed(1)
    return CoGANDiscriminator(Interface(image(16), given=(DOMAIN,)), widths=(4, 6, 8))


@pytest.fixture
def z():
    return torch.randn(4, 5, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def recipe():
    def make(**changes):
        return {
            "variant": {"cogan": {"latent": 4}},
            "dataset": {"restyled-digits": {"size": 16}},
            "generator": {"cogan": {"width": 4}},
            "discriminator": {"cogan": {"widths": [4, 6, 8]}},
            "without": ["progress", "samples", "metrics-log", "health", "checkpoints"],
            "train": {"steps": 4, "batch_size": 8, "device": "cpu"},
            **changes,
        }

    return make


# --- networks -----------------------------------------------------------------------------------------------------


def test_networks_have_the_parameters_of_the_authors_code():
    with torch.device("meta"):
        generator = CoGANGenerator(Interface(Space("latent", (100,)), image(28), given=(DOMAIN,)))
        discriminator = CoGANDiscriminator(Interface(image(28), given=(DOMAIN,), logits=2))
    assert sum(p.numel() for p in generator.parameters()) == 7_842_694
    assert sum(p.numel() for p in discriminator.parameters()) == 427_593


@pytest.mark.parametrize(("height", "width"), [(28, 28), (32, 32), (16, 16), (8, 8), (4, 4), (11, 30)])
def test_a_generator_paints_images_of_any_size_from_4_pixels_up(height, width):
    space = Space("image", (3, height, width))
    with torch.device("meta"):
        made = CoGANGenerator(Interface(LATENT, space, given=(DOMAIN,)), width=2)(
            torch.zeros(2, 5), torch.zeros(2, dtype=torch.long)
        )
    assert made.shape == (2, 3, height, width)


def test_what_is_too_small_is_refused():
    with pytest.raises(Refusal, match="leave no pixel"):
        CoGANDiscriminator(Interface(image(15), given=(DOMAIN,)))
    with pytest.raises(Refusal, match="adds 3 pixels"):
        CoGANGenerator(Interface(LATENT, image(3), given=(DOMAIN,)))


def test_each_row_is_painted_by_its_own_domains_layer(generator, z):
    generator.eval()
    mixed = torch.tensor([0, 1, 1, 0])
    of_a, of_b, made = generator(z, A), generator(z, B), generator(z, mixed)
    assert not torch.allclose(of_a, of_b)
    for row, domain in enumerate(mixed):
        assert torch.equal(made[row], (of_a, of_b)[domain][row])


def test_a_gradient_from_domain_a_reaches_shared_layers_and_as_own(generator, discriminator, z):
    x = generator(z, A)
    discriminator(x, A).logits.sum().backward()
    for network in (generator, discriminator):
        assert network.own[0].weight.grad.any()
        assert not network.own[1].weight.grad.any()
        rest = [p for name, p in network.named_parameters() if not name.startswith("own")]
        assert rest
        assert all(p.grad.any() for p in rest if p.dim() > 1)


def test_learning_from_domain_a_moves_domain_b_through_what_is_shared_alone(generator, z):
    generator.eval()
    before = generator(z, B).detach()
    generator(z, A).square().sum().backward()
    with torch.no_grad():
        for parameter in generator.own[0].parameters():
            parameter -= 0.1 * parameter.grad
        assert torch.equal(generator(z, B), before), "what is a's own moves a alone"
        for parameter in generator.shared.parameters():
            parameter -= 0.1 * parameter.grad
        assert not torch.allclose(generator(z, B), before)


def test_samples_of_a_pack_are_of_one_domain():
    torch.manual_seed(0)
    network = CoGANDiscriminator(Interface(image(16), given=(DOMAIN,), pack=2), widths=(4, 6, 8))
    x = torch.randn(3, 2, 16, 16)
    packed, single = (
        network(x, torch.tensor([[0, 0], [1, 1], [0, 0]])).logits,
        network(x, torch.tensor([0, 1, 0])).logits,
    )
    assert torch.equal(packed, single)


# --- the variant --------------------------------------------------------------------------------------------------


def test_both_domains_are_made_from_one_latent(recipe, make_run):
    """With equal last layers both domains are one image, row by row."""
    run = make_run(recipe())
    own = run.engine.modules["generator"].own
    made = run.sample_maker.turn(6).made
    assert not torch.allclose(made["a"], made["b"])
    own[1].load_state_dict(own[0].state_dict())
    made = run.sample_maker.turn(6).made
    assert torch.equal(made["a"], made["b"])
    assert not torch.allclose(made["a"][0], made["a"][1])


def test_each_game_shows_its_domains_samples_with_its_label(recipe, make_run):
    seen = []

    class Look:
        @hookimpl
        def generated(self, turn):
            for round in turn.rounds:
                made = turn.made[round.game.name]
                streams = [
                    (stream.role, stream.given[0].unique().tolist(), torch.equal(stream.x, made))
                    for stream in round.streams
                ]
                seen.append((turn.player, round.game.name, streams))

    steps(make_run(recipe(tricks=["look"]), {"trick.look": Look}), 1)
    assert seen == [
        ("discriminator", "a", [("real", [0], False), ("fake", [0], True)]),
        ("discriminator", "b", [("real", [1], False), ("fake", [1], True)]),
        ("generator", "a", [("fake", [0], True)]),
        ("generator", "b", [("fake", [1], True)]),
    ]


def test_a_generator_that_joins_the_label_to_its_input_fits_too(recipe, make_run):
    networks = {"generator": {"dcgan": {"width": 4}}, "discriminator": {"dcgan": {"width": 4}}}
    run = steps(make_run(recipe(**networks)), 2)
    made = run.sample_maker.turn(4).made
    assert not torch.allclose(made["a"], made["b"])
    assert all(bool(value.isfinite().all()) for value in weights(run).values())


def test_domains_of_two_shapes_are_refused():
    with pytest.raises(Refusal, match="one network with shared layers"):
        CoGAN().describe({"a": image(16), "b": image(16, 3)})


# --- pair-agreement -----------------------------------------------------------------------------------------------


def values(one, other, classes=3):
    return {name: score.value for name, score in agreement(torch.tensor(one), torch.tensor(other), classes).items()}


def test_agreement_by_hand():
    """3 of 4 pairs agree. Shares 1/4, 1/2, 1/4 and 1/4, 1/4, 1/2: by chance 1/16 + 1/8 + 1/8 = 5/16."""
    assert values([0, 1, 1, 2], [0, 1, 2, 2]) == {"agreement": 3 / 4, "chance": 5 / 16}


def test_chance_is_the_mean_agreement_over_all_shuffles_of_the_pairs():
    one, other = [0, 0, 1, 2, 2], [2, 0, 0, 1, 2]
    shuffled = [values(one, list(order))["agreement"] for order in itertools.permutations(other)]
    assert values(one, other)["chance"] == pytest.approx(sum(shuffled) / len(shuffled))


def test_a_collapsed_generator_agrees_by_chance_as_well():
    assert values([1] * 7, [1] * 7) == {"agreement": 1, "chance": 1}


@pytest.mark.parametrize(("one", "other"), [([], []), ([0, 1], [0])])
def test_what_is_no_set_of_pairs_is_an_error(one, other):
    with pytest.raises(UserError, match="classes of pairs"):
        values(one, other)


@pytest.mark.parametrize("shift", [0, 1])
def test_true_pairs_agree_and_shuffled_ones_agree_by_chance(recipe, make_run, monkeypatch, shift):
    """Fakes stand in for hidden pairs: the shipped classifier reads restyled digits about as well as plain ones."""
    run = make_run(recipe(dataset={"restyled-digits": {"size": 28}}, evaluators=[{"pair-agreement": {"samples": 256}}]))
    held = normalised(run.dataset("test").hidden_pairs(), "cpu")
    pairs = {"a": held["a"], "b": held["b"].roll(shift, 0)}
    monkeypatch.setattr(
        run.evaluation.source,
        "stream",
        lambda n, part, parts: iter([(slice(0, n), {k: v[:n] for k, v in pairs.items()})]),
    )
    run.step = run.steps
    scores = {name.partition("].")[2]: value for name, value in evaluate(run).items()}
    assert set(scores) == {"agreement", "chance", "accuracy-of-real-a", "accuracy-of-real-b"}
    assert scores["chance"] == pytest.approx(0.1, abs=0.02)
    assert min(scores["accuracy-of-real-a"], scores["accuracy-of-real-b"]) > 0.98
    assert scores["agreement"] == pytest.approx(0.1, abs=0.05) if shift else scores["agreement"] > 0.97


def test_variants_without_two_outputs_of_one_latent_are_refused(make_run, small_cyclegan, recipe):
    with pytest.raises(RefusedError, match="from real items"):
        make_run(small_cyclegan(evaluators=["pair-agreement"]))
    small = {"dcgan": {"width": 4}}
    alone = recipe(
        variant="dcgan",
        dataset={"digits": {"size": 8}},
        generator=small,
        discriminator=small,
        evaluators=["pair-agreement"],
    )
    with pytest.raises(RefusedError, match="makes x alone"):
        make_run(alone)
    with pytest.raises(RefusedError, match="no output 'c'"):
        make_run(recipe(evaluators=[{"pair-agreement": {"second": "c"}}]))

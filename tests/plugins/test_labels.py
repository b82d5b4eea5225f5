"""How labels enter networks, and the sampler that draws them: by hand on tiny networks."""

import math

import pytest
import torch
from torch import nn

from ganrun.randomness import Draws
from ganrun.training.build import RefusedError
from ganrun.words.spaces import Interface, Refusal, Space
from ganrun_plugins.networks._given import append_planes, append_vectors, vector_size
from ganrun_plugins.networks._labels import Embedding, GivenLabels, LinearMap, Projection
from ganrun_plugins.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from ganrun_plugins.networks.mlp import MLPDiscriminator, MLPGenerator

POINTS = Space("points", (2,))
LATENT = Space("latent", (5,))
IMAGE = Space("image", (1, 8, 8))
THREE = Space("labels", (), 3)
YES_NO = Space("labels", (4,), 2)
SMALL = [
    (MLPGenerator, Interface(LATENT, IMAGE, given=(THREE,)), {"widths": (6,), "norm": "none"}),
    (DCGANGenerator, Interface(LATENT, IMAGE, given=(THREE,)), {"width": 2}),
    (MLPDiscriminator, Interface(IMAGE, given=(THREE,)), {"widths": (6,)}),
    (DCGANDiscriminator, Interface(IMAGE, given=(THREE,)), {"width": 2}),
]


def numbers(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def weigh(layer: nn.Module, rows) -> None:
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(rows))


# --- projection -------------------------------------------------------------------------------------------------


def test_the_projection_logit_by_hand():
    """Without hidden layers phi(x) = x: logit = w.x + b + v_y.x. At x = (2, 5), w = (1, -1), b = 0.5 psi is -2.5.

    v_0 = (1, 0) adds 2, v_1 = (0, 2) adds 10, v_2 = (3, 3) adds 21.
    """
    network = MLPDiscriminator(Interface(POINTS, given=(THREE,)), widths=(), labels="projection")
    weigh(network.output, [[1.0, -1.0]])
    nn.init.constant_(network.output.bias, 0.5)
    weigh(network.projection.vectors["0"], [[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    x = torch.tensor([[2.0, 5.0]]).expand(3, 2)
    assert network(x, torch.tensor([0, 1, 2])).logits.tolist() == [-0.5, 7.5, 18.5]


def test_in_a_pack_each_place_has_vectors_of_its_own_and_they_add_up():
    """phi = (x1, x2) = (1, 2): labels (0, 1) take rows 0 and 2 + 1 = 3 of the vectors: (1, 0).phi + (0, 10).phi = 1 +
    20.
    """
    two = Space("labels", (), 2)
    projection = Projection([two], features=2, logits=1, pack=2)
    weigh(projection.vectors["0"], [[1.0, 0.0], [100.0, 100.0], [200.0, 200.0], [0.0, 10.0]])
    assert projection(torch.tensor([[1.0, 2.0]]), [torch.tensor([[0, 1]])]).tolist() == [[21.0]]


def test_a_feature_map_is_summed_over_its_pixels():
    """Two labels differ in their logits by (v_a - v_b) . sum of phi over 4 x 4 pixels."""
    network = DCGANDiscriminator(Interface(IMAGE, given=(THREE,)), width=2, labels="projection").eval()
    x = torch.randn(4, 1, 8, 8)
    first, second = (network(x, torch.full((4,), label)) for label in (0, 2))
    v = network.projection.vectors["0"].weight
    expected = first.features[-1].sum((2, 3)) @ (v[0] - v[2])
    assert torch.allclose(first.logits - second.logits, expected, atol=1e-6)


def test_every_one_of_several_logits_has_its_own_vector():
    """Two logits of phi = (1, 2): v = (1, 1 | 0, 5) adds 3 to the first and 10 to the second."""
    projection = Projection([THREE], features=2, logits=2, pack=1)
    weigh(projection.vectors["0"], [[1.0, 1.0, 0.0, 5.0]] * 3)
    assert projection(torch.tensor([[1.0, 2.0]]), [torch.tensor([1])]).tolist() == [[3.0, 10.0]]


def test_under_projection_labels_do_not_enter_the_input_and_other_conditions_do():
    interface = Interface(POINTS, given=(THREE, Space("latent", (4,))))
    network = MLPDiscriminator(interface, widths=(7,), labels="projection")
    assert network.hidden[0][0].in_features == 2 + 4
    assert network(torch.randn(3, 2), torch.zeros(3, dtype=torch.long), torch.randn(3, 4)).logits.shape == (3,)


@pytest.mark.parametrize(
    ("network", "last"), [({"mlp": {"widths": [8]}}, "output"), ({"dcgan": {"width": 2, "norm": "none"}}, "main.2")]
)
def test_a_statistic_of_the_batch_joins_the_layer_that_makes_logits(make_run, network, last):
    """The trick looks for the last layer that runs; vectors of labels are none that a statistic could be joined to."""
    ((name, parameters),) = network.items()
    recipe = {
        "variant": {"cgan": {"latent": 4}},
        "dataset": {"digits": {"size": 8}},
        "generator": {"mlp": {"widths": [8], "norm": "none"}},
        "discriminator": {name: {**parameters, "labels": "projection"}},
        "tricks": ["minibatch-stddev"],
        "without": ["progress", "samples", "metrics-log", "health", "checkpoints"],
        "train": {"steps": 1, "batch_size": 8, "device": "cpu"},
    }
    run = make_run(recipe)
    assert hasattr(run.experiment.module(f"discriminator.{last}"), "minibatch_stddev")
    run.engine.step(0)


# --- the label map and embeddings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("factory", "interface", "parameters"), SMALL)
def test_the_label_map_has_classes_times_size_parameters(factory, interface, parameters):
    """3,740 classes through 256 numbers: 957,440 parameters, and 256 inputs more where one-hot labels need 3,740."""
    many = Space("labels", (), 3740)
    with torch.device("meta"):
        mapped = factory(
            Interface(interface.takes, interface.makes, given=(many,)),
            **parameters,
            labels="linear-map",
            label_size=256,
        )
        plain = factory(Interface(interface.takes, interface.makes), **parameters)
    assert numbers(mapped.given) == 3740 * 256 == 957_440
    weights_of_an_input = {MLPGenerator: 6, MLPDiscriminator: 6, DCGANGenerator: 2 * 16, DCGANDiscriminator: 2 * 16}[
        factory
    ]
    assert numbers(mapped) == numbers(plain) + 957_440 + 256 * weights_of_an_input


def test_the_label_map_is_linear_in_the_one_hot_label():
    """Its output for class y is column y of the weight, and nothing is added."""
    layer = LinearMap(THREE, 2)
    weigh(layer.map, [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert layer(torch.tensor([2, 0])).tolist() == [[[3.0, 6.0]], [[1.0, 4.0]]]
    assert layer.map.bias is None


def test_the_label_map_starts_with_numbers_of_length_one():
    torch.manual_seed(0)
    weight = LinearMap(Space("labels", (), 4000), 64).map.weight.detach()
    squares = weight.square().sum(0)  # (4000,), each 1/64 of a chi-square of 64 degrees of freedom: variance 2/64
    assert float(squares.mean()) == pytest.approx(1, abs=4 * math.sqrt(2 / 64 / 4000))


def test_an_embedding_is_a_constant_plane_or_learned_pixel_by_pixel():
    constant = GivenLabels([THREE], "embedding", 2)
    weigh(constant.maps["0"].vectors, [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    x = append_planes(torch.zeros(1, 1, 4, 4), constant([torch.tensor([1])]), constant.spaces)
    assert x.shape == (1, 3, 4, 4)
    assert x.amin((2, 3)).tolist() == x.amax((2, 3)).tolist() == [[0.0, 3.0, 4.0]]
    learned = GivenLabels([THREE], "embedding", 2, (4, 4))
    assert numbers(learned) == 3 * 2 * 16
    pixels = torch.arange(96.0).reshape(3, 32)
    weigh(learned.maps["0"].vectors, pixels.tolist())
    x = append_planes(torch.zeros(1, 1, 4, 4), learned([torch.tensor([1])]), learned.spaces)
    assert torch.equal(x[0, 1:], pixels[1].reshape(2, 4, 4))


@pytest.mark.parametrize("labels", ["embedding", "linear-map"])
def test_in_a_pack_the_vectors_of_all_labels_stand_one_behind_the_other(labels):
    given = GivenLabels([THREE], labels, 2)
    (packed,) = given([torch.tensor([[2, 0]])])
    (single,) = given([torch.tensor([2, 0])])
    assert packed.shape == (1, 4)
    assert torch.equal(packed.reshape(2, 2), single)


def test_one_hot_changes_nothing_and_has_no_parameters():
    given = GivenLabels([THREE, IMAGE], "one-hot", 50)
    label, image = torch.tensor([1]), torch.zeros(1, 1, 8, 8)
    found = given([label, image])
    assert found[0] is label
    assert found[1] is image
    assert given.spaces == (THREE, IMAGE)
    assert not given.state_dict()


def test_several_labels_of_one_item_are_told_apart_by_their_place():
    """Attributes (1, 0) and (0, 1): an embedding adds a vector for each place and value."""
    layer = Embedding(Space("labels", (2,), 2), 1)
    weigh(layer.vectors, [[1.0], [10.0], [100.0], [1000.0]])
    assert layer(torch.tensor([[1, 0], [0, 1]])).flatten().tolist() == [110.0, 1001.0]


def test_yes_no_attributes_are_columns_of_zero_and_one():
    assert vector_size([YES_NO]) == 4
    assert vector_size([Space("labels", (2,), 5)]) == 10
    assert append_vectors(torch.zeros(1, 1), [torch.tensor([[1, 0, 0, 1]])], [YES_NO]).tolist() == [[0, 1, 0, 0, 1]]


@pytest.mark.parametrize("labels", ["one-hot", "embedding", "linear-map", "projection"])
@pytest.mark.parametrize(("factory", "interface", "parameters"), SMALL)
def test_a_label_changes_what_a_network_says_in_every_way_it_may_enter(factory, interface, parameters, labels):
    if labels == "projection" and interface.makes is not None:
        return  # for discriminators
    network = factory(interface, **parameters, labels=labels).eval()
    x = torch.randn(2, *interface.takes.shape)
    found = [network(x, torch.full((2,), label)) for label in (0, 1)]
    first, second = found if interface.makes is not None else (output.logits for output in found)
    assert not torch.equal(first, second)
    second.sum().backward()
    assert all(p.grad is not None for p in network.given.parameters())


@pytest.mark.parametrize("labels", ["one-hot", "embedding", "linear-map", "projection"])
@pytest.mark.parametrize(
    ("factory", "parameters"),
    [(MLPDiscriminator, {"widths": (6,)}), (DCGANDiscriminator, {"width": 2, "planes": "learned"})],
)
def test_packs_work_in_every_way_a_label_may_enter(factory, parameters, labels):
    network = factory(Interface(IMAGE, given=(THREE, YES_NO), pack=2), **parameters, labels=labels).eval()
    x, label, attributes = (
        torch.randn(3, 2, 8, 8),
        torch.tensor([[0, 1], [1, 0], [1, 1]]),
        torch.zeros(3, 8, dtype=torch.long),
    )
    logits = network(x, label, attributes).logits
    assert logits.shape == (3,)
    changed = network(x, torch.tensor([[0, 2], [1, 0], [1, 1]]), attributes).logits
    assert (logits != changed).tolist() == [True, False, False]


# --- the sampler ----------------------------------------------------------------------------------------------------


@pytest.fixture
def labelled():
    """The recipe of a conditional GAN on small digits."""
    networks = {"mlp": {"widths": [8], "norm": "none"}}

    def recipe(**changes):
        return {
            "variant": {"cgan": {"latent": 4}},
            "dataset": {"digits": {"size": 8}},
            "generator": networks,
            "discriminator": networks,
            "without": ["progress", "samples", "metrics-log", "health", "checkpoints"],
            "train": {"steps": 3, "batch_size": 8, "device": "cpu"},
            **changes,
        }

    return recipe


class Numbers:
    """Draws the uniform numbers it was given."""

    device = torch.device("cpu")

    def __init__(self, *numbers):
        self.numbers = numbers

    def uniform(self, purpose, n, *shape):
        return torch.tensor(self.numbers).reshape(n, *shape)


def test_labels_are_drawn_by_inversion_and_a_share_of_zero_never(make_run, labelled):
    """Shares 1, 0, 3, 0: bounds 0.25, 0.25, 1, 1. Numbers below 0.25 are class 0, all others class 2."""
    sampler = make_run(labelled(sampler={"labels": {"shares": [1, 0, 3, 0, 0, 0, 0, 0, 0, 0]}})).experiment.sampler
    drawn = sampler.labels(Numbers(0.0, 0.2499, 0.25, 0.9999999), "label", 4, Space("labels", (), 10))
    assert drawn.tolist() == [0, 0, 2, 2]
    many = sampler.labels(Draws(("test",)), "label", 20_000, Space("labels", (), 10))
    found = torch.bincount(many, minlength=10)
    assert found[0] + found[2] == 20_000
    assert int(found[0]) == pytest.approx(5000, abs=4 * math.sqrt(20_000 * 3 / 16))


def test_without_shares_a_run_is_what_it_is_without_the_sampler(make_run, labelled):
    def latents(**changes):
        run = make_run(labelled(**changes))
        return run.sample_maker.latents(50)

    plain, same, other = (
        latents(sampler="normal"),
        latents(sampler="labels"),
        latents(sampler={"labels": {"shares": [1] * 9 + [0]}}),
    )
    assert all(torch.equal(plain[name], same[name]) for name in ("z", "label"))
    assert torch.equal(plain["z"], other["z"])
    assert 9 in plain["label"]
    assert 9 not in other["label"]


def test_latents_come_from_the_other_sampler_with_what_it_provides(make_run, labelled):
    run = make_run(labelled(sampler={"labels": {"latents": {"spherical": {"radius": 2.0}}}}))
    assert torch.allclose(run.sample_maker.latents(5)["z"].norm(dim=1), torch.full((5,), 2.0))
    assert run.experiment.sampler.provides == {"latent:spherical"}


def test_shares_for_other_classes_are_refused_before_training(make_run, labelled):
    with pytest.raises(RefusedError, match=r"3 shares.*labels of 10 classes"):
        make_run(labelled(sampler={"labels": {"shares": [1, 1, 1]}}))
    with pytest.raises(RefusedError, match="draws no labels"):
        make_run(labelled(variant={"gan": {"latent": 4}}, sampler={"labels": {"shares": [1, 1, 1]}}))
    with pytest.raises(RefusedError, match="all shares are 0"):
        make_run(labelled(sampler={"labels": {"shares": [0, 0]}}))
    assert issubclass(Refusal, ValueError)

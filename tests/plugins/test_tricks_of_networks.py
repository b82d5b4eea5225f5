"""Spectral-norm and weight-norm: closed forms, gradients, what stays as it was, what is refused."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from ganrun.catalog.catalog import Catalog
from ganrun.preflight.check import check
from ganrun.recipe import load_recipe
from ganrun.training.build import RefusedError
from ganrun.words.game import DiscriminatorOutput
from ganrun.words.hooks import hookimpl
from ganrun_plugins.tricks._layers import output_axis, weighted
from ganrun_plugins.tricks.spectral_norm import Spectral
from ganrun_plugins.tricks.weight_norm import LengthAndDirection

LAYERS = {
    "linear": lambda: nn.Linear(5, 4),
    "conv": lambda: nn.Conv2d(3, 4, 3),
    "transposed": lambda: nn.ConvTranspose2d(3, 4, 3),
    "embedding": lambda: nn.Embedding(6, 4),
}
PICTURES = torch.ones(2, 3, 5, 5).cumsum(3)
INPUTS = {"linear": torch.ones(2, 5), "conv": PICTURES, "transposed": PICTURES, "embedding": torch.tensor([0, 3, 5])}


def spectral(layer: nn.Module, **changes) -> Spectral:
    weight, axis = layer.weight.detach(), output_axis(layer)
    parametrisation = Spectral(weight, torch.randn(weight.shape[axis], dtype=weight.dtype), axis=axis, **changes)
    parametrize.register_parametrization(layer, "weight", parametrisation)
    return parametrisation


def linear(*rows: list[float]) -> nn.Linear:
    layer = nn.Linear(len(rows[0]), len(rows), bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(rows))
    return layer


class Provider:
    """A trick that provides what a test wants."""

    strength = ""
    restructures = "nothing"

    def __init__(self, *, names: tuple[str, ...]) -> None:
        self.provides = frozenset(names)


# --- spectral-norm --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LAYERS)
def test_sigma_is_the_largest_singular_value(kind):
    layer = LAYERS[kind]()
    weight, axis = layer.weight.detach().clone(), output_axis(layer)
    spectral(layer, iterations=100)
    expected = torch.linalg.svdvals(weight.movedim(axis, 0).flatten(1))[0]
    assert torch.allclose(layer.weight, weight / expected, atol=1e-5)
    assert torch.linalg.svdvals(layer.weight.movedim(axis, 0).flatten(1))[0].item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("strength", "expected"), [(1.0, [1.0, 1 / 4]), (0.5, [2.0, 1 / 2]), (0.0, [4.0, 1.0])])
def test_a_diagonal_matrix_is_divided_by_a_power_of_its_largest_entry(strength, expected):
    """W = diag(4, 1): sigma is 4, and W / 4^s has the entries 4 / 4^s and 1 / 4^s."""
    layer = linear([4.0, 0.0], [0.0, 1.0])
    spectral(layer).strength = strength
    assert torch.allclose(layer.weight, torch.diag(torch.tensor(expected)), atol=1e-6)


@pytest.mark.parametrize("kind", LAYERS)
def test_value_gradient_and_vectors_are_those_of_torchs_own(kind):
    mine = LAYERS[kind]()
    other = parametrizations.spectral_norm(copy.deepcopy(mine))
    own = spectral(mine)
    theirs = other.parametrizations.weight[0]
    with torch.no_grad():
        own._u.copy_(theirs._u)
        own._v.copy_(theirs._v)
    x = INPUTS[kind]
    for _ in range(3):
        outs = [layer(x) for layer in (mine, other)]
        assert torch.allclose(*outs, atol=1e-6)
        weights = [layer.parametrizations.weight.original for layer in (mine, other)]
        grads = [torch.autograd.grad(out.square().sum(), weight)[0] for out, weight in zip(outs, weights)]
        assert torch.allclose(*grads, atol=1e-5)
    assert torch.allclose(own._u, theirs._u, atol=1e-6)
    assert torch.allclose(own._v, theirs._v, atol=1e-6)


def test_strength_0_leaves_value_and_gradient_as_they_are_while_the_iteration_runs():
    plain = nn.Conv2d(3, 4, 3)
    layer = copy.deepcopy(plain)
    own = spectral(layer)
    own.strength = 0.0
    with torch.no_grad():
        own._u.copy_(torch.ones(4) / 2)
    before, x = own._u.clone(), torch.randn(2, 3, 5, 5)
    assert torch.equal(layer(x), plain(x))
    layer(x).square().sum().backward()
    plain(x).square().sum().backward()
    assert torch.equal(layer.parametrizations.weight.original.grad, plain.weight.grad)
    assert not torch.equal(own._u, before)


def test_vectors_rest_in_evaluation_and_outlive_a_second_forward_before_a_backward():
    layer = nn.Linear(5, 4)
    own = spectral(layer)
    before = own._u.clone()
    layer.eval()(torch.randn(2, 5))
    assert torch.equal(own._u, before)
    layer.train()
    (layer(torch.randn(2, 5)) - layer(torch.randn(2, 5))).sum().backward()
    assert layer.parametrizations.weight.original.grad.isfinite().all()


def test_a_weight_of_zeros_stays_and_is_normalised_once_it_is_not():
    layer = linear([0.0, 0.0], [0.0, 0.0])
    spectral(layer)
    out = layer(torch.ones(1, 2))
    out.sum().backward()
    assert torch.equal(out, torch.zeros(1, 2))
    assert torch.equal(layer.parametrizations.weight.original.grad, torch.ones(2, 2))
    with torch.no_grad():
        layer.parametrizations.weight.original.copy_(torch.diag(torch.tensor([3.0, 1.0])))
    for _ in range(30):
        layer(torch.ones(1, 2))
    assert layer.weight[0, 0].item() == pytest.approx(1, abs=1e-5)


def test_sigma_is_float32_under_autocast():
    layer = nn.Linear(64, 64, bias=False)
    spectral(layer, iterations=50)
    layer(torch.randn(2, 64))
    layer.eval()
    expected = layer.weight
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer.weight, expected)


class Caller:
    """Calls the discriminator for every purpose there is, and notes whether the vectors moved."""

    strength = ""
    restructures = "nothing"

    def __init__(self) -> None:
        self.moved = {}

    @hookimpl
    def losses(self, turn) -> None:
        for round in turn.rounds:
            module = turn.modules[round.game.discriminator]
            for tag in ("penalty", "feature", "consistency", "unrolling", "adversarial"):
                before = {key: buffer.clone() for key, buffer in module.named_buffers()}
                turn.discriminate(round, round.streams[0].x.detach(), role="fake", tag=tag, leaf=True)
                self.moved[tag] = [
                    key for key, buffer in module.named_buffers() if not torch.equal(buffer, before[key])
                ]


def test_only_adversarial_calls_move_the_vectors(tiny, make_run):
    run = make_run(tiny(tricks=["spectral-norm", "caller"]), {"trick.caller": Caller})
    with torch.no_grad():
        for name, buffer in run.experiment.modules["discriminator"].named_buffers():
            buffer.copy_(torch.ones_like(buffer) / len(buffer) ** 0.5)
            assert name.endswith(("_u", "_v"))
    run.engine.step(0)
    moved = run.experiment.tricks[-1].moved
    assert moved.pop("adversarial")
    assert moved == {"penalty": [], "feature": [], "consistency": [], "unrolling": []}


@pytest.mark.parametrize(
    ("networks", "players"),
    [("discriminators", {"discriminator"}), ("generators", {"generator"}), ("all", {"generator", "discriminator"})],
)
@pytest.mark.parametrize("trick", ["spectral-norm", "weight-norm"])
def test_every_weight_of_the_networks_named_is_normalised_and_trained(tiny, make_run, trick, networks, players):
    run = make_run(tiny(tricks=[{trick: {"networks": networks}}]))
    for name, module in run.experiment.modules.items():
        layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
        assert len(layers) == 3
        assert [parametrize.is_parametrized(layer, "weight") for layer in layers] == [name in players] * 3
    before = copy.deepcopy({name: module.state_dict() for name, module in run.experiment.modules.items()})
    run.engine.step(0)
    for name, module in run.experiment.modules.items():
        assert [key for key, value in module.named_parameters() if torch.equal(value, before[name][key])] == []


def test_the_networks_of_an_initialisation_are_normalised_in_float64_and_on_the_meta_device(tiny, make_run):
    players = {"discriminator": {"init": {"scheme": "orthogonal", "gain": 3.0}}}
    recipe = tiny(tricks=["spectral-norm"], players=players, train={"precision": "float64"})
    run = make_run(recipe)
    layer = run.experiment.modules["discriminator"].hidden[1][0]
    assert layer.parametrizations.weight[0]._u.dtype == torch.float64
    assert torch.linalg.svdvals(layer.parametrizations.weight.original).allclose(
        torch.full((16,), 3.0, dtype=torch.float64)
    )
    assert torch.linalg.svdvals(layer.weight).allclose(torch.ones(16, dtype=torch.float64))
    _, lines = check(load_recipe(recipe, catalog=Catalog()))
    counted = {line.name: line.parameters for line in lines}
    assert counted == {
        name: sum(p.numel() for p in module.parameters()) for name, module in run.experiment.modules.items()
    }


def test_a_clipped_weight_is_refused_where_it_would_be_divided(tiny, make_run):
    provider = {"provider": {"names": ["clipped"]}}
    with pytest.raises(RefusedError, match="divided by its largest singular value"):
        make_run(tiny(tricks=["spectral-norm", provider]), {"trick.provider": Provider})
    make_run(tiny(tricks=[{"spectral-norm": {"networks": "generators"}}, provider]), {"trick.provider": Provider})


def test_two_normalisations_of_weights_warn_and_work(tiny, make_run):
    run = make_run(tiny(tricks=["weight-norm", "spectral-norm"]))
    assert any("normalised twice" in warning.why for warning in run.experiment.warnings)
    run.engine.step(0)
    assert torch.linalg.svdvals(run.experiment.modules["discriminator"].output.eval().weight)[
        0
    ].item() == pytest.approx(1, abs=1e-3)


class Bare(nn.Module):
    """A discriminator without a matrix."""

    takes = frozenset({"points"})

    def __init__(self, interface) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2))

    def forward(self, x):
        return DiscriminatorOutput((x * self.scale).sum(1))


@pytest.mark.parametrize("trick", ["spectral-norm", "weight-norm"])
def test_without_a_matrix_the_run_would_be_the_one_without_the_trick_so_it_is_refused(tiny, make_run, trick):
    assert weighted(Bare(None)) == {}
    with pytest.raises(RefusedError, match="nothing to normalise"):
        make_run(tiny(tricks=[trick], discriminator="bare"), {"discriminator.bare": Bare})


# --- weight-norm ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("strength", "factor"), [(1.0, 2.0), (0.5, 1.5), (0.0, 1.0)])
def test_length_and_direction_are_apart(strength, factor):
    """v = (3, 4) has the length 5: with g = 10 the weight is 2 v; half of it, (1 + 2) / 2 v; none of it, v."""
    layer = linear([3.0, 4.0])
    own = LengthAndDirection(layer.weight)
    parametrize.register_parametrization(layer, "weight", own)
    assert own.g.tolist() == [[5.0]]
    with torch.no_grad():
        own.g.fill_(10.0)
    own.strength = strength
    assert layer.weight.tolist() == [[3.0 * factor, 4.0 * factor]]


@pytest.mark.parametrize("kind", ["linear", "conv", "transposed"])
def test_weight_norm_starts_as_the_same_function_and_has_the_gradient_of_torchs_own(kind):
    plain = LAYERS[kind]()
    mine, axis = copy.deepcopy(plain), output_axis(plain)
    own = LengthAndDirection(mine.weight, axis=axis)
    parametrize.register_parametrization(mine, "weight", own)
    x = INPUTS[kind]
    assert torch.equal(mine(x), plain(x))
    other = parametrizations.weight_norm(copy.deepcopy(plain), dim=axis)
    with torch.no_grad():
        own.g.mul_(1.5)
        other.parametrizations.weight.original0.mul_(1.5)
    grads = []
    for layer, names in ((mine, ("0.g", "original")), (other, ("original0", "original1"))):
        parameters = dict(layer.parametrizations.weight.named_parameters())
        grads.append(torch.autograd.grad(layer(x).square().sum(), [parameters[name] for name in names]))
    assert own.g.shape == other.parametrizations.weight.original0.shape
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-4) for a, b in zip(*grads))


def test_strength_0_of_weight_norm_gives_the_same_bits_and_leaves_g_alone():
    plain = nn.Linear(5, 4)
    layer = copy.deepcopy(plain)
    own = LengthAndDirection(layer.weight)
    parametrize.register_parametrization(layer, "weight", own)
    with torch.no_grad():
        own.g.mul_(-3.0)
    own.strength, x = 0.0, torch.randn(2, 5)
    assert torch.equal(layer(x), plain(x))
    layer(x).square().sum().backward()
    plain(x).square().sum().backward()
    assert torch.equal(layer.parametrizations.weight.original.grad, plain.weight.grad)
    assert torch.equal(own.g.grad, torch.zeros(4, 1))


def test_a_unit_of_zeros_stays_finite_and_learns():
    layer = linear([0.0, 0.0], [3.0, 4.0])
    own = LengthAndDirection(layer.weight)
    parametrize.register_parametrization(layer, "weight", own)
    layer(torch.ones(1, 2)).sum().backward()
    assert own.g.grad.isfinite().all()
    assert layer.parametrizations.weight.original.grad[0].tolist() == [1.0, 1.0]

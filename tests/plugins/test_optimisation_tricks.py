"""Averaging, orthogonal regularisation and loss balance: numbers by hand, and all tricks of optimisation together."""

import pytest
import torch
from torch import nn
from turns_by_hand import make_experiment, make_turn, parameter, trained

from ganrun.words.game import Term
from ganrun_plugins.tricks.historical_averaging import HistoricalAveraging
from ganrun_plugins.tricks.loss_balance import LossBalance
from ganrun_plugins.tricks.orthogonal_regularisation import OrthogonalRegularisation
from ganrun_plugins.tricks.unrolling import Unrolling
from ganrun_plugins.tricks.weight_clipping import WeightClipping

# --- historical-averaging -------------------------------------------------------------------------------------


def test_the_distance_is_that_from_the_mean_of_all_weights_so_far():
    """0, 3, 6: before the third turn the mean is 3, the distance (6 - 3)^2, its gradient 2 (6 - 3)."""
    trick, held = HistoricalAveraging(), [parameter(0.0)]
    distances = []
    for value in (0.0, 3.0, 6.0):
        held[0].data.fill_(value)
        if value:
            trick.updated(make_turn(held))
        turn = make_turn(held, step=int(value))
        trick.phase_start(turn)
        trick.losses(turn)
        (term,) = turn.terms.values()
        distances.append(term.value.item())
    assert distances == [0.0, (3 - 1.5) ** 2, (6 - 3) ** 2]
    assert term.weight == 1.0
    term.value.backward()
    assert held[0].grad.item() == 6.0
    assert list(turn.terms) == ["discriminator.historical-averaging"]


def test_the_distance_is_a_sum_over_all_parameters():
    """(1 - 0)^2 * 2 + (2 - 0)^2 = 6 with a mean of 0 (loaded)."""
    trick, held = HistoricalAveraging(weight=0.5), [parameter(1.0, 1.0), parameter(2.0)]
    trick.load_state_dict({"discriminator": {"count": 4, "mean": {"0": torch.zeros(2), "1": torch.zeros(1)}}})
    turn = make_turn(held)
    trick.phase_start(turn)
    trick.losses(turn)
    (term,) = turn.terms.values()
    assert term.value.item() == 6.0
    assert term.weight == 0.5
    trick.updated(turn)  # the fifth of the mean
    assert trick.state_dict()["discriminator"]["mean"]["1"].item() == pytest.approx(2 / 5)
    assert trick.state_dict()["discriminator"]["count"] == 5


def test_each_player_has_a_mean_of_its_own(make_run, tiny):
    run = make_run(tiny(tricks=["historical-averaging"]))
    start = {name: [p.detach().clone() for p in held] for name, held in run.engine.parameters.items()}
    trained(run, 1)
    (trick,) = run.experiment.tricks
    for name, held in run.engine.parameters.items():
        assert trick.counts[name] == 2
        for mean, old, new in zip(trick.means[name], start[name], held):
            assert torch.allclose(mean, (old + new.detach()) / 2, atol=1e-7)


# --- orthogonal-regularisation --------------------------------------------------------------------------------


def regularised(weights, *, beta=0.5, player="generator", players=None, modules=None, lazy=False):
    experiment = make_experiment(modules)
    trick = OrthogonalRegularisation(beta=beta, players=players)
    trick.build(experiment)
    for one in weights:
        one.grad = torch.ones_like(one)
    trick.gradients(make_turn(weights, player, experiment=experiment, lazy=lazy))
    return [one.grad for one in weights]


def test_the_gradient_added_by_hand():
    """W = (1 2; 3 4): W W' = (5 11; 11 25), off the diagonal 11; (0 11; 11 0) W = (33 44; 11 22); beta 0.5 times 2 is
    1.
    """
    (found,) = regularised([parameter([1.0, 2.0], [3.0, 4.0])])
    assert torch.equal(found, torch.tensor([[34.0, 45.0], [12.0, 23.0]]))


def test_the_gradient_is_that_of_half_the_squared_norm():
    weight = nn.Parameter(torch.randn(4, 3, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    (found,) = regularised([weight], beta=0.1)
    rows = weight.flatten(1)
    products = (rows @ rows.T) * (1 - torch.eye(4, dtype=torch.float64))
    (expected,) = torch.autograd.grad(0.1 / 2 * products.square().sum(), weight)
    assert torch.allclose(found - 1, expected, atol=1e-12)


def test_orthogonal_rows_of_any_length_are_left_alone():
    (found,) = regularised([parameter([3.0, 0.0], [0.0, -7.0])])
    assert torch.equal(found, torch.ones(2, 2))


def test_vectors_and_embeddings_are_left_out():
    table = nn.Embedding(3, 2)
    linear = nn.Linear(2, 2)
    weights = [table.weight, linear.weight, linear.bias]
    found = regularised(weights, modules={"generator": nn.ModuleList([table, linear])})
    assert [torch.equal(grad, torch.ones_like(grad)) for grad in found] == [True, False, True]


def test_rows_of_one_number_are_left_out():
    """Such as the lengths of weight normalisation, (out, 1) or (out, 1, 1, 1): their products would drive all of them
    to 0.
    """
    lengths = [nn.Parameter(torch.tensor([2.0, 3.0]).reshape(2, *ones)) for ones in ([1], [1, 1, 1])]
    assert all(torch.equal(found, torch.ones_like(found)) for found in regularised(lengths))


def test_the_players_that_a_game_scores_are_regularised_unless_others_are_named():
    skewed = ([1.0, 2.0], [3.0, 4.0])
    assert torch.equal(regularised([parameter(*skewed)], player="discriminator")[0], torch.ones(2, 2))
    assert not torch.equal(
        regularised([parameter(*skewed)], player="discriminator", players=["discriminator"])[0], torch.ones(2, 2)
    )
    assert torch.equal(regularised([parameter(*skewed)], players=["discriminator"])[0], torch.ones(2, 2))


def test_the_regularising_gradient_is_added_once_a_step_not_in_regularisation_phases():
    assert torch.equal(regularised([parameter([1.0, 2.0], [3.0, 4.0])], lazy=True)[0], torch.ones(2, 2))


# --- loss-balance ---------------------------------------------------------------------------------------------


def balanced(terms, held, *, experiment=None, mean=lambda tensor: tensor, player="generator", **changes):
    """The weights of terms after the trick. held: parameters, in the terms' graph."""
    experiment = experiment or make_experiment()
    trick = LossBalance(**changes)
    trick.build(experiment)
    turn = make_turn(held, player, experiment=experiment, mean=mean)
    turn.terms.update(terms)
    trick.losses(turn)
    assert all(
        not isinstance(term.weight, torch.Tensor) or not term.weight.requires_grad for term in turn.terms.values()
    )
    return {name: float(term.weight) for name, term in turn.terms.items()}


def slopes(held, **norms):
    """Terms whose gradients have the norms given: they are linear in one parameter, of two entries."""
    direction = torch.tensor([0.6, 0.8])
    return {name: Term(norm * (held[0] @ direction)) for name, norm in norms.items()}


def test_two_terms_get_equal_gradients():
    """Norms 1 and 3, mean 2: factors 2 / 1 and 2 / 3."""
    held = [parameter(1.0, 2.0)]
    assert balanced(slopes(held, a=1.0, b=3.0), held) == pytest.approx({"a": 2.0, "b": 2 / 3})


def test_the_weight_of_a_term_counts_in_its_norm():
    """Weights 1 and 6 on norms 2 and 1: 2 and 6, mean 4. Factors 2 and 2/3, so weights 2 and 4."""
    held = [parameter(1.0, 2.0)]
    terms = slopes(held, a=2.0, b=1.0)
    terms["b"].weight = 6.0
    assert balanced(terms, held) == pytest.approx({"a": 2.0, "b": 4.0})


def test_the_power_is_an_exponent_and_the_factor_is_limited():
    held = [parameter(1.0, 2.0)]
    assert balanced(slopes(held, a=1.0, b=3.0), held, power=0.5) == pytest.approx({"a": 2**0.5, "b": (2 / 3) ** 0.5})
    assert balanced(slopes(held, a=1.0, b=3.0), held, power=0.0) == {"a": 1.0, "b": 1.0}
    assert balanced(slopes(held, a=1.0, b=3.0), held, limit=1.25) == pytest.approx({"a": 1.25, "b": 0.8})


def test_a_turn_of_one_part_is_left_alone_exactly():
    held = [parameter(1.0, 2.0)]
    assert balanced(slopes(held, a=0.3), held) == {"a": 1.0}
    one_game = {name: Term(term.value, 1.0, "adversarial") for name, term in slopes(held, real=0.3, fake=0.7).items()}
    assert balanced(one_game, held) == {"real": 1.0, "fake": 1.0}


def test_the_terms_of_one_game_are_one_part():
    """Real and fake together have norm 1 + 2 = 3, the other 1; mean 2: 2/3 for both, and 2."""
    held = [parameter(1.0, 2.0)]
    terms = slopes(held, real=1.0, fake=2.0, other=1.0)
    terms["real"].game = terms["fake"].game = "adversarial"
    assert balanced(terms, held) == pytest.approx({"real": 2 / 3, "fake": 2 / 3, "other": 2.0})


def test_terms_without_a_gradient_count_for_nothing():
    """A constant, a term of weight 0, a term of other parameters: factors and mean of the others do not change."""
    held, other = [parameter(1.0, 2.0)], parameter(1.0)
    terms = slopes(held, a=1.0, b=3.0, off=5.0) | {"constant": Term(torch.tensor(2.0)), "elsewhere": Term(other.sum())}
    terms["off"].weight = 0.0
    assert balanced(terms, held) == pytest.approx({"a": 2.0, "b": 2 / 3, "off": 0.0, "constant": 1.0, "elsewhere": 1.0})


def test_the_norms_are_averaged_over_processes():
    """Here 1 and 3; in the other process 3 and 1: the means are 2 and 2, and nothing is weighted."""
    held = [parameter(1.0, 2.0)]
    other = torch.tensor([3.0, 1.0])
    assert balanced(slopes(held, a=1.0, b=3.0), held, mean=lambda norms: (norms + other) / 2) == {"a": 1.0, "b": 1.0}


def test_at_last_measures_at_the_last_weight_of_each_network():
    """w2 w1 x with w1 = 2, w2 = 4: a = 3 w2 w1 has norm 6 at w2; b = w2 w1 + 8 w1 has norm 2 there.

    Mean 4: 2/3 and 2.
    """
    first, last = nn.Linear(1, 1, bias=False), nn.Linear(1, 1)
    nn.init.constant_(first.weight, 2.0)
    nn.init.constant_(last.weight, 4.0)
    network = nn.Sequential(first, last)
    experiment = make_experiment({"generator": network})
    product = (last.weight * first.weight).sum()
    terms = {"a": Term(3 * product), "b": Term(product + 8 * first.weight.sum())}
    found = balanced(terms, list(network.parameters()), experiment=experiment, at="last")
    assert found == pytest.approx({"a": 2 / 3, "b": 2.0})


def test_players_that_no_game_scores_are_left_alone_unless_they_are_named():
    held = [parameter(1.0, 2.0)]
    assert balanced(slopes(held, a=1.0, b=3.0), held, player="discriminator") == {"a": 1.0, "b": 1.0}
    named = balanced(slopes(held, a=1.0, b=3.0), held, player="discriminator", players=["discriminator"])
    assert named == pytest.approx({"a": 2.0, "b": 2 / 3})


def test_loss_balance_comes_after_tricks_that_add_terms_wherever_it_stands(make_run, tiny):
    first = trained(make_run(tiny(tricks=["loss-balance", "historical-averaging"])))
    last = trained(make_run(tiny(tricks=["historical-averaging", "loss-balance"])))
    without = trained(make_run(tiny(tricks=["historical-averaging"])))
    assert all(torch.equal(first[name], last[name]) for name in first)
    assert any(not torch.equal(first[name], without[name]) for name in first if name.startswith("generator"))


def test_a_balanced_cyclegan_pulls_alike(make_run, small_cyclegan):
    """After it the gradients of both games, both cycle terms and both identity terms have one norm: the mean of what
    they were.
    """
    run = make_run(small_cyclegan(tricks=["loss-balance"]))
    (phase,) = [phase for phase in run.experiment.phases if phase.player == "generator"]
    norms = {}

    def look(turn):
        for name, term in turn.terms.items():
            grads = torch.autograd.grad(
                term.weight * term.value, run.engine.parameters["generator"], retain_graph=True, allow_unused=True
            )
            norms[name] = float(sum(g.square().sum() for g in grads if g is not None).sqrt())

    backward = run.engine.backward
    run.engine.backward = lambda turn: (look(turn), backward(turn))
    run.engine.take(phase, 0, 0, [])
    assert len(norms) == 6
    assert max(norms.values()) == pytest.approx(min(norms.values()), rel=1e-4)


# --- in company -----------------------------------------------------------------------------------------------


ALL = [
    "gradient-clipping",
    "historical-averaging",
    "orthogonal-regularisation",
    "loss-balance",
    "weight-clipping",
    {"unrolling": {"steps": 2}},
]


@pytest.mark.parametrize("train", [{"accumulate": 2}, {"batches": "joint"}, {"precision": "bfloat16"}])
def test_all_tricks_of_optimisation_train_together(make_run, tiny, train):
    run = make_run(tiny(tricks=ALL, train=train))
    assert all(bool(tensor.isfinite().all()) for tensor in trained(run, 3).values())
    assert "unrolled" in Unrolling.provides
    assert "clipped" in WeightClipping.provides

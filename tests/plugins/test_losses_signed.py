"""Two-class, hinge, Wasserstein, boundary-seeking and softmax by hand; and what losses say of their score."""

import math
from math import log

import pytest
import torch

from ganrun.schedule import Clock, Scheduled
from ganrun.words.game import DiscriminatorOutput, Game, Round, Stream
from ganrun.words.hooks import hookimpl
from ganrun_plugins.losses.boundary_seeking import BoundarySeeking
from ganrun_plugins.losses.hinge import Hinge
from ganrun_plugins.losses.least_squares import LeastSquares
from ganrun_plugins.losses.minimax import Minimax
from ganrun_plugins.losses.non_saturating import NonSaturating
from ganrun_plugins.losses.softmax import Softmax
from ganrun_plugins.losses.two_class import TwoClass
from ganrun_plugins.losses.wasserstein import Wasserstein

LOGITS = [-3.0, 0.0, 0.5, 1.0, 2.0]
ALL = [Minimax, NonSaturating, LeastSquares, TwoClass, Hinge, Wasserstein, BoundarySeeking, Softmax]


def round_of(loss, side, real, fake):
    """A round with these logits (lists or tensors), and the loss's targets, if it has any."""
    streams = []
    for role, logits in (("real", real), ("fake", fake)):
        tensor = torch.as_tensor(logits, dtype=torch.float64).clone().requires_grad_()
        streams.append(Stream(torch.zeros(len(tensor), 2), role, output=DiscriminatorOutput(tensor)))
    round = Round(Game("adversarial", "discriminator", "discriminator", ["generator"]), side, streams)
    if "targets" in loss.provides:
        for stream in streams:
            score = loss.score(round, stream.logits) if hasattr(loss, "score") else stream.logits
            stream.target = torch.full_like(score, round.now(loss.targets(stream.role)), requires_grad=False)
    return round


def both(loss, side, real, fake):
    """(values of the real stream, values of the fakes), as lists; None for a stream without."""
    round = round_of(loss, side, real, fake)
    result = getattr(loss, side)(round)
    return tuple(result[s].tolist() if s in result else None for s in round.streams)


def slopes(loss, side, real, fake):
    """Gradients of what the engine minimises times the number of rows, (real, fake), as lists."""
    round = round_of(loss, side, real, fake)
    total = sum(value.mean() for value in getattr(loss, side)(round).values())
    grads = torch.autograd.grad(total, [s.logits for s in round.streams], allow_unused=True)
    return tuple(None if grad is None else (grad * len(grad)).tolist() for grad in grads)


# --- two-class --------------------------------------------------------------------------------------------------

EVEN, THREE_TO_ONE = [0.0, 0.0], [5.0, 5.0 + log(3)]  # (fake, real): probabilities of real 1/2 and 3/4


def test_two_class_by_hand():
    real, fake = both(TwoClass(), "discriminator", [EVEN, THREE_TO_ONE], [EVEN, THREE_TO_ONE])
    assert real == pytest.approx([log(2), log(4 / 3)])
    assert fake == pytest.approx([log(2), log(4)])
    assert both(TwoClass(), "generator", [EVEN, EVEN], [EVEN, THREE_TO_ONE])[0] is None
    assert both(TwoClass(), "generator", [EVEN, EVEN], [EVEN, THREE_TO_ONE])[1] == pytest.approx([log(2), log(4 / 3)])


def test_two_class_takes_soft_labels():
    round = round_of(TwoClass(), "discriminator", [THREE_TO_ONE], [EVEN])
    round.real.target = torch.tensor([0.9], dtype=torch.float64)
    assert TwoClass().discriminator(round)[round.real].tolist() == pytest.approx([0.9 * log(4 / 3) + 0.1 * log(4)])


def test_two_class_moves_its_outputs_apart_by_the_probability_that_is_missing():
    """For a real sample d/dl_real = -(1 - 3/4), d/dl_fake = 1 - 3/4; for a fake the other way, with 3/4."""
    real, fake = slopes(TwoClass(), "discriminator", [THREE_TO_ONE], [THREE_TO_ONE])
    assert real[0] == pytest.approx([0.25, -0.25])
    assert fake[0] == pytest.approx([-0.75, 0.75])


def test_the_score_of_two_class_is_the_output_for_real_minus_that_for_fake():
    logits = torch.tensor([[1.0, 4.0], [2.0, -1.0]])
    assert TwoClass().score(None, logits).tolist() == [3.0, -3.0]
    assert TwoClass().score(None, logits[:, :, None, None].expand(2, 2, 3, 5)).shape == (2, 3, 5)


def test_two_class_judges_each_patch():
    """(1, 2, 1, 2): the first patch has the outputs EVEN, the second THREE_TO_ONE."""
    patches = torch.tensor([EVEN, THREE_TO_ONE], dtype=torch.float64).T[None, :, None, :]
    real, fake = both(TwoClass(), "discriminator", patches, patches)
    assert real[0][0] == pytest.approx([log(2), log(4 / 3)])
    assert fake[0][0] == pytest.approx([log(2), log(4)])


@pytest.mark.parametrize("outputs", [[1e4, -1e4], [-1e4, 1e4]])
def test_two_class_is_finite_for_huge_outputs(outputs):
    for side in ("discriminator", "generator"):
        for found in (*both(TwoClass(), side, [outputs], [outputs]), *slopes(TwoClass(), side, [outputs], [outputs])):
            assert found is None or torch.tensor(found).isfinite().all()


class Look:
    """Keeps logits, targets and terms of each round that has them."""

    strength = ""

    def __init__(self):
        self.logits, self.targets_seen, self.terms = [], [], []

    @hookimpl(trylast=True)
    def targets(self, turn, round):
        self.targets_seen.append([stream.target for stream in round.streams])

    @hookimpl
    def losses(self, turn):
        self.logits.append([[stream.logits.detach() for stream in round.streams] for round in turn.rounds])
        self.terms.append({name: term.value.item() for name, term in turn.terms.items()})


def test_two_class_asks_the_network_for_two_outputs_and_tricks_see_one_target_a_sample(make_run, tiny):
    run = make_run(tiny(loss="two-class", tricks=["label-smoothing", "look"]), {"trick.look": Look})
    run.engine.step(0)
    look = run.experiment.tricks[-1]
    assert [logits.shape for logits in look.logits[0][0]] == [(8, 2), (8, 2)]
    real, fake = look.targets_seen[0]
    assert real.tolist() == pytest.approx([0.9] * 8)
    assert fake.tolist() == [0.0] * 8
    outputs = look.logits[0][0][0].double()
    log_p = outputs.log_softmax(1)
    assert look.terms[0]["adversarial.real"] == pytest.approx(
        (-0.9 * log_p[:, 1] - 0.1 * log_p[:, 0]).mean().item(), rel=1e-5
    )


def test_two_class_plays_both_games_of_a_cyclegan_on_patches(make_run, small_cyclegan):
    run = make_run(small_cyclegan(loss="two-class", tricks=["look"]), {"trick.look": Look})
    run.engine.step(0)
    shapes = {logits.shape[1] for rounds in run.experiment.tricks[-1].logits for round in rounds for logits in round}
    assert shapes == {2}
    assert all(math.isfinite(value) for terms in run.experiment.tricks[-1].terms for value in terms.values())


# --- hinge ------------------------------------------------------------------------------------------------------


def test_hinge_by_hand():
    """Real max(0, 1 - l), fakes max(0, 1 + l), generator -l, at l = -3, 0, 1/2, 1, 2."""
    assert both(Hinge(), "discriminator", LOGITS, LOGITS) == ([4.0, 1.0, 0.5, 0.0, 0.0], [0.0, 1.0, 1.5, 2.0, 3.0])
    assert both(Hinge(), "generator", LOGITS, LOGITS) == (None, [3.0, 0.0, -0.5, -1.0, -2.0])


def test_hinge_learns_only_from_samples_within_the_margin_but_its_generator_from_all():
    assert slopes(Hinge(), "discriminator", LOGITS, LOGITS) == ([-1.0, -1.0, -1.0, 0.0, 0.0], [0.0, 1.0, 1.0, 1.0, 1.0])
    assert slopes(Hinge(), "generator", LOGITS, LOGITS)[1] == [-1.0] * 5


# --- wasserstein ------------------------------------------------------------------------------------------------


def test_wasserstein_by_hand():
    assert both(Wasserstein(), "discriminator", LOGITS, LOGITS) == ([-x for x in LOGITS], LOGITS)
    assert both(Wasserstein(), "generator", LOGITS, LOGITS) == (None, [-x for x in LOGITS])


def test_drift_adds_the_squared_output_on_real_samples_alone():
    """1/4 l^2 - l: at -3, 9/4 + 3; at 2, 1 - 2."""
    real, fake = both(Wasserstein(drift=0.25), "discriminator", [-3.0, 2.0], [-3.0, 2.0])
    assert (real, fake) == ([5.25, -1.0], [-3.0, 2.0])
    assert both(Wasserstein(drift=0.25), "generator", [0.0], [2.0])[1] == [-2.0]


def test_drift_may_be_scheduled():
    loss = Wasserstein(drift=Scheduled({"linear": [0, 1]}))
    round = round_of(loss, "discriminator", [2.0], [0.0])
    round.now = lambda value: value.at(3, Clock(total=4, batch=1, dataset=1))
    assert loss.discriminator(round)[round.real].tolist() == [0.75 * 4 - 2]


def test_adding_a_number_to_all_outputs_changes_nothing_unless_there_is_drift():
    def total(loss, shift):
        real, fake = both(loss, "discriminator", [1.0 + shift, 3.0 + shift], [-2.0 + shift, 0.0 + shift])
        return (sum(real) + sum(fake)) / 2

    assert total(Wasserstein(), 0.0) == total(Wasserstein(), 64.0) == -3.0  # -(1 + 3)/2 + (-2 + 0)/2
    assert total(Wasserstein(drift=0.5), 64.0) != total(Wasserstein(drift=0.5), 0.0)


# --- boundary-seeking -------------------------------------------------------------------------------------------


def test_boundary_seeking_by_hand():
    """The generator's l^2 / 2 at -3, 0, 1/2, 1, 2; the discriminator is that of the cross-entropy."""
    assert both(BoundarySeeking(), "generator", LOGITS, LOGITS) == (None, [4.5, 0.0, 0.125, 0.5, 2.0])
    plain = both(NonSaturating(), "discriminator", LOGITS, LOGITS)
    assert both(BoundarySeeking(), "discriminator", LOGITS, LOGITS) == plain
    assert both(BoundarySeeking(), "discriminator", [log(3)], [log(3)])[0] == pytest.approx([log(4 / 3)])


def test_boundary_seeking_is_half_the_squared_difference_of_log_d_and_log_one_minus_d():
    """At l = log 3, D = 3/4: (log 3/4 - log 1/4)^2 / 2."""
    assert both(BoundarySeeking(), "generator", [0.0], [log(3)])[1] == pytest.approx(
        [(log(3 / 4) - log(1 / 4)) ** 2 / 2]
    )


def test_a_fake_that_passes_for_real_is_pushed_back_to_the_boundary():
    """The slope is l itself: descent lowers a logit of 2 and raises one of -3."""
    assert slopes(BoundarySeeking(), "generator", [0.0, 0.0], [-3.0, 2.0])[1] == [-3.0, 2.0]


# --- softmax ----------------------------------------------------------------------------------------------------

REAL, FAKE = [log(3), 0.0], [log(2), log(2)]  # e^l = 3, 1 and 2, 2: Z = 8


def test_softmax_by_hand():
    """Discriminator log 8 - l on real samples; generator half of log 8 - l on each, for half of the rows are real."""
    real, fake = both(Softmax(), "discriminator", REAL, FAKE)
    assert real == pytest.approx([log(8 / 3), log(8)])
    assert fake is None
    real, fake = both(Softmax(), "generator", REAL, FAKE)
    assert real == pytest.approx([log(8 / 3) / 2, log(8) / 2])
    assert fake == pytest.approx([log(4) / 2, log(4) / 2])


@pytest.mark.parametrize(("real", "fake"), [(REAL, FAKE), ([0.3], [1.0, -2.0, 0.5]), ([0.3, 7.0, -1.0], [1.0])])
def test_the_means_of_softmax_sum_to_the_papers_values(real, fake):
    log_z = log(sum(math.exp(x) for x in real + fake))
    (mean,) = [sum(values) / len(values) for values in both(Softmax(), "discriminator", real, fake) if values]
    assert mean == pytest.approx(log_z - sum(real) / len(real))
    means = [sum(values) / len(values) for values in both(Softmax(), "generator", real, fake)]
    assert sum(means) == pytest.approx(log_z - sum(real + fake) / len(real + fake))


def test_the_slopes_of_softmax_are_the_weights_minus_the_wanted_weights():
    """Weights 3/8, 1/8, 2/8, 2/8; wanted 1/2, 1/2, 0, 0 by the discriminator, 1/4 each by the generator.

    Times 2 rows.
    """
    real, fake = slopes(Softmax(), "discriminator", REAL, FAKE)
    assert (real, fake) == (pytest.approx([-2 / 8, -6 / 8]), pytest.approx([4 / 8, 4 / 8]))
    real, fake = slopes(Softmax(), "generator", REAL, FAKE)
    assert (real, fake) == (pytest.approx([2 / 8, -2 / 8]), pytest.approx([0, 0], abs=1e-12))


def test_softmax_where_nothing_can_be_told_apart_is_the_log_of_the_batch():
    assert both(Softmax(), "discriminator", [0.7] * 3, [0.7] * 3)[0] == pytest.approx([log(6)] * 3)
    assert sum(map(sum, both(Softmax(), "generator", [0.7] * 3, [0.7] * 3))) / 3 == pytest.approx(log(6))


def test_a_patch_map_has_a_softmax_at_each_of_its_places():
    torch.manual_seed(0)
    real, fake = torch.randn(2, 3, 1, 2, 2, dtype=torch.float64)
    for side in ("discriminator", "generator"):
        patches = both(Softmax(), side, real, fake)
        for row in range(2):
            for column in range(2):
                place = both(Softmax(), side, real[:, 0, row, column], fake[:, 0, row, column])
                for found, expected in zip(patches, place):
                    assert found is None or [sample[0][row][column] for sample in found] == pytest.approx(expected)


def test_softmax_is_finite_for_huge_logits():
    assert both(Softmax(), "discriminator", [-1e4, 1e4], [0.0, 1e4])[0] == pytest.approx([2e4 + log(2), log(2)])
    assert all(
        torch.tensor(found).isfinite().all() for found in slopes(Softmax(), "generator", [-1e4, 1e4], [0.0, 1e4])
    )


def test_softmax_sums_in_float32_where_logits_are_bfloat16():
    """256 equal samples: log Z = log 256 = 8 log 2; the values keep more digits than bfloat16 has (5.53 or 5.56)."""
    logits = torch.zeros(128, dtype=torch.bfloat16)
    streams = [Stream(torch.zeros(128, 2), role, output=DiscriminatorOutput(logits)) for role in ("real", "fake")]
    values = Softmax().discriminator(Round(Game("g", "d", "d"), "discriminator", streams))
    assert values[streams[0]][0].item() == pytest.approx(8 * log(2), rel=1e-6)


def test_softmax_terms_of_a_run_sum_to_the_papers_values(make_run, tiny):
    run = make_run(tiny(loss="softmax", tricks=["look"]), {"trick.look": Look})
    run.engine.step(0)
    look = run.experiment.tricks[-1]
    for side, aims in ((0, [0]), (1, [0, 1])):
        logits = [stream.double() for stream in look.logits[side][0]]
        expected = torch.cat(logits).logsumexp(0) - torch.cat([logits[k] for k in aims]).mean()
        assert sum(look.terms[side].values()) == pytest.approx(expected.item(), rel=1e-5)


def test_softmax_warns_where_a_batch_is_taken_in_parts(make_run, tiny):
    assert not make_run(tiny(loss="softmax")).experiment.warnings
    (warning,) = make_run(tiny(loss="softmax", train={"accumulate": 2})).experiment.warnings
    assert "micro-batch" in warning.why


def test_accumulated_softmax_is_another_loss():
    """What the warning says: log Z of halves is not that of the whole; 4 equal samples of 8: log 4 instead of log 8."""
    halves = both(Softmax(), "discriminator", [0.0] * 2, [0.0] * 2)[0]
    assert halves == pytest.approx([log(4)] * 2)
    assert both(Softmax(), "discriminator", [0.0] * 4, [0.0] * 4)[0] == pytest.approx([log(8)] * 4)


# --- all of them ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factory", ALL)
def test_patch_maps_give_one_value_a_patch(factory):
    loss = factory()
    shape = (2, getattr(loss, "logits", 1), 3, 4)
    for side in ("discriminator", "generator"):
        round = round_of(loss, side, torch.randn(shape), torch.randn(shape))
        for value in getattr(loss, side)(round).values():
            assert value.shape in {(2, 1, 3, 4), (2, 3, 4)}


@pytest.mark.parametrize(
    ("factory", "of_the_score"),
    [
        (Minimax, {"logit:signed", "logit:probability"}),
        (NonSaturating, {"logit:signed", "logit:probability"}),
        (TwoClass, {"logit:signed", "logit:probability"}),
        (BoundarySeeking, {"logit:signed", "logit:probability"}),
        (LeastSquares, {"logit:signed"}),
        (Hinge, {"logit:signed"}),
        (Wasserstein, {"logit:unbounded"}),
        (Softmax, {"logit:relative"}),
    ],
)
def test_what_losses_say_of_their_score(factory, of_the_score):
    assert {name for name in factory().provides if name.startswith("logit:")} == of_the_score


def test_losses_without_a_number_to_compare_with_have_no_targets():
    assert {factory.__name__ for factory in ALL if "targets" not in factory.provides} == {
        "Hinge",
        "Wasserstein",
        "Softmax",
    }
    assert {factory.__name__ for factory in ALL if factory.real_in_generator} == {"Softmax"}
    assert {factory.__name__ for factory in ALL if "per-sample-generator" not in factory.provides} == {"Softmax"}


@pytest.mark.parametrize("loss", ["wasserstein", "cramer"])
@pytest.mark.parametrize(
    ("trick", "warned"),
    [
        (None, True),
        ("ema", True),
        ({"spectral-norm": {"networks": "generators"}}, True),
        ("gradient-penalty", False),
        ("r1", False),
        ("spectral-norm", False),
        ("weight-clipping", False),
    ],
)
def test_a_distance_is_warned_of_if_nothing_bounds_the_slopes(make_run, tiny, loss, trick, warned):
    run = make_run(tiny(loss=loss, tricks=[trick] if trick else []))
    assert any("falls without limit" in warning.why for warning in run.experiment.warnings) == warned

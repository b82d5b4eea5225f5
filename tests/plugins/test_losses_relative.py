"""Relativistic, relativistic-average and Cramér against values worked out by hand, and in small runs."""

import math

import pytest
import torch
from torch import Tensor

from ganrun.preflight.stages import STAGES
from ganrun.testing.runs import weights
from ganrun.training.build import RefusedError
from ganrun.words.game import DiscriminatorOutput, Game, Round, Stream
from ganrun_plugins.losses.cramer import Cramer, norm, potential
from ganrun_plugins.losses.relativistic import Relativistic
from ganrun_plugins.losses.relativistic_average import RelativisticAverage

GAME = Game("adversarial", "discriminator", "discriminator", ["generator"])
FORMS = ("standard", "least-squares", "hinge")
LOSSES = {
    "relativistic": Relativistic(),
    **{f"relativistic-average {form}": RelativisticAverage(form=form) for form in FORMS},
}
TRAINED = [
    "relativistic",
    *({"relativistic-average": {"form": form}} for form in FORMS),
    "cramer",
    {"cramer": {"dimensions": 1}},
]


def stream(role: str, logits, weight=1.0) -> Stream:
    logits = torch.as_tensor(logits)
    logits = (
        (logits if logits.is_floating_point() and logits.dtype != torch.float32 else logits.double())
        .detach()
        .requires_grad_()
    )
    return Stream(torch.zeros(len(logits), 2), role, output=DiscriminatorOutput(logits, weight=weight))


def make_round(side: str, real, fake, loss=None) -> Round:
    """A round whose streams have these logits, with the loss's targets on the discriminator's side."""
    round = Round(GAME, side, [stream("real", real), stream("fake", fake)])
    if side == "discriminator" and "targets" in getattr(loss, "provides", ()):
        for s in round.streams:
            s.target = torch.full_like(s.logits, loss.targets(s.role), requires_grad=False)
    return round


def values(loss, side: str, real, fake) -> dict[str, Tensor]:
    """Role -> values of a side."""
    round = make_round(side, real, fake, loss)
    return {s.role: value for s, value in getattr(loss, side)(round).items()}


def total(loss, side: str, real, fake) -> float:
    return sum(value.mean() for value in values(loss, side, real, fake).values()).item()


def softplus(x: float) -> float:
    return math.log(1 + math.exp(x))


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- relativistic (pairs) -------------------------------------------------------------------------------------


def test_pairs_by_hand():
    """Differences r - f are 1 - 0 = 1 and -2 - 3 = -5."""
    real, fake = [1.0, -2.0], [0.0, 3.0]
    assert values(Relativistic(), "discriminator", real, fake)["fake"].tolist() == pytest.approx(
        [softplus(-1), softplus(5)]
    )
    assert values(Relativistic(), "generator", real, fake)["fake"].tolist() == pytest.approx(
        [softplus(1), softplus(-5)]
    )


def test_equal_logits_cost_log_2_on_each_side():
    for side in ("discriminator", "generator"):
        assert total(Relativistic(), side, [7.0], [7.0]) == pytest.approx(math.log(2))


def test_the_gradient_of_a_pair_is_minus_the_sigmoid_of_its_difference():
    """d/dr softplus(f - r) = -sigmoid(f - r), d/df = +sigmoid(f - r); at r = 1, f = 3 that is sigmoid(2)."""
    round = make_round("discriminator", [1.0], [3.0])
    Relativistic().discriminator(round)[round.fake].sum().backward()
    sigmoid = 1 / (1 + math.exp(-2))
    assert round.real.logits.grad.item() == pytest.approx(-sigmoid)
    assert round.fake.logits.grad.item() == pytest.approx(sigmoid)


def test_patches_are_compared_place_by_place():
    real, fake = drawn(2, 1, 2, 3), drawn(2, 1, 2, 3, seed=1)
    found = values(Relativistic(), "discriminator", real, fake)["fake"]
    assert found.shape == (2, 1, 2, 3)
    assert found[1, 0, 1, 2].item() == pytest.approx(softplus((fake - real)[1, 0, 1, 2].item()))


def test_several_fake_streams_are_each_compared_with_the_real_samples():
    """GAN-CLS has two: r - f is 1 and -1."""
    round = Round(GAME, "discriminator", [stream("real", [1.0]), stream("fake", [0.0]), stream("fake", [2.0])])
    found = list(Relativistic().discriminator(round).values())
    assert [value.item() for value in found] == pytest.approx([softplus(-1), softplus(1)])


def test_several_real_streams_are_averaged_and_their_weights_count():
    """(2 softplus(-1) + 0.5 softplus(1)) / 2."""
    reals = [stream("real", [[[[1.0]]]], weight=torch.tensor([2.0])), stream("real", [[[[-1.0]]]], weight=0.5)]
    round = Round(GAME, "discriminator", [*reals, stream("fake", [[[[0.0]]]])])
    (value,) = Relativistic().discriminator(round).values()
    assert value.item() == pytest.approx((2 * softplus(-1) + 0.5 * softplus(1)) / 2)


# --- relativistic-average -------------------------------------------------------------------------------------


def test_average_least_squares_by_hand():
    """Means 2 and -1: dr = 1 + 1, 3 + 1 = 2, 4; df = 0 - 2, -2 - 2 = -2, -4."""
    loss, real, fake = RelativisticAverage(form="least-squares"), [1.0, 3.0], [0.0, -2.0]
    found = values(loss, "discriminator", real, fake)
    assert found["real"].tolist() == [0.5, 4.5]  # (2 - 1)^2 / 2, (4 - 1)^2 / 2
    assert found["fake"].tolist() == [0.5, 4.5]  # (-2 + 1)^2 / 2, (-4 + 1)^2 / 2
    found = values(loss, "generator", real, fake)
    assert found["real"].tolist() == [4.5, 12.5]  # (2 + 1)^2 / 2, (4 + 1)^2 / 2
    assert found["fake"].tolist() == [4.5, 12.5]  # (-2 - 1)^2 / 2, (-4 - 1)^2 / 2


def test_average_standard_by_hand():
    """The same differences 2, 4 and -2, -4: cross-entropies against 1 are softplus(-d), against 0 softplus(d)."""
    loss, real, fake = RelativisticAverage(), [1.0, 3.0], [0.0, -2.0]
    for side, sign in (("discriminator", -1), ("generator", 1)):
        found = values(loss, side, real, fake)
        for role in ("real", "fake"):
            assert found[role].tolist() == pytest.approx([softplus(sign * 2) / 2, softplus(sign * 4) / 2])


def test_average_hinge_by_hand():
    """Means 0.5 and 0: dr = 0, 1; df = 0, -1."""
    loss, real, fake = RelativisticAverage(form="hinge"), [0.0, 1.0], [0.5, -0.5]
    found = values(loss, "discriminator", real, fake)
    assert found["real"].tolist() == found["fake"].tolist() == [0.5, 0.0]
    found = values(loss, "generator", real, fake)
    assert found["real"].tolist() == found["fake"].tolist() == [0.5, 1.0]


def test_the_gradient_goes_through_the_means():
    """r = 2, f = 0: d/dr ((r - f - 1)^2 + (f - r + 1)^2) / 2 = 1 + 1; without the means' gradient it would be 1."""
    loss = RelativisticAverage(form="least-squares")
    round = make_round("discriminator", [2.0], [0.0], loss)
    sum(value.sum() for value in loss.discriminator(round).values()).backward()
    assert round.real.logits.grad.item() == 2.0
    assert round.fake.logits.grad.item() == -2.0


@pytest.mark.parametrize(("form", "real", "fake"), [("standard", 1.0, 0.0), ("least-squares", 1.0, -1.0)])
def test_targets_of_the_discriminators_side_are_those_of_the_stream(form, real, fake):
    loss = RelativisticAverage(form=form)
    assert (loss.targets("real"), loss.targets("fake")) == (real, fake)
    round = make_round("discriminator", [1.0, 3.0], [0.0, -2.0], loss)
    round.real.target = torch.full((2,), 0.9, dtype=torch.float64)
    found = loss.discriminator(round)[round.real].tolist()
    if form == "standard":  # -0.9 log s(d) - 0.1 log(1 - s(d)) at d = 2, 4
        assert found == pytest.approx([(0.9 * softplus(-d) + 0.1 * softplus(d)) / 2 for d in (2, 4)])
    else:
        assert found == pytest.approx([1.1**2 / 2, 3.1**2 / 2])


def test_the_hinge_form_has_no_targets():
    loss = RelativisticAverage(form="hinge")
    assert "targets" not in loss.provides
    assert loss.targets("real") is loss.targets("fake") is None
    assert "targets" in RelativisticAverage().provides


def test_the_mean_is_over_all_patches_of_the_batch():
    real, fake = drawn(2, 1, 2, 3), drawn(2, 1, 2, 3, seed=1)
    found = values(RelativisticAverage(form="least-squares"), "discriminator", real, fake)["real"]
    assert torch.allclose(found, (real - fake.sum() / 12 - 1).square() / 2)


def test_the_mean_is_over_all_streams_of_the_other_role():
    """Fakes 0, 0 and 3: the mean is 1, and dr = 1 - 1 = 0, so that (0 - 1)^2 / 2 = 0.5."""
    round = Round(GAME, "generator", [stream("real", [1.0]), stream("fake", [0.0, 0.0]), stream("fake", [3.0])])
    assert RelativisticAverage(form="least-squares").generator(round)[round.real].tolist() == [0.5]


def test_the_average_over_one_sample_is_the_loss_of_pairs():
    for side in ("discriminator", "generator"):
        assert total(RelativisticAverage(), side, [0.3], [-1.1]) == pytest.approx(
            total(Relativistic(), side, [0.3], [-1.1])
        )


def test_label_smoothing_goes_with_the_forms_that_have_targets(make_run, tiny):
    for form in ("standard", "least-squares"):
        make_run(tiny(loss={"relativistic-average": {"form": form}}, tricks=["label-smoothing"]))
    with pytest.raises(RefusedError, match="label-smoothing"):
        make_run(tiny(loss={"relativistic-average": {"form": "hinge"}}, tricks=["label-smoothing"]))


@pytest.mark.parametrize(
    ("train", "reason"), [({"accumulate": 2}, "one micro-batch"), ({"batch_size": 1}, "over one sample")]
)
def test_means_over_part_of_the_batch_are_warned_of(make_run, tiny, train, reason):
    found = make_run(tiny(loss="relativistic-average", train=train)).experiment.warnings
    assert any(reason in warning.why for warning in found)
    assert not any(reason in warning.why for warning in make_run(tiny(loss="relativistic-average")).experiment.warnings)


# --- symmetry of all relativistic losses ----------------------------------------------------------------------


@pytest.mark.parametrize("name", LOSSES)
def test_swapping_the_roles_swaps_the_sides(name):
    real, fake = drawn(5), drawn(5, seed=1)
    assert total(LOSSES[name], "discriminator", real, fake) == pytest.approx(
        total(LOSSES[name], "generator", fake, real)
    )
    assert total(LOSSES[name], "discriminator", real, fake) != pytest.approx(
        total(LOSSES[name], "generator", real, fake)
    )


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("side", ["discriminator", "generator"])
def test_a_constant_added_to_all_logits_changes_nothing(name, side):
    real, fake = drawn(5), drawn(5, seed=1)
    assert total(LOSSES[name], side, real + 12.5, fake + 12.5) == pytest.approx(total(LOSSES[name], side, real, fake))
    assert total(LOSSES[name], side, real + 12.5, fake) != pytest.approx(total(LOSSES[name], side, real, fake))


# --- Cramér ---------------------------------------------------------------------------------------------------

REAL, FAKE = [[0.0, 0.0], [6.0, 8.0]], [[3.0, 4.0], [0.0, 0.0]]


def test_cramer_by_hand():
    """x_g' of row 0 is (0, 0), of row 1 (3, 4). f(x) = |h(x) - h(x_g')| - |h(x)|:

    real: |(0, 0)| - 0 = 0 and |(3, 4)| - 10 = -5; fake: |(3, 4)| - 5 = 0 and |(-3, -4)| - 0 = 5.
    """
    found = values(Cramer(dimensions=2), "discriminator", REAL, FAKE)
    assert found["real"].tolist() == [0, 5]
    assert found["fake"].tolist() == [0, 5]
    found = values(Cramer(dimensions=2), "generator", REAL, FAKE)
    assert found["real"].tolist() == [0, -5]
    assert found["fake"].tolist() == [0, -5]


def test_cramer_takes_the_mean_over_the_next_fakes_of_all_streams():
    """x_g' of row 0 is (0, 0) and (6, 8), of row 1 (3, 4) and (0, 0), and f is a mean distance minus |h|:

    (0 + 10) / 2 - 0 = 5 and (5 + 10) / 2 - 10 = -2.5 of real samples and second fakes; of the first (5 + 5) / 2 - 5 = 0
    and (5 + 0) / 2 - 0 = 2.5.
    """
    round = Round(GAME, "discriminator", [stream("real", REAL), stream("fake", FAKE), stream("fake", REAL)])
    found = Cramer(dimensions=2).discriminator(round)
    assert [value.tolist() for value in found.values()] == [[-5, 2.5], [0, 2.5], [5, -2.5]]


def by_loop(real: Tensor, fake: Tensor) -> float:
    """E f(x_r) - E f(x_g), one number at a time."""
    n, dimensions = fake.shape
    length = lambda v: math.sqrt(sum(float(c) ** 2 for c in v))  # noqa: E731
    found = 0.0
    for i in range(n):
        other = fake[(i + 1) % n]
        for x, sign in ((real[i], 1), (fake[i], -1)):
            found += sign * (length([x[k] - other[k] for k in range(dimensions)]) - length(x)) / n
    return found


def test_cramer_equals_a_loop():
    real, fake = drawn(5, 3), drawn(5, 3, seed=1)
    assert total(Cramer(dimensions=3), "generator", real, fake) == pytest.approx(by_loop(real, fake))
    assert total(Cramer(dimensions=3), "discriminator", real, fake) == pytest.approx(-by_loop(real, fake))


def test_cramer_compares_patches_place_by_place():
    real, fake = drawn(4, 3, 2, 2), drawn(4, 3, 2, 2, seed=1)
    found = values(Cramer(dimensions=3), "generator", real, fake)
    assert found["real"].shape == found["fake"].shape == (4, 2, 2)
    expected = sum(by_loop(real[:, :, i, j], fake[:, :, i, j]) for i in range(2) for j in range(2)) / 4
    assert total(Cramer(dimensions=3), "generator", real, fake) == pytest.approx(expected)


def test_cramer_takes_one_dimension():
    """f(x) = |x - x_g'| - |x|: real |1 - 5| - 1 = 3, |2 - 3| - 2 = -1; fake |3 - 5| - 3 = -1, |5 - 3| - 5 = -3."""
    found = values(Cramer(dimensions=1), "generator", [1.0, 2.0], [3.0, 5.0])
    assert found["real"].tolist() == [3, -1]
    assert found["fake"].tolist() == [1, 3]


def test_the_next_fake_stands_for_an_independent_one():
    """h(x_r) from N(0, 4) and h(x_g) from N(0, 1) have E|N(0, s^2)| = s c with c = sqrt(2 / pi), so that

    E f(x_r) - E f(x_g) = c (sqrt 5 - 2) - c (sqrt 2 - 1); with x_g' = x_g the latter would be -c.
    """
    real, fake = 2 * drawn(400_000), drawn(400_000, seed=1)
    expected = math.sqrt(2 / math.pi) * (math.sqrt(5) - 2 - math.sqrt(2) + 1)
    assert total(Cramer(dimensions=1), "generator", real, fake) == pytest.approx(expected, abs=0.01)


def test_gradients_go_through_the_other_fake_too():
    """f(x_r) of row 0 = |x_r0 - x_g1| - |x_r0|; at x_r0 = 0, x_g1 = (3, 4) its gradient with respect to x_g1 is (3, 4)
    / 5.
    """
    round = make_round("generator", [[0.0, 0.0], [1.0, 1.0]], [[9.0, 9.0], [3.0, 4.0]])
    Cramer(dimensions=2).generator(round)[round.real][0].backward()
    assert round.fake.logits.grad.tolist() == [[0.0, 0.0], [pytest.approx(0.6), pytest.approx(0.8)]]


def test_the_gradient_is_finite_where_vectors_coincide_or_vanish():
    """A dead discriminator returns zeros for every sample; a plain square root would give NaN, in penalties as well."""
    v = torch.tensor([[0.0, 0.0], [3.0, 4.0]], dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(norm(v).sum(), v, create_graph=True)
    assert grad.tolist() == [[0.0, 0.0], [pytest.approx(0.6), pytest.approx(0.8)]]
    (second,) = torch.autograd.grad(grad.square().sum(), v)
    assert second.isfinite().all()
    for side in ("discriminator", "generator"):
        round = make_round(side, torch.zeros(3, 2), torch.zeros(3, 2))
        sum(value.sum() for value in getattr(Cramer(), side)(round).values()).backward()
        assert all(s.logits.grad.isfinite().all() for s in round.streams)


def test_the_score_of_cramer_is_f_with_the_fakes_of_the_round():
    loss, round = Cramer(dimensions=2), make_round("discriminator", REAL, FAKE)
    assert loss.score(round, round.real.logits).tolist() == [0, -5]
    between = torch.tensor([[3.0, 4.0], [3.0, 4.0]], dtype=torch.float64)  # |(3, 4)| - 5 and 0 - 5
    assert loss.score(round, between).tolist() == [0, -5]
    assert loss.score_sees == {"fake"}


def test_the_score_keeps_the_number_format_and_the_values_are_precise():
    """|1000 - 2| - 1000 is -2; in bfloat16, where 998 is rounded to 1000, it would be 0."""
    logits = torch.tensor([[1000.0], [2.0]], dtype=torch.bfloat16)
    round = make_round("discriminator", logits, logits)
    assert potential(round, round.fake.logits).dtype == torch.float32
    assert potential(round, round.fake.logits)[0].item() == -2.0
    assert Cramer().score(round, round.fake.logits).dtype == torch.bfloat16


def test_cramer_asks_the_discriminator_for_its_dimensions(make_run, tiny):
    run = make_run(tiny(loss={"cramer": {"dimensions": 12}}))
    assert run.engine.modules["discriminator"](torch.zeros(3, 2)).logits.shape == (3, 12)
    assert Cramer().logits == 256


def test_a_batch_of_one_is_refused_because_its_fake_is_compared_with_itself(make_run, tiny):
    """With one row f(x_g) = |h - h| - |h| = -|h|: at h = (3, 4) that is -5, whatever the other fakes are."""
    assert values(Cramer(dimensions=2), "discriminator", [[1.0, 0.0]], [[3.0, 4.0]])["fake"].tolist() == [-5]
    with pytest.raises(RefusedError, match="in a batch of one that is itself"):
        make_run(tiny(loss="cramer", train={"batch_size": 1}))


# --- in runs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", TRAINED, ids=str)
@pytest.mark.parametrize("stage", ["points", "images", "translation"])
def test_every_loss_trains_on_every_stage(make_run, loss, stage):
    run = make_run({**STAGES[stage], "loss": loss})
    before = weights(run)
    for step in range(2):
        run.engine.step(step)
    changed = {
        name.split(".")[0].split("_")[0] for name, value in weights(run).items() if not torch.equal(value, before[name])
    }
    assert changed == {"generator", "discriminator"}
    assert all(value.isfinite() for terms in run.engine.terms.values() for value in terms.values())


def test_a_critic_of_vectors_learns_to_tell_apart_and_the_generator_to_follow(make_run, tiny):
    """E f(x_r) - E f(x_g), which the discriminator raises, is above 0 after some steps in which it learns alone."""
    run = make_run(tiny(loss={"cramer": {"dimensions": 8}}, players={"discriminator": {"updates": 100}}))
    run.engine.step(0)
    after = run.engine.terms["generator"]
    assert (after["adversarial.real"] + after["adversarial.fake"]).item() > 0.1

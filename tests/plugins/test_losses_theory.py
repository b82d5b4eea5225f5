"""What the papers prove of their losses, on densities of one variable, by sums over a grid.

Each density lives on the same grid. The discriminator is as free as can be: its logits at the grid's points are found
by Newton's method, on the losses' own values, so that nothing but the losses decides where they end.
"""

import math

import pytest
import torch

from ganrun.words.game import DiscriminatorOutput, Game, Round, Stream
from ganrun_plugins.losses.boundary_seeking import BoundarySeeking
from ganrun_plugins.losses.hinge import Hinge
from ganrun_plugins.losses.least_squares import LeastSquares
from ganrun_plugins.losses.minimax import Minimax
from ganrun_plugins.losses.non_saturating import NonSaturating
from ganrun_plugins.losses.softmax import Softmax
from ganrun_plugins.losses.two_class import TwoClass
from ganrun_plugins.losses.wasserstein import Wasserstein

X = torch.linspace(-9, 9, 1801, dtype=torch.float64)
GAME = Game("adversarial", "discriminator", "discriminator", ["generator"])
CROSS_ENTROPIES = [Minimax, NonSaturating, TwoClass, BoundarySeeking]


def normal(mean, sd):
    return torch.exp(-(((X - mean) / sd) ** 2) / 2) / (sd * math.sqrt(2 * math.pi))


def mixture():
    return 0.5 * normal(-2, 0.6) + 0.5 * normal(1.5, 0.8)


PAIRS = [(normal(0.5, 1), normal(-0.5, 1)), (normal(0, 1), normal(0.7, 1.5)), (mixture(), normal(0, 1.5))]


def integral(values):
    return torch.trapezoid(values, X).item()


def kl(p, q):
    """Kullback-Leibler divergence, in nats."""
    return integral(torch.where(p > 0, p * (p / q).log(), 0.0))


def jsd(p, q):
    m = (p + q) / 2
    return kl(p, m) / 2 + kl(q, m) / 2


def round_of(loss, side, logits):
    """A round whose real and fake samples are the grid's points, with these logits."""
    streams = [Stream(X[:, None], role, output=DiscriminatorOutput(logits)) for role in ("real", "fake")]
    round = Round(GAME, side, streams)
    if "targets" in loss.provides:
        for stream in streams:
            score = loss.score(round, logits) if hasattr(loss, "score") else logits
            stream.target = torch.full_like(score, round.now(loss.targets(stream.role)), requires_grad=False)
    return round


def discriminator_integrand(loss, logits, p, q):
    """p times the values of real samples plus q times those of fakes, at each point."""
    round = round_of(loss, "discriminator", logits)
    values = loss.discriminator(round)
    return p * values[round.real] + q * values[round.fake]


def generator_value(loss, logits, q):
    """The expectation of the generator's values over its density."""
    round = round_of(loss, "generator", logits)
    return integral(q * loss.generator(round)[round.fake])


def optimal_logits(loss, p, q):
    """The logits (N,) or (N, K) that minimise the discriminator's loss, by Newton's method at every point."""
    numbers = getattr(loss, "logits", 1)
    logits = torch.zeros((len(X),) if numbers == 1 else (len(X), numbers), dtype=torch.float64, requires_grad=True)
    for _ in range(60):
        total = (discriminator_integrand(loss, logits, p, q) / (p + q)).sum()
        (grad,) = torch.autograd.grad(total, logits, create_graph=True)
        rows = grad.reshape(len(X), numbers)
        # (N, K, K)
        hessian = torch.stack(
            [
                torch.autograd.grad(rows[:, k].sum(), logits, retain_graph=True)[0].reshape(len(X), numbers)
                for k in range(numbers)
            ],
            1,
        )
        move = torch.linalg.pinv(hessian) @ rows[:, :, None]  # (N, K, 1): two-class has a direction without curvature
        logits = (logits - move.reshape(logits.shape)).detach().requires_grad_()
    return logits.detach()


def optimal_score(loss, p, q):
    logits = optimal_logits(loss, p, q)
    return loss.score(round_of(loss, "discriminator", logits), logits) if hasattr(loss, "score") else logits


# --- cross-entropy: minimax, non-saturating, two-class, boundary-seeking ----------------------------------------


@pytest.mark.parametrize("factory", CROSS_ENTROPIES)
@pytest.mark.parametrize("pair", range(len(PAIRS)))
def test_the_optimal_discriminator_is_the_share_of_real_samples(factory, pair):
    """Goodfellow et al. 2014, proposition 1: D = p / (p + q)."""
    p, q = PAIRS[pair]
    found = optimal_score(factory(), p, q).sigmoid()
    assert torch.allclose(found, p / (p + q), atol=1e-7)


@pytest.mark.parametrize("factory", CROSS_ENTROPIES)
@pytest.mark.parametrize("pair", range(len(PAIRS)))
def test_the_value_at_the_optimal_discriminator_is_that_of_the_jensen_shannon_divergence(factory, pair):
    """Theorem 1: E_p log D + E_q log(1 - D) = -log 4 + 2 JSD(p, q). The discriminator minimises its negative."""
    p, q = PAIRS[pair]
    loss = factory()
    value = -integral(discriminator_integrand(loss, optimal_logits(loss, p, q), p, q))
    assert value == pytest.approx(-math.log(4) + 2 * jsd(p, q), abs=1e-6)
    assert value > -math.log(4) + 0.05  # the densities differ


@pytest.mark.parametrize("factory", CROSS_ENTROPIES)
def test_the_value_of_equal_densities_is_minus_log_4(factory):
    loss, p = factory(), mixture()
    assert -integral(discriminator_integrand(loss, optimal_logits(loss, p, p), p, p)) == pytest.approx(
        -math.log(4), abs=1e-9
    )


def test_the_minimax_generator_minimises_the_very_value_that_the_discriminator_maximises():
    """log(1 - D) is minus the discriminator's values of fakes: at the optimum it sees 2 JSD - log 4 - E_p log D."""
    p, q = PAIRS[1]
    loss = Minimax()
    logits = optimal_logits(loss, p, q)
    real = integral(p * (p / (p + q)).log())
    assert generator_value(loss, logits, q) == pytest.approx(2 * jsd(p, q) - math.log(4) - real, abs=1e-6)


def test_the_non_saturating_generator_minimises_kl_minus_twice_jsd_to_first_order():
    """Arjovsky and Bottou 2017, theorem 2.5: its gradient at the optimal discriminator is that of KL(q, p) - 2 JSD(p,
    q).

    q is the normal of mean m; D is that of m = 0.3, held fixed. The derivative in m is taken by central differences.
    """
    p, m, h = normal(0.5, 1), 0.3, 1e-4
    loss = NonSaturating()
    logits = optimal_logits(loss, p, normal(m, 1))
    slope = (generator_value(loss, logits, normal(m + h, 1)) - generator_value(loss, logits, normal(m - h, 1))) / (
        2 * h
    )
    divergences = [kl(normal(m + d, 1), p) - 2 * jsd(p, normal(m + d, 1)) for d in (h, -h)]
    assert slope == pytest.approx((divergences[0] - divergences[1]) / (2 * h), rel=1e-4)
    assert abs(slope) > 0.01


@pytest.mark.parametrize("logit", [-20.0, -10.0, -5.0])
def test_where_the_discriminator_is_sure_the_minimax_gradient_vanishes_and_the_other_does_not(logit):
    """With D = sigmoid(l): d/dl log(1 - D) = -D, d/dl -log D = -(1 - D); their quotient is e^l."""
    slopes = []
    for loss in (Minimax(), NonSaturating()):
        logits = torch.full((len(X),), logit, dtype=torch.float64, requires_grad=True)
        round = round_of(loss, "generator", logits)
        (grad,) = torch.autograd.grad(loss.generator(round)[round.fake].sum(), logits)
        slopes.append(grad[0].item())
    d = 1 / (1 + math.exp(-logit))
    assert slopes == pytest.approx([-d, -(1 - d)], rel=1e-12)
    assert slopes[0] / slopes[1] == pytest.approx(math.exp(logit), rel=1e-12)
    assert abs(slopes[0]) < 0.01 < 0.99 < abs(slopes[1])


def test_two_class_is_cross_entropy_on_the_difference_of_its_outputs():
    """Values, and gradients: with respect to (fake, real) they are (-g, g), g that of the difference."""
    torch.manual_seed(0)
    outputs = (3 * torch.randn(len(X), 2, dtype=torch.float64)).requires_grad_()
    difference = (outputs[:, 1] - outputs[:, 0]).detach().requires_grad_()
    for side in ("discriminator", "generator"):
        one, other = round_of(TwoClass(), side, outputs), round_of(NonSaturating(), side, difference)
        values, expected = getattr(TwoClass(), side)(one), getattr(NonSaturating(), side)(other)
        for stream, same in zip(one.streams, other.streams):
            if stream in values:
                assert torch.allclose(values[stream], expected[same])
                (grad,) = torch.autograd.grad(values[stream].sum(), outputs, retain_graph=True)
                (g,) = torch.autograd.grad(expected[same].sum(), difference, retain_graph=True)
                assert torch.allclose(grad, torch.stack([-g, g], 1))


def test_the_boundary_seeking_generator_has_half_the_mean_squared_log_ratio():
    """p, q normal of means m, -m: log p/q = 2 m x, and E_q x^2 = 1 + m^2, so half of 4 m^2 (1 + m^2).

    m = 1/2: 0.625.
    """
    p, q = normal(0.5, 1), normal(-0.5, 1)
    loss = BoundarySeeking()
    assert generator_value(loss, optimal_logits(loss, p, q), q) == pytest.approx(0.625, abs=1e-6)
    assert generator_value(loss, optimal_logits(loss, p, p), p) == pytest.approx(0, abs=1e-12)


# --- least squares ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("targets", [(-1, 1, 0), (0, 1, 1), (0.5, 3, -2)])
def test_the_optimal_least_squares_discriminator_is_the_mean_of_its_targets(targets):
    """Mao et al. 2016, equation 3: (b p + a q) / (p + q)."""
    a, b, c = targets
    p, q = PAIRS[2]
    found = optimal_logits(LeastSquares(a=a, b=b, c=c), p, q)
    assert torch.allclose(found, (b * p + a * q) / (p + q), atol=1e-12)


@pytest.mark.parametrize("pair", range(len(PAIRS)))
@pytest.mark.parametrize(
    "loss", [LeastSquares(coding="pearson"), LeastSquares(a=0, b=2, c=1), LeastSquares(a=4, b=6, c=5)]
)
def test_with_b_minus_c_1_and_b_minus_a_2_twice_the_objective_is_the_pearson_divergence(loss, pair):
    """Equations 4 to 7: C = E_p (D - c)^2 / 2 + E_q (D - c)^2 / 2, and 2 C = chi^2(p + q || 2 q).

    There, chi^2(P || Q) is the integral of (Q - P)^2 / P. The first term of C does not depend on the generator's
    samples.
    """
    p, q = PAIRS[pair]
    logits = optimal_logits(loss, p, q)
    objective = generator_value(loss, logits, p) + generator_value(loss, logits, q)
    chi_square = integral((2 * q - (p + q)) ** 2 / (p + q))
    assert 2 * objective == pytest.approx(chi_square, abs=1e-9)
    assert chi_square > 0.1


def test_the_pearson_divergence_is_0_for_equal_densities_and_2_for_distant_ones():
    loss = LeastSquares(coding="pearson")
    for p, q, expected in ((mixture(), mixture(), 0.0), (normal(4, 0.4), normal(-4, 0.4), 2.0)):
        q = q + 1e-300  # where both densities are 0 in float64, any D is optimal
        logits = optimal_logits(loss, p, q)
        assert 2 * (generator_value(loss, logits, p) + generator_value(loss, logits, q)) == pytest.approx(
            expected, abs=1e-6
        )


def test_zero_one_coding_is_no_pearson_divergence():
    p, q = PAIRS[1]
    loss = LeastSquares()
    logits = optimal_logits(loss, p, q)
    twice = 2 * (generator_value(loss, logits, p) + generator_value(loss, logits, q))
    assert abs(twice - integral((q - p) ** 2 / (p + q))) > 0.1


# --- hinge, Wasserstein, softmax --------------------------------------------------------------------------------


@pytest.mark.parametrize("pair", range(len(PAIRS)))
def test_the_optimal_hinge_discriminator_is_the_sign_and_its_value_the_total_variation(pair):
    """The values are convex and bend at -1 and 1 alone, so one of many logits is best: 1 where p > q, else -1.

    2 - 2 TV.
    """
    p, q = PAIRS[pair]
    loss = Hinge()
    candidates = torch.linspace(-3, 3, 25, dtype=torch.float64)
    # (25, N)
    table = torch.stack([discriminator_integrand(loss, torch.full_like(X, c.item()), p, q) for c in candidates])
    best, place = table.min(0)
    apart = (p - q).abs() > 1e-9 * (p + q)
    assert torch.equal(candidates[place][apart], (p - q).sign()[apart])
    total_variation = integral((p - q).abs()) / 2
    # the grid cuts off 2e-8 of the widest density
    assert integral(best) == pytest.approx(2 - 2 * total_variation, abs=1e-7)


def test_the_best_critic_of_slope_1_finds_the_wasserstein_distance():
    """The critic is the sum of its slopes, and its loss linear in them: each is best at -1 or 1, against its gradient.

    Between normals of mean 0 the distance is |sd - sd'| sqrt(2 / pi): here (2 - 1) * 0.798.
    """
    p, q = normal(0, 1), normal(0, 2)
    loss, step = Wasserstein(), (X[1] - X[0]).item()

    def critic(slopes):
        return torch.cat([slopes.new_zeros(1), slopes.cumsum(0) * step])

    slopes = torch.zeros(len(X) - 1, dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(torch.trapezoid(discriminator_integrand(loss, critic(slopes), p, q), X), slopes)
    best = critic(-grad.sign())
    assert -integral(discriminator_integrand(loss, best, p, q)) == pytest.approx(math.sqrt(2 / math.pi), rel=1e-3)
    # the generator's value, up to the critic's mean on real samples, is the same distance
    assert generator_value(loss, best, q) - generator_value(loss, best, p) == pytest.approx(
        math.sqrt(2 / math.pi), rel=1e-3
    )


def test_the_optimal_softmax_logit_is_the_log_of_the_share_of_real_samples():
    """A batch of copies of two samples: one real 3 times and fake once, the other real once and fake 3 times.

    Copies share a logit. The best softmax gives the four copies of the first 3/4 of the weight in all, those of the
    second 1/4, so that the logits differ by log 3: the logs of the shares of real samples, 3/4 and 1/4, up to a
    constant.
    """
    logits = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=100, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def value():
        real = Stream(X[:4, None], "real", output=DiscriminatorOutput(logits[[0, 0, 0, 1]]))
        fake = Stream(X[:4, None], "fake", output=DiscriminatorOutput(logits[[0, 1, 1, 1]]))
        round = Round(GAME, "discriminator", [real, fake])
        return sum(values.mean() for values in Softmax().discriminator(round).values())

    def closure():
        optimizer.zero_grad()
        found = value()
        found.backward()
        return found

    optimizer.step(closure)
    assert (logits[0] - logits[1]).item() == pytest.approx(math.log(3), abs=1e-6)
    # each copy of the first has the weight 3/16, each of the second 1/16
    assert value().item() == pytest.approx(-0.75 * math.log(3 / 16) - 0.25 * math.log(1 / 16), abs=1e-9)

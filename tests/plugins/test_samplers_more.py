"""Spherical, truncated normal and mixed latents, and the trick that truncates normal ones when sampling."""

import math
from types import SimpleNamespace

import pytest
import torch

import ganrun
from ganrun.engine.turn import Turn
from ganrun.randomness import Draws, truncated_normal
from ganrun.schedule import Clock
from ganrun.training.build import RefusedError
from ganrun.words.game import Phase
from ganrun.words.spaces import Space
from ganrun_plugins.samplers.mixture import Mixture
from ganrun_plugins.samplers.normal import Normal
from ganrun_plugins.samplers.spherical import Spherical
from ganrun_plugins.samplers.truncated_normal import TruncatedNormal
from ganrun_plugins.tricks.truncation import Truncation

LATENT = Space("latent", (50,))
SAMPLERS = [Spherical(), TruncatedNormal(), Mixture()]


def draw(sampler, n: int = 2000, space: Space = LATENT, key: str = "key"):
    return sampler.sample(Draws((key,)), "z", n, space)


def variance(limit: float) -> float:
    """Of a standard normal number given that it lies in [-a, a]: 1 - 2 a phi(a) / (2 Phi(a) - 1)."""
    density = math.exp(-(limit**2) / 2) / math.sqrt(2 * math.pi)
    return 1 - 2 * limit * density / math.erf(limit / math.sqrt(2))


# --- all of them ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_two_processes_draw_what_one_draws(sampler):
    halves = [sampler.sample(Draws(("key",), part, 2), "z", 4, LATENT) for part in (0, 1)]
    assert torch.equal(torch.cat(halves), draw(sampler, 8))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_latents_have_the_type_of_the_run(sampler):
    assert draw(sampler, 4).dtype == torch.float32
    torch.set_default_dtype(torch.float64)
    try:
        assert draw(sampler, 4).dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


# --- spherical ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(50,), (2, 3), (1,)])
def test_spherical_latents_have_length_sqrt_d(shape):
    z = draw(Spherical(), space=Space("latent", shape))
    assert torch.allclose(z.flatten(1).norm(dim=1), torch.tensor(math.sqrt(math.prod(shape))))


def test_spherical_latents_have_no_preferred_direction():
    """Around 0, and with radius sqrt(D) the covariance is the identity."""
    z = draw(Spherical(), 40_000, Space("latent", (4,)))
    assert torch.allclose(z.mean(0), torch.zeros(4), atol=0.03)
    assert torch.allclose(z.T @ z / len(z), torch.eye(4), atol=0.03)
    # On a sphere of D dimensions E z^4 = 3 D / (D + 2) = 2 for unit variance; a normalised uniform cube would give
    # less.
    assert torch.allclose(z.pow(4).mean(0), torch.full((4,), 2.0), atol=0.06)


def test_the_radius_can_be_given():
    assert torch.allclose(draw(Spherical(radius=3.0), 10).norm(dim=1), torch.tensor(3.0))


def test_points_between_two_spherical_latents_stay_on_the_sphere(tiny, tmp_path, monkeypatch):
    """Latents of 4 coordinates have length 2."""
    recipe = tiny(sampler="spherical", observers=["checkpoints"], train={"steps": 1})
    run = ganrun.load(ganrun.run(recipe, output=tmp_path / "run").folder)
    seen = []
    monkeypatch.setattr(run, "from_latents", lambda latents, seed: seen.append(latents["z"]))
    run.interpolate(3, 5)
    assert torch.allclose(seen[0].norm(dim=1), torch.full((15,), 2.0))


# --- truncated normal -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [0.04, 1.0, 2.0, 1e9])
def test_the_map_inverts_the_distribution_function(limit):
    """(Phi(z) - Phi(-a)) / (Phi(a) - Phi(-a)) is u again."""
    u = torch.linspace(0, 1, 1001, dtype=torch.float64)[:-1]
    z = truncated_normal(u, limit)
    total = math.erf(limit / math.sqrt(2))
    assert torch.allclose((torch.erf(z / math.sqrt(2)) / total + 1) / 2, u, atol=1e-12)
    assert z.abs().max() <= limit


def test_the_smallest_and_the_largest_uniform_number_give_opposite_finite_latents():
    u = torch.tensor([0.0, 1 - 2**-24])
    z = truncated_normal(u, 1e9)
    assert z[0].item() == pytest.approx(-5.42, abs=0.01)  # Phi^-1(2^-25)
    assert z[1] == -z[0]


@pytest.mark.parametrize("limit", [1.0, 2.0])
def test_truncated_latents_have_the_moments_of_the_truncated_normal(limit):
    """The variance is 0.2911 for a limit of 1 and 0.7737 for 2."""
    assert variance(1.0) == pytest.approx(0.29113, abs=1e-5)
    assert variance(2.0) == pytest.approx(0.77374, abs=1e-5)
    z = draw(TruncatedNormal(limit=limit), 10_000)
    assert z.abs().max() <= limit
    assert z.abs().max() > 0.999 * limit
    assert z.mean().item() == pytest.approx(0, abs=0.005)
    assert z.var().item() == pytest.approx(variance(limit), abs=0.004)


# --- mixture --------------------------------------------------------------------------------------------------


def test_without_noise_the_latents_are_the_centres_equally_often():
    """Each of 5 centres is chosen 2000 +- 40 times (one standard deviation, sqrt(10000 * 0.2 * 0.8)) of 10,000."""
    sampler = Mixture(components=5, sd=0.0, spread=3.0)
    z = draw(sampler, 10_000)
    found, counts = z.unique(dim=0, return_counts=True)
    want = sampler.centres(LATENT).float()
    assert found.shape == (5, 50)
    assert torch.equal(found, want.unique(dim=0))
    assert (counts - 2000).abs().max() < 200
    assert want.abs().max() <= 3
    assert want.abs().max() > 2.9


def test_latents_lie_around_their_centres_with_the_given_sd():
    sampler = Mixture(components=5, sd=0.1, spread=2.0)
    z = draw(sampler, 4000)
    offsets = z[:, None] - sampler.centres(LATENT).float()  # (4000, 5, 50)
    nearest = offsets.norm(dim=2).argmin(1)
    own = offsets[torch.arange(4000), nearest]
    assert own.mean().item() == pytest.approx(0, abs=0.002)
    assert own.std().item() == pytest.approx(0.1, rel=0.01)
    assert len(nearest.unique()) == 5


def test_the_centres_are_a_function_of_the_parameters_alone():
    """So nothing has to be stored, and what other tricks draw for other purposes, or float64 runs, is of the same
    mixture.
    """
    first = Mixture(sd=0.0, components=3)
    torch.randn(5)
    rows = {tuple(row) for row in draw(first, 100).tolist()}
    assert len(rows) == 3
    assert {
        tuple(row) for row in Mixture(sd=0.0, components=3).sample(Draws(("other", 7)), "style", 100, LATENT).tolist()
    } == rows
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(Mixture(components=3).centres(LATENT), first.centres(LATENT))
    finally:
        torch.set_default_dtype(torch.float32)
    assert not torch.equal(Mixture(components=3, seed=1).centres(LATENT), first.centres(LATENT))


def test_noise_and_choice_are_drawn_apart():
    """With the noise taken away, each row is a centre again."""
    noise = Draws(("key",)).normal("z", 20, 50)
    sampler = Mixture(components=4, sd=0.5)
    plain = draw(Mixture(components=4, sd=0.0), 20)
    assert torch.allclose(draw(sampler, 20), plain + 0.5 * noise)


# --- truncation -----------------------------------------------------------------------------------------------


def truncated(
    trick: Truncation, sampler=None, *, player: str = "", n: int = 1000, part: int = 0, parts: int = 1, times: int = 1
):
    """The latents of a turn before and after the trick."""
    engine = SimpleNamespace(clock=Clock(total=100, batch=4, dataset=100), sampler=sampler or Normal())
    turn = Turn(engine, Phase("phase", player), step=100, draws=Draws(("key",), part, parts), modules={}, batch_size=n)
    before = turn.draw_latent("z", LATENT)
    turn.latents["code"] = torch.full((n, 2), 5.0)
    turn.latents["label"] = torch.arange(n)
    for _ in range(times):
        trick.sample(turn)
    assert torch.equal(turn.latents["code"], torch.full((n, 2), 5.0)), "only what the sampler drew is truncated"
    assert torch.equal(turn.latents["label"], torch.arange(n))
    return before, turn.latents["z"]


@pytest.mark.parametrize("limit", [0.5, 1.0, 2.0])
def test_what_exceeds_is_drawn_again_and_what_fits_is_kept(limit):
    before, after = truncated(Truncation(limit=limit), n=10_000)
    fits = before.abs() <= limit
    assert torch.equal(after[fits], before[fits])
    assert after.abs().max() <= limit
    assert after.mean().item() == pytest.approx(0, abs=0.005)
    assert after.var().item() == pytest.approx(variance(limit), abs=0.004)
    again = after[~fits]  # these, too, are truncated normal: not clamped, not uniform
    assert again.var().item() == pytest.approx(variance(limit), abs=0.02)
    assert again.unique().numel() > 0.9 * again.numel()


def test_truncated_normal_latents_can_be_truncated_further():
    _, after = truncated(Truncation(limit=1.0), TruncatedNormal(limit=2.0), n=10_000)
    assert after.var().item() == pytest.approx(variance(1.0), abs=0.004)


def test_at_its_neutral_value_latents_are_what_they_were_and_no_other_draw_moves():
    before, after = truncated(Truncation(limit=Truncation.neutral))
    assert torch.equal(before, after)


def test_training_never_sees_it():
    before, after = truncated(Truncation(limit=0.1), player="generator")
    assert torch.equal(before, after)


def test_the_scale_multiplies_what_was_truncated():
    _, plain = truncated(Truncation(limit=2.0))
    _, scaled = truncated(Truncation(limit=2.0, scale=0.4))
    assert torch.equal(scaled, plain * 0.4)


def test_two_processes_truncate_as_one():
    halves = [truncated(Truncation(limit=0.5), n=4, part=part, parts=2)[1] for part in (0, 1)]
    assert torch.equal(torch.cat(halves), truncated(Truncation(limit=0.5), n=8)[1])


def test_a_second_truncation_changes_nothing_more():
    assert torch.equal(truncated(Truncation(limit=0.5), times=2)[1], truncated(Truncation(limit=0.5))[1])


def test_a_run_trains_as_without_it_and_samples_within_the_limit(make_run, tiny):
    def trained(tricks):
        run = make_run(tiny(tricks=tricks))
        for step in range(3):
            run.engine.step(step)
        return run

    plain, with_it, neutral = (
        trained([]),
        trained([{"truncation": {"limit": 0.3}}]),
        trained([{"truncation": {"limit": 1e9}}]),
    )
    for name, module in plain.engine.modules.items():
        for key, tensor in module.state_dict().items():
            assert torch.equal(tensor, with_it.engine.modules[name].state_dict()[key])
    before, after = plain.sample_maker.turn(300), with_it.sample_maker.turn(300)
    assert after.latents["z"].abs().max() <= 0.3
    fits = before.latents["z"].abs() <= 0.3
    assert torch.equal(after.latents["z"][fits], before.latents["z"][fits])
    assert after.made["x"].std() < before.made["x"].std(), "less diverse"
    assert torch.equal(neutral.sample_maker.turn(300).made["x"], before.made["x"])
    some = with_it.sample_maker.turn(300)
    with_it.sample_maker.chunk = 7
    assert torch.allclose(with_it.sample_maker.turn(300).made["x"], some.made["x"], atol=1e-6)


@pytest.mark.parametrize("sampler", [Spherical(), Mixture(spread=4.0), None])
def test_why_other_latents_are_refused(sampler):
    """Drawn again from a normal distribution, they leave the sphere, or the clusters, that the generator was trained
    on.
    """
    if sampler is None:  # normal ones, for comparison: they stay within what they were trained on
        _, after = truncated(Truncation(limit=1.0))
        assert after.abs().max() <= 1
        return
    before, after = truncated(Truncation(limit=1.0), sampler)
    if isinstance(sampler, Spherical):
        assert (after.norm(dim=1) < 0.8 * before.norm(dim=1)).all()
    else:
        centres = sampler.centres(LATENT).float()
        assert torch.cdist(before, centres).min(1).values.max() < 3  # sd * sqrt(50) = 1.4
        assert torch.cdist(after, centres).min(1).values.min() > 5


@pytest.mark.parametrize("sampler", ["spherical", "mixture", "uniform"])
def test_truncation_refuses_other_latents_with_a_way_out(make_run, tiny, sampler):
    with pytest.raises(RefusedError, match=r"truncation: .*not normal[\s\S]*sampler: normal"):
        make_run(tiny(tricks=["truncation"], sampler=sampler))


def test_truncation_takes_normal_latents_of_both_kinds(make_run, tiny):
    for sampler in ("normal", "truncated-normal"):
        make_run(tiny(tricks=["truncation"], sampler=sampler))


def test_truncation_refuses_a_variant_without_latents(make_run, small_cyclegan):
    with pytest.raises(RefusedError, match="not made from latents"):
        make_run(small_cyclegan(tricks=["truncation"]))

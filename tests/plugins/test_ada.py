"""ADA: how p follows the discriminator's scores, and what of a call is augmented."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from ganrun.engine.turn import Turn
from ganrun.randomness import Draws
from ganrun.schedule import Clock, Scheduled
from ganrun.training.build import RefusedError
from ganrun.words.game import Call, DiscriminatorOutput, Game, Phase, Round, Stream
from ganrun_plugins.tricks._ada_pipeline import draw, placed, recoloured
from ganrun_plugins.tricks.ada import ADA, signs_of

PHASE = Phase("discriminator", "discriminator")
GAME = Game("adversarial", "discriminator", "discriminator", ["generator"])


def make_turn(
    *, provides=frozenset({"logit:signed"}), step=0, rows=8, part=0, parts=1, phase=None, others=None
) -> Turn:
    """A turn of the discriminator; ``others`` are the sums of the other processes."""
    loss = SimpleNamespace(provides=provides)
    mean = (lambda tensor: torch.stack([tensor, *others]).mean(0)) if others else (lambda tensor: tensor)
    experiment = SimpleNamespace(games=[GAME], loss=lambda game: loss)
    engine = SimpleNamespace(clock=Clock(100, rows * parts, 1000), experiment=experiment, mean_over_processes=mean)
    phase = phase or PHASE
    return Turn(engine, phase, step=step, draws=Draws(("test", step), part, parts), modules={}, batch_size=rows)


def made(**parameters) -> ADA:
    trick = ADA(**parameters)
    device = torch.device("cpu")
    trick.build(SimpleNamespace(games=[GAME], phases=[PHASE], processes=SimpleNamespace(device=device)))
    return trick


def scored(side: str, real, fake=(0.0,)) -> Round:
    streams = [
        Stream(torch.zeros(len(logits), 1), role, output=DiscriminatorOutput(torch.as_tensor(logits)))
        for role, logits in (("real", real), ("fake", fake))
    ]
    return Round(GAME, side, streams)


def after(trick: ADA, turns: int, real, fake=(0.0,), side="discriminator", first=0, **settings) -> list[float]:
    """p after each of some turns with these logits."""
    found = []
    for step in range(first, first + turns):
        turn = make_turn(step=step, **settings)
        turn.rounds = [scored(side, real, fake)]
        trick.losses(turn)
        trick.updated(turn)
        found.append(trick.p["adversarial"].item())
    return found


def test_p_rises_every_fourth_turn_while_the_discriminator_is_sure():
    """8 samples a turn, 4 turns, 1000 images from 0 to 1: 0.032 each time. All signs are 1, above the target of 0.6."""
    assert after(made(kimg=1.0), 12, [2.0] * 8) == pytest.approx([0] * 3 + [0.032] * 4 + [0.064] * 4 + [0.096])


@pytest.mark.parametrize(
    ("phase", "turns"),
    [
        (Phase("discriminator", "discriminator", repeats=5), [(step, n) for step in range(4) for n in range(5)]),
        (Phase("discriminator", "discriminator", when=lambda step: step % 3 == 0), [(3 * n, 0) for n in range(20)]),
    ],
    ids=["five updates", "every third step"],
)
def test_p_needs_its_images_whatever_the_turns_of_a_step(phase, turns):
    """20 turns are 4 steps of 8 images, or 58 steps from the first to the last: p is their images / 1000."""
    trick = made(kimg=1.0)
    trick.phases = [phase]
    for step, repeat in turns:
        turn = make_turn(step=step, phase=phase)
        turn.repeat, turn.rounds = repeat, [scored("discriminator", [2.0] * 8)]
        trick.losses(turn)
        trick.updated(turn)
    assert trick.p["adversarial"].item() == pytest.approx((turns[-1][0] + 1) * 8 / 1000)


def test_p_does_not_jump_when_the_discriminator_begins_late():
    """After 1,000 steps without it, its first four turns are 32 images."""
    trick = made(kimg=1.0)
    for step in range(1000, 1004):
        turn = make_turn(step=step)
        turn.rounds = [scored("discriminator", [2.0] * 8)]
        trick.losses(turn)
        trick.updated(turn)
    assert trick.p["adversarial"].item() == pytest.approx(0.032)


@pytest.mark.parametrize(("settings", "limit"), [({}, 0.8), ({"start": 0.9}, 0.9), ({"start": 0.9, "limit": 0.5}, 0.5)])
def test_the_default_limit_does_not_cut_the_start(settings, limit):
    trick = made(**{name: Scheduled(value) if name == "limit" else value for name, value in settings.items()})
    assert trick.limit == Scheduled(limit)
    assert trick.chance(make_turn(), "adversarial").item() == pytest.approx(min(settings.get("start", 0), limit))


def test_p_stays_between_0_and_the_limit():
    assert after(made(kimg=1.0, limit=0.05), 12, [2.0] * 8)[-1] == pytest.approx(0.05)
    assert after(made(kimg=1.0, start=0.05), 8, [-1.0] * 8)[3::4] == pytest.approx([0.018, 0.0])


@pytest.mark.parametrize(("unsure", "change"), [(1, 0.032), (2, -0.032)])
def test_p_follows_the_mean_sign_and_not_the_mean_score(unsure, change):
    """Of 8 real samples 1 below 0 gives r = 0.75, above the target of 0.6; 2 give r = 0.5, below it, however high the
    others are.
    """
    logits = [-0.1] * unsure + [50.0] * (8 - unsure)
    assert after(made(kimg=1.0, start=0.5), 4, logits)[-1] == pytest.approx(0.5 + change)


def test_the_signs_of_all_turns_since_the_last_change_count():
    """Three turns of signs 1 and one of -1: r = 0.5, below the target."""
    trick = made(kimg=1.0, start=0.5)
    after(trick, 3, [1.0] * 8)
    assert after(trick, 1, [-1.0] * 8, first=3) == pytest.approx([0.468])
    assert after(trick, 4, [1.0] * 8, first=4)[-1] == pytest.approx(0.5), "they are forgotten after a change"


def test_images_of_all_processes_count_and_signs_are_averaged_over_them():
    """Two processes: 64 images in 4 turns, so 0.064; signs of 1 here and of -1 there are r = 0."""
    assert after(made(kimg=1.0), 4, [1.0] * 8, parts=2)[-1] == pytest.approx(0.064)
    there = [torch.tensor(-1.0)]
    assert after(made(kimg=1.0, start=0.5), 4, [1.0] * 8, parts=2, others=there)[-1] == pytest.approx(0.5 - 0.064)


def test_every_patch_has_a_sign():
    logits = torch.ones(8, 1, 2, 2)
    logits[:, :, 0] = -1
    assert after(made(kimg=1.0, start=0.5), 4, logits)[-1] == pytest.approx(0.468)


def test_a_loss_that_compares_has_signs_of_the_distance_from_the_mean_fake():
    """Scores of 5 and 7 on fakes have the mean 6, so 7 is real and 5 is fake, although both are above 0."""
    turn = make_turn(provides=frozenset({"logit:relative"}))
    assert signs_of(turn, scored("discriminator", [7.0, 5.0, 6.5, -1.0], [5.0, 7.0])).tolist() == [1, -1, 1, -1]
    assert signs_of(make_turn(), scored("discriminator", [7.0, 5.0, 6.5, -1.0], [5.0, 7.0])).tolist() == [1, 1, 1, -1]


def test_the_generators_turns_and_regularisation_phases_leave_p_alone():
    trick = made(kimg=1.0)
    assert after(trick, 8, [1.0] * 8, side="generator") == [0.0] * 8
    assert after(trick, 8, [1.0] * 8, phase=Phase("r1", "discriminator", terms=lambda turn: {})) == [0.0] * 8
    assert trick.turns["adversarial"] == 0


def test_without_a_target_p_is_the_limit():
    trick = made(target=None, limit=Scheduled({"linear": [0.0, 0.4]}), kimg=0.001)
    after(trick, 8, [1.0] * 8)
    assert [trick.chance(make_turn(step=step), "adversarial").item() for step in (0, 50, 100)] == pytest.approx(
        [0.0, 0.2, 0.4]
    )
    assert trick.needs.keys() == {"space:image"}


def test_p_continues_from_its_state():
    trick, twin = made(kimg=1.0), made(kimg=1.0)
    after(trick, 6, [1.0] * 8)
    twin.load_state_dict(trick.state_dict())
    assert after(twin, 6, [1.0, -1.0] * 4) == after(trick, 6, [1.0, -1.0] * 4)
    assert not any(twin.sums[game].data_ptr() == trick.sums[game].data_ptr() for game in twin.sums)


# --- what is augmented ---------------------------------------------------------------------------------------------


def augmented(trick: ADA, x: torch.Tensor, given=(), **settings) -> Call:
    call = Call(scored("discriminator", [0.0]), x, "real", given)
    trick.augment(make_turn(**settings), call)
    return call


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_at_p_0_every_bit_stays_also_of_the_gradient(dtype):
    x = torch.randn(8, 3, 8, 8).to(dtype).requires_grad_()
    y = augmented(made(start=1.0, limit=0.0), x).x
    assert y.dtype == dtype
    assert torch.equal(y, x)
    weight = torch.randn_like(x)
    (grad,) = torch.autograd.grad((y * weight).sum(), x)
    assert torch.equal(grad, weight)


def test_p_0_draws_what_any_p_draws():
    counts = []
    for limit in (0.0, 0.8):
        turn = make_turn()
        made(start=0.8, limit=limit).augment(
            turn, Call(scored("discriminator", [0.0]), torch.randn(4, 1, 8, 8), "real")
        )
        counts.append(dict(turn.draws._counts))
    assert counts[0] == counts[1] != {}


def test_mixed_precision_does_not_reach_the_coordinates():
    x = torch.randn(16, 3, 32, 32)
    plain = augmented(made(start=0.8), x).x
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = augmented(made(start=0.8), x).x
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, plain)


def test_given_images_get_the_samples_geometry_and_keep_their_colours():
    x, labels = torch.randn(32, 3, 8, 8), torch.arange(32)
    trick = made(start=0.8)
    call = augmented(trick, x, (labels, x.clone()))
    drawn = draw(make_turn().draws, 32, torch.tensor(0.8), torch.float32)
    assert torch.equal(call.given[1], placed(x, drawn, (8, 8)))
    assert torch.equal(call.x, recoloured(call.given[1], drawn))
    assert call.given[0] is labels


def test_cutout_covers_the_sample_and_not_what_is_given_with_it():
    """At p = 1 and a share of 1 every sample has a box, and nothing else is done to it."""
    alone = {"flip", "quarters", "shift", "scale", "turn", "stretch", "drift"}
    alone |= {"brightness", "contrast", "luma", "hue", "saturation"}
    trick = made(start=1.0, shares=dict.fromkeys(alone, 0.0) | {"cutout": 1.0})
    x = torch.rand(32, 3, 8, 8) + 1
    call = augmented(trick, x, (x.clone(),))
    assert torch.equal(call.given[0], x)
    gone = call.x == 0
    assert gone.flatten(1).any(1).all()
    assert torch.equal(call.x[~gone], x[~gone])


def test_another_games_points_are_left_alone():
    call = Call(
        replace(scored("discriminator", [0.0]), game=replace(GAME, name="latents", space="latent")),
        torch.randn(4, 2),
        "real",
    )
    x = call.x
    made(start=0.8).augment(make_turn(), call)
    assert call.x is x


def test_every_discriminator_has_a_p_of_its_own(small_cyclegan, make_run):
    run = make_run(small_cyclegan(tricks=[{"ada": {"kimg": 0.1, "start": 0.5, "interval": 1}}]))
    (trick,) = [part for part in run.experiment.tricks if isinstance(part, ADA)]
    assert trick.p.keys() == {game.name for game in run.experiment.games}
    for step in range(2):
        run.engine.step(step)
    for p in trick.p.values():
        # two changes of 2 images of 100
        assert abs(p.item() - 0.5) == pytest.approx(0.04) or p.item() == pytest.approx(0.5)


def test_a_loss_whose_scores_have_no_meaning_is_refused_unless_p_is_fixed(tiny, make_run):
    class Silent:
        provides = frozenset()
        real_in_generator = False

        def targets(self, role):
            return None

        def discriminator(self, round):
            return {s: s.logits * (-1 if s.role == "real" else 1) for s in round.streams}

        def generator(self, round):
            return {s: -s.logits for s in round.of("fake")}

    network = {"dcgan": {"width": 4, "norm": "none"}}
    images = {
        "variant": {"dcgan": {"latent": 4}},
        "dataset": {"digits": {"size": 8}},
        "generator": network,
        "discriminator": network,
    }
    with pytest.raises(RefusedError, match="how sure the discriminator is"):
        make_run(tiny(**images, loss="silent", tricks=["ada"]), {"loss.silent": Silent})
    make_run(tiny(**images, loss="silent", tricks=[{"ada": {"target": None}}]), {"loss.silent": Silent}).engine.step(0)

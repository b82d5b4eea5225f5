"""BEGAN, EBGAN and MAGAN's losses by hand: margins, k step by step, schedules, small runs, resuming."""

from types import SimpleNamespace

import pytest
import torch
from energies import GAME, SMALL, make_round, values

from ganrun.engine.turn import Turn
from ganrun.preflight.stages import STAGES
from ganrun.randomness import Draws
from ganrun.schedule import Clock, Duration, Scheduled
from ganrun.testing import Plugin
from ganrun.testing.runs import assert_resumes, weights, written_and_read
from ganrun.words.game import Game, Phase
from ganrun_plugins.losses.began import BEGAN
from ganrun_plugins.losses.ebgan import EBGAN
from ganrun_plugins.losses.magan import MAGAN, adapted

OTHER = Game("other", "discriminator_2", "discriminator", ["generator"])


def make_turn(
    step: int = 0, player: str = "discriminator", rounds=(), *, batch: int = 4, dataset: int = 8, games=(GAME,)
) -> Turn:
    """A turn of a run of 100 steps; an epoch is two of them."""
    clock, experiment = Clock(total=100, batch=batch, dataset=dataset), SimpleNamespace(games=list(games))
    engine = SimpleNamespace(clock=clock, experiment=experiment, mean_over_processes=lambda tensor: tensor.detach())
    turn = Turn(
        engine, Phase(player, player), step=step, draws=Draws(("test", step, player)), modules={}, batch_size=batch
    )
    turn.rounds = list(rounds)
    return turn


def of(loss, turn: Turn) -> Turn:
    """A turn of a run in which all games are played with a loss."""
    turn._engine.experiment.loss = lambda game: loss
    return turn


# --- ebgan ----------------------------------------------------------------------------------------------------


def test_ebgan_by_hand():
    """m = 1: real samples cost 0.25 and 1.5, fakes 1 - 0.25 and nothing; the generator pays the energies."""
    loss = EBGAN(margin=Scheduled(1.0))
    assert values(loss, "discriminator", [0.25, 1.5], [0.25, 1.5]) == {"real": [0.25, 1.5], "fake": [0.75, 0.0]}
    assert values(loss, "generator", None, [0.25, 1.5]) == {"fake": [0.25, 1.5]}


def test_the_hinge_is_of_each_fake_and_not_of_the_mean():
    """Energies 0 and 2, m = 1: the hinges are 1 and 0, of mean 0.5; that of the mean energy 1 would be 0."""
    assert values(EBGAN(), "discriminator", [0.0], [0.0, 2.0])["fake"] == [1.0, 0.0]


def test_the_margin_can_be_scheduled():
    loss, clock = EBGAN(margin=Scheduled({"linear": [3.0, 1.0]})), Clock(100, 4, 8)
    round = make_round("discriminator", [0.0], [0.5])
    round.now = lambda value: value.at(50, clock)
    assert loss.discriminator(round)[round.fake].tolist() == [1.5]  # the margin is 2 half-way


# --- began ----------------------------------------------------------------------------------------------------


def play_began(loss: BEGAN, *energies: tuple[float, float], step: int = 0, game: Game = GAME) -> float:
    """One turn of the discriminator, with mean errors of real samples and fakes for each micro-batch.

    Returns k after it.
    """
    for real, fake in energies:
        turn = make_turn(step, rounds=[make_round("discriminator", [real] * 2, [fake] * 2, game)])
        loss.losses(of(loss, turn))
    loss.updated(of(loss, turn))
    return float(loss.k[game.name])


def test_began_by_hand():
    """k = 0.25: fakes count -k times on the discriminator's side."""
    loss = BEGAN(k=0.25)
    assert values(loss, "discriminator", [0.5, 1.0], [2.0, 4.0]) == {"real": [0.5, 1.0], "fake": [-0.5, -1.0]}
    assert values(loss, "generator", None, [2.0, 4.0]) == {"fake": [2.0, 4.0]}


def test_k_on_constant_energies_step_by_step():
    """L(x) = 0.8, L(G) = 0.2, gamma = 0.5, lambda = 0.1: k grows by 0.1 * (0.4 - 0.2) = 0.02 a turn."""
    loss = BEGAN(lambda_k=Scheduled(0.1))
    assert [play_began(loss, (0.8, 0.2)) for _ in range(4)] == pytest.approx([0.02, 0.04, 0.06, 0.08])


def test_k_falls_when_fakes_are_too_bad_and_stops_at_0_and_1():
    """lambda = 2, k = 0.5: by 2 * (0.4 - 0.5) = -0.2 to 0.3, 0.1 and 0; then by 2 * (0.4 - 0.1) = 0.6 to 0.6 and 1."""
    loss = BEGAN(lambda_k=Scheduled(2.0), k=0.5)
    assert [play_began(loss, (0.8, 0.5)) for _ in range(4)] == pytest.approx([0.3, 0.1, 0.0, 0.0])
    assert [play_began(loss, (0.8, 0.1)) for _ in range(3)] == pytest.approx([0.6, 1.0, 1.0])


def test_k_rests_where_the_errors_are_in_proportion():
    assert play_began(BEGAN(gamma=Scheduled(0.5), lambda_k=Scheduled(1.0), k=0.3), (0.8, 0.4)) == pytest.approx(0.3)


def test_gamma_and_lambda_follow_their_schedules():
    """At step 50 gamma is 0.6 and lambda 1: k = 1 * (0.6 * 1 - 0.2)."""
    loss = BEGAN(gamma=Scheduled({"linear": [0.2, 1.0]}), lambda_k=Scheduled({"linear": [0.0, 2.0]}))
    assert play_began(loss, (1.0, 0.2), step=50) == pytest.approx(0.4)


def test_the_measure_of_convergence():
    """M = 0.8 + |0.4 - 0.5|, beside the k that this turn was played with."""
    turn = make_turn(0, rounds=[make_round("discriminator", [0.8] * 2, [0.5] * 2)])
    loss = BEGAN(k=0.25)
    loss.losses(of(loss, turn))
    loss.updated(of(loss, turn))
    assert {name: float(value) for name, value in turn.notes.items()} == pytest.approx(
        {"adversarial.k": 0.25, "adversarial.convergence": 0.9}
    )


def test_the_measure_of_convergence_is_that_of_all_micro_batches_and_processes():
    """Errors (1, 0.2) here and (0.7, 0.5) elsewhere are (0.85, 0.35) on average: M = 0.85 + |0.425 - 0.35| = 0.925.

    The mean of both M, 1 + |0.5 - 0.2| and 0.7 + |0.35 - 0.5|, would be 1.075.
    """
    loss, elsewhere = BEGAN(), torch.tensor([0.7, 0.5])
    turn = of(loss, make_turn(0, rounds=[make_round("discriminator", [1.0], [0.2])]))
    turn._engine.mean_over_processes = lambda errors: (errors + elsewhere) / 2
    loss.losses(turn)
    loss.updated(turn)
    assert turn.notes["adversarial.convergence"].item() == pytest.approx(0.925)
    loss = BEGAN()
    for errors in (([1.0], [0.2]), ([0.7], [0.5])):
        turn = of(loss, make_turn(0, rounds=[make_round("discriminator", *errors)]))
        loss.losses(turn)
    loss.updated(turn)
    assert turn.notes["adversarial.convergence"].item() == pytest.approx(0.925)


def test_k_moves_once_a_turn_by_the_mean_of_its_micro_batches():
    """Errors (0.6, 0.1) and (1.0, 0.3) are (0.8, 0.2) on average."""
    loss = BEGAN(lambda_k=Scheduled(0.1))
    assert play_began(loss, (0.6, 0.1), (1.0, 0.3)) == pytest.approx(0.02)
    assert play_began(loss, (0.8, 0.2)) == pytest.approx(0.04)  # nothing is left of the former turn


def test_each_game_has_a_k_of_its_own():
    loss = BEGAN(lambda_k=Scheduled(0.1))
    play_began(loss, (0.8, 0.2))
    assert play_began(loss, (0.8, 0.3), game=OTHER) == pytest.approx(0.01)
    assert float(loss.k["adversarial"]) == pytest.approx(0.02)
    round = make_round("discriminator", [1.0], [1.0], OTHER)
    assert loss.discriminator(round)[round.fake].item() == pytest.approx(-0.01)


def test_turns_of_the_generator_and_regularisation_phases_leave_k_alone():
    loss = BEGAN(k=0.5)
    generator = make_turn(player="generator", rounds=[make_round("generator", None, [0.1])])
    loss.losses(of(loss, generator))
    loss.updated(of(loss, generator))
    loss.updated(of(loss, make_turn(rounds=[make_round("discriminator", [1.0])])))  # without the event before it
    assert loss.k == {}


def test_in_one_move_k_waits_for_the_discriminators_update():
    """Both turns are taken before either player is updated; the generator's comes first."""
    loss = BEGAN(lambda_k=Scheduled(0.1))
    discriminator = make_turn(rounds=[make_round("discriminator", [0.8], [0.2])])
    generator = make_turn(player="generator", rounds=[make_round("generator", None, [0.2])])
    for turn in (discriminator, generator):
        loss.losses(of(loss, turn))
    loss.updated(of(loss, generator))
    assert loss.k == {}
    loss.updated(of(loss, discriminator))
    assert float(loss.k["adversarial"]) == pytest.approx(0.02)


def began_terms(run, step: int, game: str = "adversarial") -> tuple[float, float]:
    """k before a step and L(x), L(G) in it, from the logged terms: the fakes' is -k L(G)."""
    k = float(run.experiment.loss(game).k.get(game, run.experiment.loss(game).start))
    run.engine.step(step)
    terms = run.engine.terms["discriminator"]
    return k, (terms[f"{game}.real"].item(), -terms[f"{game}.fake"].item() / k)


@pytest.mark.parametrize("train", [{}, {"accumulate": 2}])
def test_k_in_a_run_follows_the_errors_of_the_discriminators_turns(make_run, tiny, train):
    run = make_run(tiny(loss={"began": {"k": 0.4, "lambda_k": 0.3}}, discriminator=SMALL, train=train))
    for step in range(3):
        k, (real, fake) = began_terms(run, step)
        assert fake > 0
        expected = min(max(k + 0.3 * (0.5 * real - fake), 0), 1)
        assert float(run.experiment.loss("adversarial").k["adversarial"]) == pytest.approx(expected, abs=1e-6)
        assert expected != pytest.approx(k, abs=1e-4)


def test_cyclegan_has_two_ks(make_run, small_cyclegan):
    run = make_run(small_cyclegan(loss={"began": {"k": 0.4, "lambda_k": 0.3}}, discriminator=SMALL))
    run.engine.step(0)
    k = run.experiment.loss("a").k
    assert set(k) == {"a", "b"}
    assert k["a"] != k["b"]


def test_k_resumes():
    loss, twin = BEGAN(lambda_k=Scheduled(0.1)), BEGAN(lambda_k=Scheduled(0.1))
    play_began(loss, (0.8, 0.2))
    twin.load_state_dict(written_and_read(loss.state_dict()))
    assert play_began(twin, (0.8, 0.2)) == play_began(loss, (0.8, 0.2)) == pytest.approx(0.04)


# --- magan ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("margin", "real", "fake", "last", "expected"),
    [
        (0.5, 0.3, 0.7, 0.6, 0.3),  # real samples fit better, fakes are worse, and got no better
        (0.5, 0.3, 0.7, 0.7, 0.3),
        (0.5, 0.6, 0.7, 0.6, 0.5),  # it never grows
        (0.5, 0.3, 0.2, 0.1, 0.5),  # fakes are better than real samples
        (0.5, 0.3, 0.7, 0.8, 0.5),  # fakes still get better
    ],
)
def test_the_margin_becomes_the_real_energy_if_all_three_conditions_hold(margin, real, fake, last, expected):
    assert adapted(*(torch.tensor(value) for value in (margin, real, fake, last))).item() == pytest.approx(expected)


def play_magan(
    loss: MAGAN, step: int, real: float, fake: float, *, updates: int = 1, rest: float | None = None
) -> list[str]:
    """One step: the discriminator's turns, with ``rest`` as real energy in all but the first, then the generator's.

    Returns who played.
    """
    played = []
    for number in range(updates):
        turn = make_turn(
            step, rounds=[make_round("discriminator", [real if not number or rest is None else rest] * 2, [9.0] * 2)]
        )
        loss.phase_start(of(loss, turn))
        if not turn.skip:
            loss.losses(of(loss, turn))
            loss.updated(turn)
            played.append("discriminator")
    turn = make_turn(step, "generator", rounds=[make_round("generator", None, [fake] * 2)])
    loss.phase_start(of(loss, turn))
    if not turn.skip:
        loss.losses(of(loss, turn))
        loss.updated(turn)
        played.append("generator")
    return played


def test_magan_by_hand():
    """As ebgan, at the margin of now: 1 before any was measured."""
    loss = MAGAN()
    assert values(loss, "discriminator", [0.25, 1.5], [0.25, 1.5]) == {"real": [0.25, 1.5], "fake": [0.75, 0.0]}
    assert values(loss, "generator", None, [0.25, 1.5]) == {"fake": [0.25, 1.5]}


def test_the_discriminator_learns_alone_from_real_samples_for_two_epochs():
    loss = MAGAN()  # two epochs are four steps here
    for step in range(4):
        assert play_magan(loss, step, 0.5, 0.5) == ["discriminator"]
        assert values(loss, "discriminator", [0.25], [0.25]) == {"real": [0.25]}
    assert play_magan(loss, 4, 0.5, 0.5) == ["discriminator", "generator"]
    assert values(loss, "discriminator", [0.25], [0.25]) == {"real": [0.25], "fake": [0.25]}  # the margin is 0.5


#        energies of the epoch's two steps     margin afterwards
EPOCHS = [
    ((0.9, 9.0), (0.7, 9.0), 0.8),  # pretraining
    ((0.6, 9.0), (0.4, 9.0), 0.5),  # pretraining: the mean of its last epoch is the first margin
    ((0.4, 0.6), (0.4, 0.6), 0.5),  # no epoch before it
    ((0.2, 0.6), (0.4, 0.8), 0.3),  # 0.3 < 0.5, 0.3 < 0.7, 0.6 <= 0.7
    ((0.2, 0.5), (0.2, 0.5), 0.3),  # fakes got better: 0.7 > 0.5
    ((0.4, 0.5), (0.4, 0.5), 0.3),  # 0.4 > 0.3
    ((0.2, 0.1), (0.2, 0.1), 0.3),  # fakes are better than real samples
    ((0.1, 0.2), (0.1, 0.2), 0.1),
]


def margin_now(loss: MAGAN, step: int) -> float:
    """The margin at the start of a step."""
    loss.phase_start(of(loss, make_turn(step)))
    return float(loss.margin_of("adversarial"))


def test_the_margin_epoch_by_epoch():
    loss, found = MAGAN(), []
    for epoch, (first, second, _) in enumerate(EPOCHS):
        play_magan(loss, 2 * epoch, *first)
        play_magan(loss, 2 * epoch + 1, *second)
        found.append(margin_now(loss, 2 * epoch + 2))
    assert found == pytest.approx([margin for _, _, margin in EPOCHS])


@pytest.mark.parametrize("stop", range(1, 16))
def test_magan_resumes_at_any_step(stop):
    """Interrupted after any step, within an epoch or between two, it continues as if nothing had happened."""
    loss = MAGAN()
    energies = [energy for first, second, _ in EPOCHS for energy in (first, second)]
    for step, energy in enumerate(energies):
        if step == stop:
            state, loss = written_and_read(loss.state_dict()), MAGAN()
            loss.load_state_dict(state)
        play_magan(loss, step, *energy)
    assert margin_now(loss, len(energies)) == pytest.approx(0.1)


def test_more_updates_of_the_discriminator_do_not_weigh():
    """Three turns a step with 0.2, 0.5, 0.5: their mean is 0.4, less than the fakes' 0.45, though their sum of 1.2 is
    not.
    """
    loss = MAGAN(pretrain=Duration(0), margin=0.5)
    for step in range(4):
        play_magan(loss, step, 0.2, 0.45, updates=3, rest=0.5)
    assert margin_now(loss, 4) == pytest.approx(0.4)


def test_without_pretraining_the_margin_begins_where_it_is_set():
    loss = MAGAN(pretrain=Duration(0), margin=0.5)
    assert play_magan(loss, 0, 0.3, 0.6) == ["discriminator", "generator"]
    play_magan(loss, 1, 0.3, 0.6)
    assert margin_now(loss, 2) == 0.5
    for step in (2, 3):
        play_magan(loss, step, 0.3, 0.6)
    assert margin_now(loss, 4) == pytest.approx(0.3)


def test_epochs_need_not_be_whole_steps():
    """2.5 steps an epoch and 5 of pretraining: epochs begin at steps 0, 3, 5, 8, 10."""
    loss, found = MAGAN(), []
    for step in range(11):
        turn = make_turn(step, batch=4, dataset=10)
        loss.phase_start(of(loss, turn))
        found.append(loss.epoch)
    assert found == [-2, -2, -2, -1, -1, 0, 0, 0, 1, 1, 2]


def test_a_player_that_also_trains_a_discriminator_is_not_skipped():
    loss, games = MAGAN(), [GAME, Game("latent", "latent_discriminator", "encoder", ["discriminator"])]
    turn = make_turn(0, "discriminator", games=games)
    loss.phase_start(of(loss, turn))
    assert not turn.skip


def test_magan_in_a_run(make_run, tiny):
    """An epoch of 32 samples is 4 steps: the generator stands still for 8, and the margin is the mean real energy of
    steps 4 to 7.
    """
    run = make_run(tiny(loss="magan", discriminator=SMALL, dataset={"ring": {"count": 32}}))
    before, energies = weights(run), []
    for step in range(8):
        run.engine.step(step)
        assert set(run.engine.terms) == {"discriminator"}
        assert set(run.engine.terms["discriminator"]) == {"adversarial.real", "adversarial.margin"}
        energies.append(run.engine.terms["discriminator"]["adversarial.real"].item())
    same = {name for name, value in weights(run).items() if torch.equal(value, before[name])}
    assert same == {name for name in before if name.startswith("generator.")}
    run.engine.step(8)
    assert float(run.experiment.loss("adversarial").margin_of("adversarial")) == pytest.approx(sum(energies[4:]) / 4)
    assert set(run.engine.terms) == {"discriminator", "generator"}
    assert not any(torch.equal(value, before[name]) for name, value in weights(run).items())


def test_magan_pretrains_both_discriminators_of_cyclegan(make_run, small_cyclegan):
    run = make_run(small_cyclegan(loss={"magan": {"pretrain": 2}}, discriminator=SMALL))
    before = weights(run)
    for step in range(3):
        run.engine.step(step)
        moved = {name.split(".")[0] for name, value in weights(run).items() if not torch.equal(value, before[name])}
        assert moved == (
            {"discriminator_a", "discriminator_b"} | ({"generator_ab", "generator_ba"} if step == 2 else set())
        )
    assert run.experiment.loss("a").margin_of("a") != run.experiment.loss("b").margin_of("b")


@pytest.mark.parametrize(("before", "after"), [(3, 6), (6, 7), (8, 4)])
def test_a_run_resumes_across_the_epochs_of_magan(before, after):
    """Stopped in the pretraining, and after it within an epoch of 2 steps and between two."""
    plugin = Plugin("loss.magan")
    recipe = {**STAGES["points"], "dataset": {"ring": {"count": 16}}, "loss": "magan", "discriminator": SMALL}
    assert_resumes(plugin, recipe, before, after)

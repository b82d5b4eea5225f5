"""LeCam, mode-seeking and top-k: values worked out by hand, schedules, state, which turns they touch."""

import copy
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from ganrun.engine.turn import Turn
from ganrun.randomness import Draws
from ganrun.schedule import Clock, Scheduled
from ganrun.training.build import RefusedError
from ganrun.words.game import Call, DiscriminatorOutput, Game, Phase, Round, Stream
from ganrun.words.hooks import hookimpl
from ganrun_plugins.tricks.lecam import LeCam
from ganrun_plugins.tricks.mode_seeking import ModeSeeking, pair_distance
from ganrun_plugins.tricks.top_k import TopK, top

GAME = Game("adversarial", "discriminator", "discriminator", ["generator"], space="points")
OTHER = Game("other", "d2", "discriminator", ["generator"], space="points")


class Energy:
    """A loss whose logits are energies."""

    def score(self, round, logits):
        return -logits


def make_turn(step: int = 0, player: str = "discriminator", loss=None, shift: float = 0.0, **changes) -> Turn:
    """A turn on a clock of 10 steps an epoch, with an engine that adds ``shift`` to what is averaged over processes."""
    description = SimpleNamespace(outputs=("x",))
    engine = SimpleNamespace(
        clock=Clock(total=100, batch=4, dataset=40),
        mean_over_processes=lambda t: t.detach() + shift,
        experiment=SimpleNamespace(games=[GAME], description=description, loss=lambda game: loss),
    )
    phase = Phase(player, player, **changes)
    return Turn(engine, phase, step=step, draws=Draws(("test", step)), modules={}, batch_size=4)


def scored(side: str, real, fake, game: Game = GAME) -> Round:
    """A round whose streams have these logits."""
    streams = []
    for role, logits in (("real", real), ("fake", fake)):
        logits = torch.tensor(logits, requires_grad=True) if isinstance(logits, list) else logits
        streams.append(Stream(torch.zeros(len(logits), 2), role, output=DiscriminatorOutput(logits)))
    return Round(game, side, streams)


@pytest.fixture
def turns(make_run, tiny):
    """A function: train a GAN on points with some tricks; every turn is handed to ``see`` before its backward pass."""

    def train(tricks, see, steps=1, **changes):
        class Tap:
            strength = ""

            @hookimpl(trylast=True)
            def losses(self, turn):
                see(turn)

        run = make_run(tiny(tricks=[*tricks, "tap"], **changes), {"trick.tap": Tap})
        for step in range(steps):
            run.engine.step(step)

    return train


# --- lecam ----------------------------------------------------------------------------------------------------


def lecam_turn(trick: LeCam, step: int, *micros, loss=None, shift: float = 0.0):
    """Play a discriminator's turn of some micro-batches, each (real logits, fake logits).

    Returns the last term and round.
    """
    for real, fake in micros:
        turn = make_turn(step, loss=loss, shift=shift)
        turn.rounds = [scored("discriminator", real, fake)]
        trick.losses(turn)
    trick.updated(turn)
    return turn.terms["adversarial.lecam"], turn.rounds[0]


def means(trick: LeCam) -> list[float]:
    return trick.means["adversarial"].tolist()


def test_lecam_trajectory_by_hand():
    """decay 0.5 from step 2 on. Before: the means are those of the last turn, and the term has no weight."""
    trick = LeCam(weight=0.3, decay=0.5, start=2)
    term, _ = lecam_turn(trick, 0, ([2.0, 0.0], [-1.0, -1.0]))
    assert (term.weight, means(trick)) == (0.0, [1.0, -1.0])
    term, _ = lecam_turn(trick, 1, ([3.0, 3.0], [1.0, -1.0]))
    assert (term.weight, means(trick)) == (0.0, [3.0, 0.0])
    term, round = lecam_turn(trick, 2, ([5.0, -1.0], [4.0, 0.0]))
    # real above the mean of fakes: relu(5 - 0)^2 + relu(-1 - 0)^2 = 25; fakes below that of real samples: relu(3 - 4)^2
    # + relu(3 - 0)^2 = 9
    assert term.weight == 0.3
    assert term.value.item() == pytest.approx(25 / 2 + 9 / 2)
    grads = torch.autograd.grad(term.value, [round.real.logits, round.fake.logits])
    # 2 * 5 / 2, 2 * -3 / 2: no gradient through the means
    assert [grad.tolist() for grad in grads] == [[5.0, 0.0], [0.0, -3.0]]
    assert means(trick) == [2.5, 1.0]  # halfway from (3, 0) to (2, 2)
    lecam_turn(trick, 3, ([0.5], [0.0]))
    assert means(trick) == [1.5, 0.5]


def test_lecam_without_ramps_is_the_papers_square():
    trick = LeCam(decay=0.5, start=0, ramp=False)
    trick.load_state_dict({"adversarial": torch.tensor([3.0, 0.0])})
    term, _ = lecam_turn(trick, 0, ([5.0, -1.0], [4.0, 0.0]))
    assert term.value.item() == pytest.approx((25 + 1) / 2 + (1 + 9) / 2)


def test_lecam_micro_batches_see_one_mean_and_count_once():
    trick = LeCam(decay=0.5, start=0)
    trick.load_state_dict({"adversarial": torch.tensor([0.0, 0.0])})
    term, _ = lecam_turn(trick, 0, ([8.0], [0.0]), ([4.0], [2.0]))
    assert term.value.item() == 16.0  # (4 - 0)^2 + relu(0 - 2)^2: the first micro-batch has not moved the means
    assert means(trick) == [3.0, 0.5]  # halfway from 0 to (8 + 4) / 2 and (0 + 2) / 2


def test_lecam_averages_over_processes():
    trick = LeCam(start=0)
    lecam_turn(trick, 0, ([1.0], [0.0]), shift=10.0)
    assert means(trick) == [11.0, 10.0]


def test_lecam_reads_the_score_and_counts_every_patch():
    trick = LeCam(start=5)
    patches = torch.tensor([[[[-1.0, -3.0]]], [[[-5.0, -7.0]]]])
    lecam_turn(trick, 0, (patches, torch.tensor([2.0, 4.0])), loss=Energy())
    assert means(trick) == [4.0, -3.0]


def test_lecam_keeps_means_for_each_game_and_leaves_the_generators_turns_alone():
    trick = LeCam(start=0)
    turn = make_turn()
    turn.rounds = [scored("discriminator", [1.0], [0.0]), scored("discriminator", [5.0], [4.0], OTHER)]
    trick.losses(turn)
    trick.updated(turn)
    assert {name: mean.tolist() for name, mean in trick.means.items()} == {
        "adversarial": [1.0, 0.0],
        "other": [5.0, 4.0],
    }
    turn = make_turn(player="generator")
    turn.rounds = [scored("generator", [9.0], [9.0])]
    trick.losses(turn)
    trick.updated(turn)
    assert turn.terms == {}
    assert means(trick) == [1.0, 0.0]


def test_lecam_goes_on_from_its_state():
    trick, twin = LeCam(decay=0.9, start=1), LeCam(decay=0.9, start=1)
    for step in range(3):
        lecam_turn(trick, step, ([1.0 + step], [-2.0]))
    twin.load_state_dict(copy.deepcopy(trick.state_dict()))
    for step in range(3, 5):
        one, other = (lecam_turn(t, step, ([0.5 * step, 1.0], [0.0, -1.0]))[0] for t in (trick, twin))
        assert torch.equal(one.value, other.value)
    assert means(trick) == means(twin)


def test_lecam_needs_scores_with_an_origin(make_run, tiny):
    with pytest.raises(RefusedError) as error:
        make_run(tiny(tricks=["lecam"], loss="wasserstein"))
    assert "origin" in error.value.refusals[0].why


# --- mode-seeking ---------------------------------------------------------------------------------------------


def test_pairs_are_neighbours():
    x = torch.tensor([[0.0], [6.0], [10.0], [10.0]])
    assert pair_distance(x).item() == 3.0  # (6 + 0) / 2; rows i and i + 2 would give 7
    assert pair_distance(x.bfloat16()).dtype == torch.float32
    assert pair_distance(x.double()).dtype == torch.float64


def test_mode_seeking_value_and_gradient_by_hand():
    """|z1 - z2|: 1, 1, 0, 4, mean 1.5. |x1 - x2|: 6, 0, mean 3. Value 1 / (3 / 1.5 + 1e-5)."""
    turn = make_turn(player="generator")
    turn.rounds = [scored("generator", [0.0], [0.0])]
    x = torch.tensor([[0.0], [6.0], [10.0], [10.0]], requires_grad=True)
    turn.latents = {
        "z": torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 0.0], [2.0, 4.0]]),
        "label": torch.tensor([0, 7, 1, 9]),
    }
    turn.made = {"x": x}
    ModeSeeking(weight=2.5).losses(turn)
    term = turn.terms["mode_seeking_x"]
    assert term.weight == 2.5
    assert term.value.item() == pytest.approx(1 / (2 + 1e-5))
    term.value.backward()
    # d/dx1 of 1 / r is -1 / r^2 * dr/dx1, r = 2 and dr/dx1 = sign(x1 - x2) / 2 pairs / 1.5
    assert x.grad[:, 0].tolist() == pytest.approx([1 / 12, -1 / 12, 0.0, 0.0], rel=1e-4)


def test_mode_seeking_is_finite_for_samples_that_are_all_the_same():
    turn = make_turn(player="generator")
    turn.rounds = [scored("generator", [0.0], [0.0])]
    turn.latents, turn.made = {"z": torch.randn(4, 2)}, {"x": torch.zeros(4, 2, requires_grad=True)}
    ModeSeeking().losses(turn)
    assert turn.terms["mode_seeking_x"].value.item() == pytest.approx(1e5)


def test_mode_seeking_doubles_the_samples_of_both_sides_and_adds_a_term_to_one(turns):
    seen = {}
    turns(["mode-seeking"], lambda turn: seen.update({turn.player: turn}))
    for turn in seen.values():
        assert len(turn.latents["z"]) == len(turn.made["x"]) == 16
        assert all(len(stream.x) == 16 for stream in turn.rounds[0].streams)
    assert {stream.role for stream in seen["discriminator"].rounds[0].streams} == {"real", "fake"}
    assert "mode_seeking_x" not in seen["discriminator"].terms
    turn = seen["generator"]
    z, x = (tensor.reshape(8, 2, -1) for tensor in (turn.latents["z"], turn.made["x"]))
    ratio = (x[:, 0] - x[:, 1]).abs().mean() / (z[:, 0] - z[:, 1]).abs().mean()
    torch.testing.assert_close(turn.terms["mode_seeking_x"].value, 1 / (ratio + 1e-5))


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 2), (3, 6), (4, 4)])
def test_an_even_number_of_copies_is_pairs_already(before, after):
    turn = make_turn()
    turn.copies = before
    ModeSeeking().phase_start(turn)
    assert turn.copies == after


def test_turns_of_no_game_are_left_alone():
    for turn in (make_turn(player="encoder"), make_turn(terms=lambda turn: {})):
        ModeSeeking().phase_start(turn)
        assert turn.copies == 1


def test_mode_seeking_is_refused_without_a_latent_and_warned_of_with_dropout(make_run, small_cyclegan, tiny):
    with pytest.raises(RefusedError) as error:
        make_run(small_cyclegan(tricks=["mode-seeking"]))
    assert "latent" in error.value.refusals[0].why
    (warning,) = make_run(tiny(tricks=["generator-dropout", "mode-seeking"])).experiment.warnings
    assert "dropout" in warning.why


# --- top-k ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "start", "k"),
    [(0, 0, 8), (9, 0, 8), (10, 0, 4), (19, 0, 4), (20, 0, 2), (90, 0, 2), (14, 5, 8), (15, 5, 4), (0, 50, 8)],
)
def test_k_is_scheduled_by_whole_epochs(step, start, k):
    """10 steps an epoch, 8 rows, gamma 0.5: 8, 4, then max(2, 0.3 * 8 = 2.4) rounded down."""
    assert TopK(gamma=0.5, nu=0.3, start=start).k(make_turn(step), 8) == k


def test_k_is_never_zero_and_gamma_can_be_scheduled():
    assert TopK(gamma=0.1, nu=0.0).k(make_turn(50), 8) == 1
    trick = TopK(gamma=Scheduled({"linear": [1.0, 0.5]}), nu=0.0)  # 0.75 in the middle of the run, in epoch 5
    assert trick.k(make_turn(50), 100) == 23  # 0.75^5 = 0.2373


def test_no_epoch_is_lost_to_a_last_bit():
    """An epoch is 7 / 3 steps, and in floating point 35 / (7 / 3) is a little less than 15."""
    turn = make_turn(step=35)
    turn._engine.clock = Clock(total=1000, batch=3, dataset=7)
    assert 35 / (7 / 3) < 15
    assert TopK(gamma=0.9, nu=0.0).k(turn, 1000) == 205  # 0.9^15 = 0.2059; 0.9^14 = 0.2288


def test_weights_by_hand():
    assert top(torch.tensor([1.0, 3.0, 2.0, 0.0]), 2).tolist() == [0.0, 2.0, 2.0, 0.0]
    assert torch.equal(top(torch.randn(7), 7), torch.ones(7))
    assert top(torch.randn(7).bfloat16(), 3).dtype == torch.float32


def weighted(logits, *, step=10, loss=None, tag="adversarial", role="fake", side="generator", weight=1.0):
    """The weight that top-k with gamma 0.5 gives to an output of some logits."""
    call = Call(Round(GAME, side, []), torch.zeros(len(logits), 2), role, tag=tag)
    output = DiscriminatorOutput(torch.tensor(logits), weight=weight)
    TopK(gamma=0.5).discriminator_output(make_turn(step, "generator", loss), call, output)
    return output.weight.tolist() if isinstance(output.weight, torch.Tensor) else output.weight


def test_the_highest_scores_count():
    assert weighted([1.0, 3.0, 2.0, 0.0]) == [0.0, 2.0, 2.0, 0.0]


def test_of_energies_the_lowest_count():
    assert weighted([1.0, 3.0, 2.0, 0.0], loss=Energy()) == [2.0, 0.0, 0.0, 2.0]


def test_patches_are_averaged_first():
    """Means 2, 3: the largest patch is in the first sample, but the second one counts."""
    assert weighted([[[[4.0, 0.0]]], [[[3.0, 3.0]]]]) == [0.0, 2.0]


def test_weights_that_are_there_are_kept_and_so_is_their_sum():
    """0.5 and 1 of the two highest, times 3.5 / 1.5."""
    assert weighted([1.0, 3.0, 2.0, 0.0], weight=torch.tensor([1.0, 0.5, 1.0, 1.0])) == pytest.approx(
        [0.0, 3.5 / 3, 7 / 3, 0.0]
    )


def test_a_second_instance_changes_nothing():
    """The same two samples count, and the loss is still their mean."""
    assert weighted([1.0, 3.0, 2.0, 0.0], weight=torch.tensor([0.0, 2.0, 2.0, 0.0])) == [0.0, 2.0, 2.0, 0.0]


@pytest.mark.parametrize(
    "other", [{"side": "discriminator"}, {"role": "real"}, {"tag": "feature"}, {"tag": "penalty"}, {"side": "watcher"}]
)
def test_nothing_but_the_generators_fakes_is_weighted(other):
    assert weighted([1.0, 3.0, 2.0, 0.0], **other) == 1.0


def test_the_generators_term_is_the_mean_over_those_that_count(turns):
    """An epoch of 2 steps, gamma 0.5: at step 3, in epoch 1, 4 of 8 fakes count."""
    seen = {}
    turns(
        [{"top-k": {"gamma": 0.5, "nu": 0.1}}],
        lambda turn: seen.update({(turn.step, turn.player): turn}),
        steps=4,
        dataset={"ring": {"count": 16}},
    )
    for step, k in ((1, 8), (3, 4)):
        turn = seen[step, "generator"]
        best = turn.rounds[0].fake.logits.sort().values[-k:]
        torch.testing.assert_close(turn.terms["adversarial.fake"].value, F.softplus(-best).mean())
        everything = seen[step, "discriminator"]
        torch.testing.assert_close(
            everything.terms["adversarial.fake"].value, F.softplus(everything.rounds[0].fake.logits).mean()
        )


def test_top_k_needs_a_generator_that_judges_each_sample_alone(make_run, tiny):
    with pytest.raises(RefusedError) as error:
        make_run(tiny(tricks=["top-k"], loss="softmax"))
    assert "depends on the other fakes" in error.value.refusals[0].why


# --- what begins after the run's end ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "warned"),
    [
        ({"tricks": ["lecam"], "train": {"steps": 1000}}, "trick lecam: it starts after 1,000 steps"),
        ({"tricks": ["lecam"], "train": {"steps": 1001}}, None),
        ({"tricks": [{"top-k": {"start": "100%"}}]}, "trick top-k: it starts after"),
        ({"tricks": [{"ema": {"start": "99%"}}]}, None),
        (
            {"variant": "magan", "discriminator": "autoencoder", "train": {"steps": 5}},
            "loss magan: the discriminator learns alone for",
        ),
        (
            {
                "variant": "magan",
                "discriminator": "autoencoder",
                "loss": {"magan": {"pretrain": 2}},
                "train": {"steps": 5},
            },
            None,
        ),
    ],
)
def test_what_begins_only_after_the_end_is_warned_of(make_run, tiny, changes, warned):
    found = [str(warning) for warning in make_run(tiny(**changes)).experiment.warnings]
    late = [text for text in found if "the run ends after" in text]
    assert [text.startswith(warned) for text in late] == ([] if warned is None else [True]), late

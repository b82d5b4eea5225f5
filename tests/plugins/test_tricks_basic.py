"""Label-smoothing, instance-noise and replay-buffer on hand-made turns: closed forms, sequences, state."""

import copy
from types import SimpleNamespace

import pytest
import torch

from ganrun.engine.turn import Turn
from ganrun.randomness import Draws
from ganrun.schedule import Clock, Scheduled
from ganrun.words.game import Call, DiscriminatorOutput, Game, Phase, Round, Stream
from ganrun.words.spaces import Space
from ganrun_plugins.losses.least_squares import LeastSquares
from ganrun_plugins.losses.non_saturating import NonSaturating
from ganrun_plugins.tricks.instance_noise import InstanceNoise
from ganrun_plugins.tricks.label_smoothing import LabelSmoothing
from ganrun_plugins.tricks.replay_buffer import Pool, ReplayBuffer

GAME = Game("adversarial", "discriminator", "discriminator", ["generator"])
LATENT = Space("latent", (4,))


def make_turn(step: int = 0, player: str = "discriminator", modules=None, part: int = 0, parts: int = 1) -> Turn:
    processes = SimpleNamespace(rows_of_all=lambda rows: rows)
    engine = SimpleNamespace(clock=Clock(total=100, batch=4, dataset=100), processes=processes)
    draws = Draws(("test", step, player), part, parts)
    return Turn(engine, Phase(player, player), step=step, draws=draws, modules=modules or {}, batch_size=4)


def make_round(side: str, *streams: Stream) -> Round:
    return Round(GAME, side, list(streams))


# --- label-smoothing ------------------------------------------------------------------------------------------


def smoothed(trick: LabelSmoothing, loss, logits: torch.Tensor) -> dict[str, torch.Tensor]:
    streams = []
    for role in ("real", "fake"):
        target = torch.full_like(logits, make_turn().now(loss.targets(role)))
        streams.append(Stream(logits, role, output=DiscriminatorOutput(logits), target=target))
    trick.targets(make_turn(), make_round("discriminator", *streams))
    return {stream.role: stream.target for stream in streams}


def test_smoothing_is_one_sided_by_default():
    targets = smoothed(LabelSmoothing(), NonSaturating(), torch.zeros(3))
    assert torch.equal(targets["real"], torch.full((3,), 0.9))
    assert torch.equal(targets["fake"], torch.zeros(3))


def test_a_range_is_drawn_once_a_sample_for_all_its_patches():
    target = smoothed(LabelSmoothing(real=(0.7, 1.0)), NonSaturating(), torch.zeros(64, 1, 3, 3))["real"]
    assert target.shape == (64, 1, 3, 3)
    assert torch.equal(target, target[:, :, :1, :1].expand_as(target))
    assert target.min() >= 0.7
    assert target.max() < 1.0
    assert len(target[:, 0, 0, 0].unique()) > 60


def test_smoothing_gives_absolute_targets_in_any_coding():
    targets = smoothed(LabelSmoothing(), LeastSquares(coding="pearson"), torch.zeros(2))
    assert torch.equal(targets["real"], torch.full((2,), 0.9))
    assert torch.equal(targets["fake"], torch.full((2,), -1.0))
    assert smoothed(LabelSmoothing(fake=-0.9), LeastSquares(coding="pearson"), torch.zeros(2))[
        "fake"
    ].tolist() == pytest.approx([-0.9, -0.9])


def test_smoothing_of_fakes_warns(tiny, make_run):
    """With targets a of real samples and b of fakes the optimal D is (a p + b q) / (p + q), which is b > 0 where only
    fakes are.
    """
    (warning,) = make_run(tiny(tricks=[{"label-smoothing": {"fake": 0.1}}])).experiment.warnings
    assert "no real samples" in warning.why
    assert not make_run(tiny(tricks=["label-smoothing"])).experiment.warnings


def test_smoothing_can_be_scheduled():
    trick = LabelSmoothing(real=Scheduled({"linear": [0.5, 1.0]}))
    stream = Stream(torch.zeros(1, 2), "real", target=torch.ones(1))
    trick.targets(make_turn(step=50), make_round("discriminator", stream))
    assert stream.target.item() == pytest.approx(0.75)


def test_two_smoothings_in_one_turn_draw_different_numbers():
    turn, trick = make_turn(), LabelSmoothing(real=(0.0, 1.0))
    found = []
    for _ in range(2):
        stream = Stream(torch.zeros(8, 2), "real", target=torch.ones(8))
        trick.targets(turn, make_round("discriminator", stream))
        found.append(stream.target)
    assert not torch.equal(*found)


# --- instance-noise -------------------------------------------------------------------------------------------


def noisy(trick: InstanceNoise, x: torch.Tensor, step: int = 0, turn: Turn | None = None) -> torch.Tensor:
    call = Call(make_round("discriminator"), x, "real")
    trick.corrupt(turn or make_turn(step), call)
    return call.x


def test_noise_has_the_scheduled_standard_deviation():
    trick = InstanceNoise(sigma=Scheduled({"linear": [0.4, 0.0], "until": "50%"}))
    x = torch.zeros(64, 1, 32, 32)
    assert noisy(trick, x, step=0).std().item() == pytest.approx(0.4, rel=0.02)
    assert noisy(trick, x, step=25).std().item() == pytest.approx(0.2, rel=0.02)
    assert noisy(trick, x, step=50).abs().max() == 0


def test_noise_of_strength_0_leaves_the_sample_as_it_is():
    x = torch.randn(5, 3, 4, 4)
    assert torch.equal(noisy(InstanceNoise(sigma=0.0), x), x)


def test_noise_keeps_dtype_and_gradient():
    x = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    y = noisy(InstanceNoise(sigma=0.5), x)
    assert y.dtype == torch.float64
    y.sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))


def test_every_call_of_a_turn_gets_noise_of_its_own():
    turn, trick = make_turn(), InstanceNoise(sigma=1.0)
    assert not torch.equal(noisy(trick, torch.zeros(4, 2), turn=turn), noisy(trick, torch.zeros(4, 2), turn=turn))


# --- replay-buffer --------------------------------------------------------------------------------------------


def test_pool_sequence_by_hand():
    """A pool of 3, batches of 2: fill, fill with one swap candidate, then swaps into the slots of the given order."""
    pool = Pool([torch.zeros(3, 1)])
    order = torch.tensor([2, 0, 1])
    no, yes = torch.tensor([False, False]), torch.tensor([True, True])

    def go(a: float, b: float, swap: torch.Tensor) -> list[float]:
        (passed,) = pool.exchange([torch.tensor([[a], [b]])], swap, order)
        return passed[:, 0].tolist()

    assert go(1, 2, yes) == [1, 2]  # stored and passed on
    assert pool.count == 2
    assert go(3, 4, yes) == [3, 3]  # 3 fills slot 2; 4 takes the place of what lies there
    assert pool.stored[0][:, 0].tolist() == [1, 2, 4]
    assert go(5, 6, no) == [5, 6]  # passed on, not stored
    assert pool.stored[0][:, 0].tolist() == [1, 2, 4]
    assert go(7, 8, yes) == [4, 1]  # slots 2 and 0
    assert pool.stored[0][:, 0].tolist() == [8, 2, 7]
    assert go(9, 10, torch.tensor([False, True])) == [9, 8]
    assert pool.stored[0][:, 0].tolist() == [10, 2, 7]


def play(trick: ReplayBuffer, step: int, x: torch.Tensor, given=(), side: str = "discriminator") -> Stream:
    fake = Stream(x, "fake", given=given, latent=torch.zeros(len(x), 4))
    turn = make_turn(step)
    turn.rounds = [make_round(side, Stream(torch.zeros_like(x), "real"), fake)]
    trick.generated(turn)
    return fake


def test_the_buffer_returns_older_fakes_about_half_of_the_time():
    trick, old = ReplayBuffer(size=10), 0
    for step in range(400):
        fake = play(trick, step, torch.full((4, 2), float(step)))
        old += int((fake.x[:, 0] < step).sum())
    assert 700 < old < 900  # 1,590 fakes met a full pool


def test_the_buffer_holds_what_is_given_with_its_sample():
    trick = ReplayBuffer(size=6)
    for step in range(20):
        labels = torch.arange(4) + 10 * step
        fake = play(trick, step, labels.float()[:, None].expand(4, 3), given=(labels, labels.float()))
        assert torch.equal(fake.x[:, 0], fake.given[0].float())
        assert torch.equal(fake.x[:, 0], fake.given[1])


def test_the_buffer_never_shows_a_stored_sample_twice_in_one_batch():
    trick = ReplayBuffer(size=8, p=1.0)
    for step in range(10):
        fake = play(trick, step, torch.arange(8.0)[:, None] + 100 * step)
        assert len(fake.x[:, 0].unique()) == 8


def test_a_batch_larger_than_the_pool_goes_through_it_in_portions():
    trick = ReplayBuffer(size=3, p=1.0)
    fake = play(trick, 0, torch.arange(8.0)[:, None])
    assert fake.x.shape == (8, 1)
    assert fake.x[:3, 0].tolist() == [0, 1, 2]
    assert sorted(fake.x[3:6, 0].tolist()) == [0, 1, 2]
    assert sorted([*fake.x[6:, 0].tolist(), *trick.pools["adversarial.0"].stored[0][:, 0].tolist()]) == [3, 4, 5, 6, 7]


def test_the_buffer_is_inert_in_the_generators_turn():
    trick = ReplayBuffer(size=2)
    for step in range(4):
        x = torch.randn(4, 2, requires_grad=True)
        fake = play(trick, step, x, side="generator")
        assert fake.x is x
        assert fake.latent is not None
    assert trick.pools == {}


def test_the_buffer_stores_no_graph_and_forgets_the_latent():
    trick = ReplayBuffer(size=4)
    fake = play(trick, 0, torch.randn(4, 2, requires_grad=True))
    assert not fake.x.requires_grad
    assert fake.latent is None


def test_a_buffer_that_never_swaps_changes_nothing():
    trick = ReplayBuffer(size=5, p=0.0)
    for step in range(5):
        x = torch.randn(4, 2)
        assert torch.equal(play(trick, step, x).x, x)


def test_each_game_and_fake_stream_has_a_pool_of_its_own():
    trick, turn = ReplayBuffer(size=2), make_turn()
    other = Game("other", "d2", "discriminator")
    turn.rounds = [
        Round(GAME, "discriminator", [Stream(torch.zeros(2, 1), "fake"), Stream(torch.ones(2, 1), "fake")]),
        Round(other, "discriminator", [Stream(torch.zeros(2, 3), "fake")]),
    ]
    trick.generated(turn)
    assert set(trick.pools) == {"adversarial.0", "adversarial.1", "other.0"}


@pytest.mark.parametrize("size", [3, 8, 50])
@pytest.mark.parametrize(("processes", "accumulate"), [(2, 1), (1, 2), (2, 2)])
def test_what_a_batch_goes_through_does_not_depend_on_how_it_is_divided(size, processes, accumulate):
    """8 rows a step: whole, and in parts of which each process sees its own."""
    whole, tricks = ReplayBuffer(size=size), [ReplayBuffer(size=size) for _ in range(processes)]
    parts = processes * accumulate
    for step in range(6):
        x = torch.arange(8.0)[:, None] + 10 * step
        expected = play(whole, step, x).x
        swap = Draws(("test", step, "discriminator")).uniform("replay-buffer", 8) < 0.5
        rows, shown = 8 // parts, [torch.empty(0)] * parts
        for part in range(parts):
            micro, rank = divmod(part, processes)
            here = slice(micro * processes * rows, (micro + 1) * processes * rows)
            turn = make_turn(step, part=part, parts=parts)
            everyone = [x[here], swap[here]]
            turn._engine.processes.rows_of_all = lambda mine, everyone=everyone: everyone.pop(0)
            turn.micro = micro
            fake = Stream(x[part * rows : (part + 1) * rows], "fake")
            turn.rounds = [make_round("discriminator", fake)]
            tricks[rank].generated(turn)
            shown[part] = fake.x
        assert torch.equal(torch.cat(shown), expected)
        for trick in tricks:
            assert torch.equal(trick.pools["adversarial.0"].stored[0], whole.pools["adversarial.0"].stored[0])


def test_the_buffer_continues_from_its_state():
    trick = ReplayBuffer(size=6)
    for step in range(4):
        play(trick, step, torch.full((4, 2), float(step)))
    twin = ReplayBuffer(size=6)
    twin.load_state_dict(copy.deepcopy(trick.state_dict()))
    for step in range(4, 10):
        x = torch.full((4, 2), float(step))
        assert torch.equal(play(trick, step, x).x, play(twin, step, x).x)

"""EMA on hand-made turns: what the average is, whatever the turns of a step, and what is said of it."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ganrun.engine.turn import Turn
from ganrun.randomness import Draws
from ganrun.sampling.sampling import Sampling
from ganrun.schedule import Clock, Scheduled
from ganrun.testing.runs import steps
from ganrun.words.game import Phase, Player
from ganrun.words.spaces import Interface, Space
from ganrun_plugins.networks.mlp import MLPGenerator
from ganrun_plugins.tricks._moments import moment
from ganrun_plugins.tricks.ema import EMA

IMAGE = Space("image", (1, 16, 16))
LATENT = Space("latent", (4,))


def make_turn(step: int = 0, player: str = "discriminator") -> Turn:
    engine = SimpleNamespace(clock=Clock(total=100, batch=4, dataset=100))
    return Turn(engine, Phase(player, player), step=step, draws=Draws(("test", step, player)), modules={}, batch_size=4)


def experiment_of(network: nn.Module, takes: Space = LATENT, player: str = "generator"):
    description = SimpleNamespace(
        networks={"generator": SimpleNamespace(kind="generator", interface=Interface(takes, takes))}
    )
    return SimpleNamespace(
        modules={"generator": network},
        networks=lambda kind: {"generator": network},
        is_generator=lambda name: name == "generator",
        description=description,
        players={player: Player(player, ["generator"])},
        phases=[Phase(player, player)],
        clock=Clock(total=100, batch=4, dataset=100),
        games=[],
    )


def averaging(network: nn.Module, **parameters) -> EMA:
    trick = EMA(**parameters)
    trick.build(experiment_of(network))
    trick.phase_start(make_turn(player="generator"))
    return trick


def sampled(trick: EMA, network: nn.Module) -> nn.Module:
    sampling = Sampling({"generator": network})
    trick.sampling(sampling)
    return sampling.modules["generator"].eval()


def test_the_average_follows_its_formula():
    """Weight 1, then 3 and 5 with decay 0.75: 0.75 * 1 + 0.25 * 3 = 1.5; 0.75 * 1.5 + 0.25 * 5 = 2.375."""
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 1.0)
    trick = averaging(network, decay=0.75)
    for step, weight in enumerate((3.0, 5.0)):
        nn.init.constant_(network.weight, weight)
        trick.updated(make_turn(step, "generator"))
    assert sampled(trick, network)(torch.ones(1, 1)).item() == 2.375
    assert network.weight.item() == 5.0


def test_the_half_life_of_0_999_is_692_updates():
    network = nn.Linear(1, 1, bias=False).double()
    nn.init.constant_(network.weight, 1.0)
    trick = averaging(network, decay=0.999)
    nn.init.constant_(network.weight, 0.0)
    for step in range(692):
        trick.updated(make_turn(step, "generator"))
    assert trick.averages["generator"]["weight"].item() == pytest.approx(0.5, abs=5e-4)


def test_the_average_is_the_newest_weights_before_its_start():
    network = nn.Linear(2, 2)
    trick = averaging(network, decay=0.9, start="3%")
    for step in range(4):
        nn.init.constant_(network.weight, float(step + 1))
        trick.updated(make_turn(step, "generator"))
        expected = step + 1 if step < 3 else 0.9 * 3 + 0.1 * 4
        assert trick.averages["generator"]["weight"][0, 0].item() == pytest.approx(expected)


def test_warm_up_keeps_the_half_life_below_a_share_of_the_updates():
    """warmup 0.5: at update t the decay is 0.5^(1 / (0.5 t)): 0.25, 0.5, 0.63, ..."""
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 0.0)
    trick, expected = averaging(network, decay=0.999, warmup=0.5), 0.0
    nn.init.constant_(network.weight, 1.0)
    for step in range(6):
        trick.updated(make_turn(step, "generator"))
        decay = 0.5 ** (1 / (0.5 * (step + 1)))
        expected = decay * expected + (1 - decay)
        assert trick.averages["generator"]["weight"].item() == pytest.approx(expected)


def test_a_half_life_counts_real_images_and_may_grow_from_0():
    """Half-life 0 keeps nothing, one of a step's images a half, of four steps' 0.5^(1/4)."""
    batch = make_turn().clock.batch
    for images, kept in ((0.0, 0.0), (float(batch), 0.5), (4.0 * batch, 0.5**0.25)):
        network = nn.Linear(1, 1, bias=False)
        nn.init.constant_(network.weight, 1.0)
        trick = averaging(network, decay=1.0, half_life=images)
        nn.init.constant_(network.weight, 0.0)
        trick.updated(make_turn(0, "generator"))
        assert trick.averages["generator"]["weight"].item() == pytest.approx(kept)


def test_a_half_life_is_a_limit_beside_decay_and_warm_up():
    """Of 0.6, 0.5^(1/2) = 0.71 by a half-life of two steps, and 0.5^(1/1) by a warm-up of the first update, the
    smallest counts.
    """
    batch = make_turn().clock.batch
    for settings, kept in (
        ({"decay": 0.6}, 0.6),
        ({"decay": 0.9}, 0.5**0.5),
        ({"decay": 0.9, "warmup": 1.0}, 0.5),
        ({"decay": 0.0}, 0.0),
    ):
        network = nn.Linear(1, 1, bias=False)
        nn.init.constant_(network.weight, 1.0)
        trick = averaging(network, half_life=2.0 * batch, **settings)
        nn.init.constant_(network.weight, 0.0)
        trick.updated(make_turn(0, "generator"))
        assert trick.averages["generator"]["weight"].item() == pytest.approx(kept)


def test_a_scheduled_half_life_is_that_of_the_step():
    """{steps: 0 images, then from step 2 on one step's}: two updates copy, the third keeps a half."""
    batch = make_turn().clock.batch
    network = nn.Linear(1, 1, bias=False)
    trick = averaging(network, decay=1.0, half_life=Scheduled({"steps": {0: 0.0, 2: float(batch)}}))
    found = []
    for step in range(3):
        nn.init.constant_(network.weight, float(step + 1))
        trick.updated(make_turn(step, "generator"))
        found.append(trick.averages["generator"]["weight"].item())
    assert found == [1.0, 2.0, 2.5]


def kept_share(network: nn.Module, trick: EMA, turns: list[tuple[int, str, int]]) -> float:
    """What is left of the weight 1 after updates with the weight 0; turns: (step, phase, repeat)."""
    phases = {phase.name: phase for phase in trick.phases}
    nn.init.constant_(network.weight, 0.0)
    for step, name, repeat in turns:
        turn = make_turn(step, phases[name].player)
        turn.phase, turn.repeat = phases[name], repeat
        trick.updated(turn)
    return trick.averages["generator"]["weight"].item()


@pytest.mark.parametrize(
    ("phases", "after", "turns"),
    [
        ([Phase("generator", "generator")], "generator", [(step, "generator", 0) for step in range(6)]),
        (
            [Phase("generator", "generator", repeats=2)],
            "generator",
            [(step, "generator", repeat) for step in range(6) for repeat in range(2)],
        ),
        (
            [Phase("discriminator", "discriminator", repeats=5), Phase("generator", "generator")],
            "discriminator",
            [(step, "discriminator", repeat) for step in range(6) for repeat in range(5)],
        ),
        # DiscoGAN's: from the beginning of step 1 to the end of step 7
        (
            [Phase("generator", "generator", when=lambda step: step % 3 != 0)],
            "generator",
            [(step, "generator", 0) for step in (1, 2, 4, 5, 7)],
        ),
        # a regularisation's updates do not count
        (
            [Phase("generator", "generator"), Phase("path", "generator", every=2, terms=lambda turn: {})],
            "generator",
            [(step, name, 0) for step in range(6) for name in ("generator", "path")[: 2 - step % 2]],
        ),
    ],
    ids=["one", "two updates", "five of the discriminator", "two of three steps", "lazy"],
)
def test_a_half_life_in_images_is_one_however_often_a_step_averages(phases, after, turns):
    """One of six steps' images: a half is left after six steps, 0.5^(7 / 6) after seven."""
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 1.0)
    trick = EMA(half_life=6.0 * make_turn().clock.batch, after=after)
    experiment = experiment_of(network)
    experiment.phases = phases
    experiment.players["discriminator"] = Player("discriminator", ["discriminator"])
    experiment.games = [SimpleNamespace(player="discriminator", against=["generator"])]
    trick.build(experiment)
    trick.phase_start(make_turn(player="generator"))
    passed = turns[-1][0] + 1 - turns[0][0]
    assert kept_share(network, trick, turns) == pytest.approx(0.5 ** (passed / 6), rel=1e-5)


def test_the_turns_of_a_step_divide_it():
    phases = [Phase("warm up", "d", repeats=3, when=lambda step: step == 7), Phase("d", "d", repeats=2)]

    def at(step: int, place: int, repeat: int) -> float:
        turn = make_turn(step, "d")
        turn.phase, turn.repeat = phases[place], repeat
        return moment(turn, phases)

    assert [at(7, 0, 0), at(7, 0, 2), at(7, 1, 0), at(7, 1, 1)] == pytest.approx([7.2, 7.6, 7.8, 8.0])
    assert [at(8, 1, 0), at(8, 1, 1)] == [8.5, 9.0]


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"half_life": 4.0 * 4000}, 0.5 ** (1 / 4000)),  # not the default decay, which is below
        ({"decay": 0.99999}, 0.99999),  # no warm-up of the default
        ({}, 0.5**20),  # the default: a warm-up, at its first update
        ({"warmup": 0.0}, 0.999),
        ({"half_life": 4.0 * 4000, "decay": 0.9}, 0.9),  # both are asked for
    ],
)
def test_no_option_of_ema_is_limited_by_the_default_of_another(settings, kept):
    network = nn.Linear(1, 1, bias=False).double()
    nn.init.constant_(network.weight, 1.0)
    trick = averaging(network, **{name: Scheduled(value) for name, value in settings.items()})
    nn.init.constant_(network.weight, 0.0)
    trick.updated(make_turn(0, "generator"))
    assert trick.averages["generator"]["weight"].item() == pytest.approx(kept, rel=1e-12)


def test_the_share_of_initial_weights_is_said_until_it_is_below_a_hundredth():
    """Decay 0.5: a half after one update, 1/64 after six, 1/128 after seven."""
    network = nn.Linear(1, 1, bias=False)
    trick, said = averaging(network, decay=0.5), []
    for step in range(7):
        trick.updated(make_turn(step, "generator"))
        twin = averaging(network, decay=0.5)
        twin.load_state_dict(trick.state_dict())
        sampling = Sampling({"generator": network})
        twin.sampling(sampling)
        said.append(sampling.weights["generator"])
    assert said[0] == "average, 50% of it the initial weights"
    assert said[5:] == ["average, 2% of it the initial weights", "average"]


def test_decay_0_samples_with_the_newest_weights_bit_for_bit():
    network = MLPGenerator(Interface(LATENT, IMAGE), widths=(8, 8))
    trick = averaging(network, decay=0.0)
    for p in network.parameters():
        nn.init.normal_(p)
    network(torch.randn(4, 4))
    trick.updated(make_turn(0, "generator"))
    x = torch.randn(4, 4)
    average = sampled(trick, network)
    network.eval()
    assert torch.equal(average(x), network(x))


@pytest.mark.parametrize(("buffers", "mean"), [("average", 0.25), ("copy", 1.0)])
def test_statistics_are_averaged_or_copied_and_counters_copied(buffers, mean):
    network = nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2))
    trick = averaging(network, decay=0.75, buffers=buffers)
    network[1].running_mean.fill_(1.0)
    network[1].num_batches_tracked.fill_(7)
    trick.updated(make_turn(0, "generator"))
    assert trick.averages["generator"]["1.running_mean"].tolist() == [mean, mean]
    assert trick.averages["generator"]["1.num_batches_tracked"].item() == 7


def test_only_the_generators_player_moves_the_average():
    network = nn.Linear(1, 1)
    trick = EMA(decay=0.5)
    experiment = experiment_of(network)
    experiment.players["discriminator"] = Player("discriminator", ["discriminator"])
    trick.build(experiment)
    trick.phase_start(make_turn())
    before = trick.averages["generator"]["weight"].clone()
    nn.init.constant_(network.weight, 9.0)
    trick.updated(make_turn(0, "discriminator"))
    assert torch.equal(trick.averages["generator"]["weight"], before)


def test_sampling_leaves_averages_and_networks_alone():
    network = nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2))
    trick = averaging(network, decay=0.5)
    before = copy.deepcopy(trick.state_dict()), copy.deepcopy(network.state_dict())
    sampled(trick, network).train()(torch.randn(8, 4))
    assert all(torch.equal(a, b) for a, b in zip(before[1].values(), network.state_dict().values()))
    average = trick.state_dict()["generator"]["average"]
    assert all(torch.equal(before[0]["generator"]["average"][key], average[key]) for key in average)


def test_the_average_continues_from_its_state():
    network = nn.Linear(2, 2)
    trick = averaging(network, decay=0.9, warmup=0.5)
    trick.updated(make_turn(0, "generator"))
    twin = EMA(decay=0.9, warmup=0.5)
    twin.build(experiment_of(network))
    twin.load_state_dict(copy.deepcopy(trick.state_dict()))
    for step in range(1, 4):
        nn.init.normal_(network.weight)
        for each in (trick, twin):
            each.phase_start(make_turn(step, "generator"))
            each.updated(make_turn(step, "generator"))
    assert torch.equal(trick.averages["generator"]["weight"], twin.averages["generator"]["weight"])


@pytest.mark.parametrize(
    ("changes", "after"),
    [
        ({"players": {"generator": {"updates": 2}}}, "generator"),
        ({"players": {"discriminator": {"updates": 5}}}, "discriminator"),
        ({"players": {"discriminator": {"updates": 5}}, "tricks": [{"r1": {"every": 2}}]}, "discriminator"),
    ],
)
def test_in_a_run_a_half_is_left_after_the_half_life(tiny, make_run, changes, after):
    """Batches of 8, a half-life of 48 images: six steps."""
    tricks = [*changes.pop("tricks", []), {"ema": {"half_life": 48.0, "after": after}}]
    run = steps(make_run(tiny(tricks=tricks, **changes)), 6)
    assert next(trick for trick in run.experiment.tricks if isinstance(trick, EMA)).initial["generator"] == (
        pytest.approx(0.5)
    )

"""Gradient penalties in whole runs: the optimiser's step, buffers, precision, lazy phases, resuming."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ganrun.preflight.stages import STAGES
from ganrun.randomness import Draws
from ganrun.testing import Plugin
from ganrun.testing.runs import assert_resumes, assert_sound, first_difference, probed, same, trained, weights
from ganrun.words.game import DiscriminatorOutput, Phase, Term
from ganrun.words.hooks import hookimpl
from ganrun_plugins.tricks._penalty import free_name, insert_behind
from ganrun_plugins.tricks.gradient_penalty import GradientPenalty
from ganrun_plugins.tricks.r1 import R1

NAMES = ["gradient-penalty", "zero-centred-penalty", "r1", "r2", "dragan-penalty", "roth-penalty"]
STRENGTH = {name: "gamma" if name in ("r1", "r2", "roth-penalty") else "weight" for name in NAMES}
SGD = {name: {"optimizer": {"sgd": {"lr": 0.05}}} for name in ("generator", "discriminator")}


def steps(run, count, start=0):
    for step in range(start, start + count):
        run.engine.step(step)
    return run


def close(one, other):
    return all(torch.allclose(one[name], other[name], rtol=0, atol=1e-12) for name in one)


class Watch:
    """Writes down the turns of a run: phase -> list of (step, term -> (value, weight)), and the format of penalties'
    logits.
    """

    def __init__(self):
        self.turns, self.formats = {}, set()

    @hookimpl
    def updated(self, turn):
        terms = {name: (term.value.item(), term.weight) for name, term in turn.terms.items()}
        self.turns.setdefault(turn.phase.name, []).append((turn.step, terms))

    @hookimpl
    def discriminator_output(self, turn, call, output):
        self.formats.add((call.tag, output.logits.dtype))


def watched(run):
    return next(trick for trick in run.experiment.tricks if isinstance(trick, Watch))


# --- one optimiser step ---------------------------------------------------------------------------------------


def test_a_penalty_joins_the_optimiser_step_of_the_loss(tiny, make_run):
    """One Adam step a turn on loss + 10 GP: bit for bit the loop written by hand."""
    engine_run, by_hand = make_run(tiny(tricks=["gradient-penalty"])), make_run(tiny())
    steps(engine_run, 5)
    generator, discriminator = by_hand.engine.modules["generator"], by_hand.engine.modules["discriminator"]
    settings = {"lr": 2e-4, "betas": (0.5, 0.999), "fused": True}
    adam_d, adam_g = (
        torch.optim.Adam(discriminator.parameters(), **settings),
        torch.optim.Adam(generator.parameters(), **settings),
    )
    reader = by_hand.experiment.reader("discriminator", 8)
    for step in range(5):
        draws = Draws((0, 0, step, "discriminator", 0))
        fake, real = generator(draws.normal("z", 8, 4)), reader.get(8)["x"]
        real_logits, fake_logits = discriminator(real).logits, discriminator(fake.detach()).logits
        bce = F.binary_cross_entropy_with_logits
        between = real + draws.uniform("gradient-penalty", 8)[:, None] * (fake.detach() - real)
        between.requires_grad_()
        (slope,) = torch.autograd.grad(discriminator(between).logits.sum(), between, create_graph=True)
        penalty = (slope.norm(dim=1) - 1).square().mean()
        adam_d.zero_grad()
        (bce(real_logits, torch.ones(8)) + bce(fake_logits, torch.zeros(8)) + 10 * penalty).backward()
        adam_d.step()
        adam_g.zero_grad()
        (-F.logsigmoid(discriminator(fake).logits)).mean().backward()
        adam_g.step()
        reader.advance(8)
    assert same(weights(engine_run), weights(by_hand))


def test_micro_batches_pay_the_penalty_of_the_whole_batch(tiny, make_run):
    """Two micro-batches of 4 have the real samples, fakes and shares of one batch of 8."""

    def trained_with(**train):
        return weights(
            steps(
                make_run(tiny(tricks=["gradient-penalty", "r1"], players=SGD, train={"precision": "float64", **train})),
                2,
            )
        )

    assert close(trained_with(batch_size=8), trained_with(batch_size=4, accumulate=2))


def test_two_instances_pay_twice(tiny, make_run):
    """Two R1 of gamma 3 are one of gamma 6."""

    def trained_with(*gammas):
        tricks = [{"r1": {"gamma": gamma}} for gamma in gammas]
        return weights(steps(make_run(tiny(tricks=tricks, players=SGD, train={"precision": "float64"})), 3))

    assert close(trained_with(3.0, 3.0), trained_with(6.0))
    assert not close(trained_with(3.0), trained_with(6.0))


class SpectralDiscriminator(nn.Module):
    """Its buffers u and v change with every forward in training mode."""

    takes = frozenset({"points"})

    def __init__(self, interface):
        super().__init__()
        layers = nn.Linear(interface.takes.size, 8), nn.Tanh(), nn.Linear(8, 1)
        self.net = nn.Sequential(
            *(nn.utils.parametrizations.spectral_norm(m) if isinstance(m, nn.Linear) else m for m in layers)
        )

    def forward(self, x):
        return DiscriminatorOutput(self.net(x)[:, 0])


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_penalties_leave_buffers_alone(tiny, make_run, name, every):
    """The discriminator's first turn has two forwards, with the penalty or without: u and v are the same after it."""

    def buffers(tricks):
        run = make_run(tiny(discriminator="spectral", tricks=tricks), {"discriminator.spectral": SpectralDiscriminator})
        run.experiment.phases[:] = [phase for phase in run.experiment.phases if phase.player == "discriminator"]
        for player in run.engine.optimizers.values():
            player.step = lambda: None  # the weights stay, so that forwards alone change u and v
        run.engine.step(0)
        found = dict(run.engine.modules["discriminator"].named_buffers())
        assert len(found) == 4
        return found

    assert same(buffers([]), buffers([{name: {"every": every}}]))


# --- precision, compiled modules ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_penalties_are_float32_in_a_run_of_bfloat16(tiny, make_run, name):
    run = make_run(tiny(tricks=[name, "watch"], train={"precision": "bfloat16"}), {"trick.watch": Watch})
    steps(run, 1)
    assert ("adversarial", torch.bfloat16) in watched(run).formats
    assert {dtype for tag, dtype in watched(run).formats if tag == "penalty"} == {torch.float32}
    assert run.engine.terms["discriminator"][f"adversarial.{name}"].dtype == torch.float32


@pytest.mark.parametrize("name", ["r1", "dragan-penalty"])
def test_slopes_in_a_run_of_bfloat16_are_those_of_float32_to_the_bit(tiny, make_run, name):
    """Forward and gradient at the real samples of the first turn, before any weight has moved."""
    values = []
    for precision in ("float32", "bfloat16"):
        run = steps(make_run(tiny(tricks=[name], train={"precision": precision})), 1)
        values.append(run.engine.terms["discriminator"][f"adversarial.{name}"])
    assert torch.equal(*values)


def test_penalties_use_the_uncompiled_module(tiny, make_run):
    run = make_run(tiny(tricks=["gradient-penalty", "r1", "roth-penalty"]))
    calls, module = [], run.engine.modules["discriminator"]
    # stands for torch.compile's
    run.engine.compiled["discriminator"] = lambda *args: calls.append(args) or module(*args)
    steps(run, 1)
    assert len(calls) == 3  # real and fake in the discriminator's turn, fake in the generator's
    assert len(run.engine.terms["discriminator"]) == 5


# --- lazy -----------------------------------------------------------------------------------------------------


def test_a_lazy_penalty_has_a_phase_every_4_steps_weighted_by_4(tiny, make_run):
    run = steps(make_run(tiny(tricks=[{"r1": {"every": 4}}, "watch"]), {"trick.watch": Watch}), 9)
    assert [phase.name for phase in run.experiment.phases] == ["discriminator", "discriminator.r1", "generator"]
    turns = watched(run).turns
    assert [step for step, _ in turns["discriminator.r1"]] == [0, 4, 8]
    assert all(
        list(terms) == ["adversarial.r1"] and terms["adversarial.r1"][1] == 40.0
        for _, terms in turns["discriminator.r1"]
    )
    assert all("adversarial.r1" not in terms for _, terms in turns["discriminator"])
    assert [step for step, _ in turns["discriminator"]] == list(range(9))


def test_a_lazy_penalty_slows_its_players_optimiser_down(tiny, make_run):
    """c = 1 / (1 + 1/4) = 0.8: lr 2e-4 * c, betas 0.5^c and 0.999^c; the generator's are as they were."""
    run = steps(make_run(tiny(tricks=[{"r1": {"every": 4}}])), 1)
    (group,) = run.engine.optimizers["discriminator"].param_groups
    assert group["lr"] == pytest.approx(1.6e-4)
    assert group["betas"] == pytest.approx((0.5**0.8, 0.999**0.8))
    (group,) = run.engine.optimizers["generator"].param_groups
    assert group["lr"] == 2e-4
    assert tuple(group["betas"]) == (0.5, 0.999)


def test_lazy_penalties_have_phases_of_their_own_and_slow_down_once(tiny, make_run):
    """c = 1 / (1 + 1/4 + 1/2 + 1/4) = 1 / 2."""
    tricks = [{"r1": {"every": 4}}, {"r2": {"every": 2}}, {"r1": {"every": 4, "gamma": 1.0}}, "watch"]
    run = steps(make_run(tiny(tricks=tricks), {"trick.watch": Watch}), 3)
    names = ["discriminator", "discriminator.r1", "discriminator.r2", "discriminator.r12", "generator"]
    assert [phase.name for phase in run.experiment.phases] == names
    (group,) = run.engine.optimizers["discriminator"].param_groups
    assert group["lr"] == pytest.approx(1e-4)
    turns = watched(run).turns
    assert [terms["adversarial.r2"][1] for _, terms in turns["discriminator.r2"]] == [20.0, 20.0]
    assert [terms["adversarial.r1"][1] for _, terms in turns["discriminator.r12"]] == [4.0]


@pytest.mark.parametrize("name", NAMES)
def test_a_lazy_penalty_of_strength_0_is_a_phase_with_a_zero_term(tiny, make_run, name):
    class ZeroPhase:
        """Every parameter of the discriminator gets a zero gradient in a phase of the same name and rhythm."""

        @hookimpl
        def build(self, experiment):
            def terms(turn):
                return {"zero": Term(sum((0 * p).sum() for p in turn.parameters("discriminator")))}

            experiment.phases.insert(1, Phase(f"discriminator.{name}", "discriminator", every=4, terms=terms))

        @hookimpl
        def phase_start(self, turn):
            if turn.phase.name == f"discriminator.{name}" and name not in ("r1", "dragan-penalty"):
                turn.wanted.add("fake")  # the fakes of this phase are those that the generator learns from

    off = steps(make_run(tiny(tricks=[{name: {"every": 4, STRENGTH[name]: 0.0}}])), 5)
    zero = steps(make_run(tiny(tricks=["zero"]), {"trick.zero": ZeroPhase}), 5)
    assert not first_difference(weights(off), weights(zero))
    on = steps(make_run(tiny(tricks=[{name: {"every": 4}}])), 1)
    assert first_difference(weights(steps(make_run(tiny(tricks=["zero"]), {"trick.zero": ZeroPhase}), 1)), weights(on))


def test_a_lazy_phase_moves_every_parameter_of_its_player(tiny, make_run):
    """The last bias has no part in a slope; its rate was slowed down like the others', so it makes as many steps."""
    run = steps(make_run(tiny(tricks=[{"r1": {"every": 2}}])), 4)
    optimizer = run.engine.optimizers["discriminator"]
    assert {int(optimizer.state[p]["step"]) for p in run.engine.parameters["discriminator"]} == {6}


def test_a_lazy_penalty_sees_what_the_losss_score_sees(tiny, make_run):
    """R1 asks for real samples alone; a score that compares with fakes gets them, too."""
    seen = []

    class Compared:
        provides = frozenset()
        real_in_generator = False
        score_sees = frozenset({"fake"})

        def targets(self, role):
            return None

        def score(self, round, logits):
            return logits - round.of("fake")[0].logits.mean()

        def discriminator(self, round):
            return {s: s.logits if s.role == "fake" else -s.logits for s in round.streams}

        def generator(self, round):
            return {s: -s.logits for s in round.of("fake")}

    class Look:
        @hookimpl
        def generated(self, turn):
            seen.append((turn.phase.name, [stream.role for stream in turn.rounds[0].streams]))

    steps(
        make_run(
            tiny(loss="compared", tricks=[{"r1": {"every": 2}}, "look"]),
            {"loss.compared": Compared, "trick.look": Look},
        ),
        1,
    )
    assert ("discriminator.r1", ["real", "fake"]) in seen
    seen.clear()
    steps(make_run(tiny(tricks=[{"r1": {"every": 2}}, "look"]), {"trick.look": Look}), 1)
    assert ("discriminator.r1", ["real"]) in seen


def phases(*names):
    """``d`` and ``g`` are ordinary phases, capitals are a group with their neighbours, ``d!`` is lazy."""
    return [
        Phase(
            name,
            name[0].lower(),
            together="both" if name.isupper() else "",
            terms=(lambda turn: {}) if name.endswith("!") else None,
        )
        for name in names
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["d", "g"], ["d", "new", "g"]),
        (["g", "d"], ["g", "d", "new"]),
        (["d", "g", "d1", "g1"], ["d", "g", "d1", "new", "g1"]),
        (["d", "d!", "g"], ["d", "d!", "new", "g"]),
        (["d", "g!", "g"], ["d", "new", "g!", "g"]),
        (["D", "G", "e"], ["D", "G", "new", "e"]),
        (["D", "G", "d!", "e"], ["D", "G", "d!", "new", "e"]),
    ],
)
def test_a_lazy_phase_comes_behind_its_players_last_one_and_never_inside_a_move(before, after):
    schedule = phases(*before)
    insert_behind(schedule, Phase("new", "d", every=4, terms=lambda turn: {}))
    assert [phase.name for phase in schedule] == after


def test_names_of_phases_are_numbered_from_2_on():
    assert free_name("d.r1", set()) == "d.r1"
    assert free_name("d.r1", {"d.r1"}) == "d.r12"
    assert free_name("d.r1", {"d.r1", "d.r12"}) == "d.r13"


def test_only_lazy_ones_say_that_they_restructure():
    assert not hasattr(R1(), "restructures")
    assert "lazy" not in R1().provides
    assert hasattr(R1(every=2), "restructures")
    assert "lazy" in R1(every=2).provides
    assert GradientPenalty(every=16).provides == GradientPenalty().provides | {"lazy"}
    assert not hasattr(R1(), "restructures"), "another instance does not change the class"


@pytest.mark.parametrize("name", NAMES)
def test_every_lazy_penalty_resumes_to_the_bit(name):
    """The contract checks it for ``every: 1``."""
    plugin = Plugin(f"trick.{name}")
    assert_resumes(plugin, plugin.put(STAGES["points"], every=2), 1, 2)


@pytest.mark.parametrize("stage", ["images", "translation"])
@pytest.mark.parametrize(
    "settings", [{}, {"accumulate": 2}, {"batches": "joint"}, {"precision": "bfloat16"}, {"precision": "float64"}]
)
def test_all_penalties_together_train_everywhere(stage, settings):
    """Two of them lazily; on translations each has a term for both games, of patch maps."""
    plugin = Plugin("trick.r1")
    recipe = STAGES[stage]
    tricks = [name if name not in ("r2", "gradient-penalty") else {name: {"every": 2}} for name in NAMES]
    loss = {"loss": "non-saturating"}  # Roth's penalty asks for one
    run = trained(
        plugin,
        probed({**recipe, **loss, "tricks": tricks, "train": {**recipe["train"], "batch_size": 2, **settings}}),
        2,
    )
    assert_sound(run)
    games = ("a", "b") if stage == "translation" else ("adversarial",)
    assert {f"{game}.r1" for game in games} <= run.engine.terms["discriminator"].keys()
    assert {f"{game}.r2" for game in games} == run.engine.terms["discriminator.r2"].keys()


# --- lazy, whatever the schedule ------------------------------------------------------------------------------


class Weigh:
    """Notes the weights of the terms of R1."""

    def __init__(self):
        self.weights = []

    @hookimpl
    def gradients(self, turn):
        self.weights += [term.weight for name, term in turn.terms.items() if name == "adversarial.r1"]


@pytest.mark.parametrize(("every", "weights"), [(1, [3.0] * 40), (4, [60.0, 60.0])])
def test_a_penalty_weighs_as_much_in_all_whether_it_is_lazy_or_not(tiny, make_run, every, weights):
    """Eight steps of five updates: 40 turns of gamma 3, or two lazy ones that stand for 20 each."""
    recipe = tiny(tricks=[{"r1": {"gamma": 3.0, "every": every}}, "weigh"], players={"discriminator": {"updates": 5}})
    run = steps(make_run(recipe, {"trick.weigh": Weigh}), 8)
    (watch,) = [trick for trick in run.experiment.tricks if isinstance(trick, Weigh)]
    assert watch.weights == weights

"""Unrolling: against formulas on a linear discriminator, against a loop written by hand, and what it leaves alone."""

import pytest
import torch
from torch import nn
from torch.func import functional_call

from ganrun.schedule import Scheduled
from ganrun.training.build import RefusedError
from ganrun.words.game import DiscriminatorOutput
from ganrun_plugins.optimizers.sgd import SGD

RATE = 0.25


class Line(nn.Module):
    """D(x) = w.x + b."""

    takes = frozenset({"points"})

    def __init__(self, interface):
        super().__init__()
        self.map = nn.Linear(interface.takes.size, 1)

    def forward(self, x):
        return DiscriminatorOutput(self.map(x).squeeze(1))


class Shift(nn.Module):
    """G(z) = the first two coordinates of z, + t."""

    takes = frozenset({"latent"})
    makes = frozenset({"points"})

    def __init__(self, interface):
        super().__init__()
        self.t = nn.Parameter(torch.tensor([0.3, -0.4]))

    def forward(self, z):
        return z[:, :2] + self.t


class Difference:
    """The discriminator minimises E D(fake) - E D(real), the generator -E D(fake)."""

    provides = frozenset()
    real_in_generator = False

    def discriminator(self, round):
        return {s: s.logits if s.role == "fake" else -s.logits for s in round.streams}

    def generator(self, round):
        return {s: -s.logits for s in round.of("fake")}


class Plain:
    """SGD that cannot be differentiated."""

    def __init__(self, *, lr: Scheduled = Scheduled(0.1)):
        self.lr = lr

    def make(self, parameters):
        return torch.optim.SGD(parameters, lr=0.1)


PLUGINS = {
    "discriminator.line": Line,
    "generator.shift": Shift,
    "loss.difference": Difference,
    "optimizer.plain": Plain,
}


def players(optimizer):
    return {name: {"optimizer": optimizer} for name in ("generator", "discriminator")}


@pytest.fixture
def linear(make_run, tiny):
    """A function: the run of the linear game with some tricks."""

    def run(*tricks, optimizer=None, **changes):
        parts = {"generator": "shift", "discriminator": "line", "loss": "difference"}
        given = players(optimizer or {"sgd": {"lr": RATE}})
        return make_run(tiny(**{**parts, "players": given, "tricks": list(tricks), **changes}), PLUGINS)

    return run


def take(run, player="generator", step=0):
    """A turn of a player up to its gradients, in the right mode of the run."""
    (phase,) = [phase for phase in run.experiment.phases if phase.player == player]
    return run.engine.take(phase, step, 0, [])


def means(turn):
    (round,) = turn.rounds
    return turn.real["x"].mean(0), round.fake.x.detach().mean(0)


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_the_gradient_on_a_linear_discriminator_is_that_of_the_formula(linear, steps):
    """grad L = f - r =: d (the means of fakes and real samples), so w_k = w - k lr d. With f = mean z + t,
    d/dt of -w_k.f is -w_k + k lr f = -w + k lr (2 f - r)."""
    run = linear({"unrolling": {"steps": steps}})
    w = run.engine.modules["discriminator"].map.weight[0].detach().clone()
    r, f = means(take(run))
    expected = -w + steps * RATE * (2 * f - r)
    assert torch.allclose(run.engine.modules["generator"].t.grad, expected, atol=1e-6)


def test_without_the_gradient_through_the_steps_it_is_the_lookahead(linear):
    """d/dt of -w_k.f with w_k a constant is -w_k."""
    run = linear({"unrolling": {"steps": 2, "through": False}})
    w = run.engine.modules["discriminator"].map.weight[0].detach().clone()
    turn = take(run)
    r, f = means(turn)
    assert torch.allclose(run.engine.modules["generator"].t.grad, -(w - 2 * RATE * (f - r)), atol=1e-6)
    assert not turn.overrides["discriminator"]["map.weight"].requires_grad


def test_the_saddle_is_minus_the_discriminators_loss_with_its_real_part(linear):
    """-L(w_1) = -w_1.(f - r) = -w.d + lr |d|^2, whose derivative in t is -w + 2 lr d."""
    run = linear({"unrolling": {"steps": 1, "objective": "saddle"}})
    w = run.engine.modules["discriminator"].map.weight[0].detach().clone()
    turn = take(run)
    r, f = means(turn)
    d = f - r
    assert list(turn.terms) == ["adversarial.saddle"]
    assert turn.terms["adversarial.saddle"].value.item() == pytest.approx((-w @ d + RATE * d @ d).item(), abs=1e-6)
    assert torch.allclose(run.engine.modules["generator"].t.grad, -w + 2 * RATE * d, atol=1e-6)


def test_the_saddle_of_no_steps_is_the_minimax_game(make_run, tiny):
    """-L(T_0) differs from the minimax loss's term by the real part, which does not depend on the generator."""
    plain = make_run(tiny(loss="minimax"))
    saddle = make_run(tiny(loss="minimax", tricks=[{"unrolling": {"steps": 0, "objective": "saddle"}}]))
    for run in (plain, saddle):
        take(run)
    for one, other in zip(plain.engine.parameters["generator"], saddle.engine.parameters["generator"]):
        assert torch.allclose(one.grad, other.grad, atol=1e-7)


def test_the_rate_and_the_weight_decay_are_those_of_now(linear):
    """w_1 = w - lr (d + decay w), with the rate of step 10 of 20: half of it; d/dt of -w_1.f is -w_1 + lr f."""
    optimizer = {"sgd": {"lr": {"linear": [RATE, 0.0]}, "weight_decay": 0.5}}
    run = linear({"unrolling": {"steps": 1}}, optimizer=optimizer)
    w = run.engine.modules["discriminator"].map.weight[0].detach().clone()
    r, f = means(take(run, step=10))
    expected = -(w - RATE / 2 * (f - r + 0.5 * w)) + RATE / 2 * f
    assert torch.allclose(run.engine.modules["generator"].t.grad, expected, atol=1e-6)
    assert run.engine.optimizers["discriminator"].param_groups[0]["lr"] == RATE  # its own turn has not come


def test_the_count_of_steps_can_be_scheduled(linear):
    run = linear({"unrolling": {"steps": {"steps": {0: 0, 10: 2}}}})
    w = run.engine.modules["discriminator"].map.weight[0].detach().clone()
    for step, count in ((9, 0), (10, 2)):
        r, f = means(take(run, step=step))
        assert torch.allclose(run.engine.modules["generator"].t.grad, -w + count * RATE * (2 * f - r), atol=1e-6)


# --- against a loop written by hand ---------------------------------------------------------------------------


def adam(parameters, slopes, states, *, lr, betas, eps=1e-8):
    """Adam written down once more, on lists."""
    found = []
    for parameter, g, state in zip(parameters, slopes, states):
        state["t"] += 1
        state["m"] = betas[0] * state["m"] + (1 - betas[0]) * g
        state["v"] = betas[1] * state["v"] + (1 - betas[1]) * g**2
        m, v = state["m"] / (1 - betas[0] ** state["t"]), state["v"] / (1 - betas[1] ** state["t"])
        found.append(parameter - lr * m / (v.sqrt() + eps))
    return found


@pytest.mark.parametrize("through", [True, False])
def test_two_steps_of_adam_are_those_of_a_loop_with_torchs_autograd(make_run, tiny, through):
    """After three steps of training, so that Adam has a state; non-saturating, on a perceptron, in float64."""
    optimizer = {"adam": {"lr": 0.01, "betas": [0.5, 0.9]}}
    tricks = [{"unrolling": {"steps": 2, "through": through}}]
    run = make_run(tiny(players=players(optimizer), tricks=tricks, train={"precision": "float64"}))
    with run.experiment.settings():
        for step in range(3):
            run.engine.step(step)
        turn = take(run, step=3)
    found = [p.grad.clone() for p in run.engine.parameters["generator"]]

    engine = run.engine
    net, names = (
        engine.modules["discriminator"],
        [name for name, _ in engine.modules["discriminator"].named_parameters()],
    )
    torch_state = engine.optimizers["discriminator"].state
    held = [torch_state[p] for p in net.parameters()]
    states = [{"t": int(s["step"]), "m": s["exp_avg"].clone(), "v": s["exp_avg_sq"].clone()} for s in held]
    z, real = turn.latents["z"], turn.real["x"]
    generator = engine.modules["generator"]
    fake = generator(z)
    ahead = [p.detach().clone().requires_grad_() for p in net.parameters()]
    for _ in range(2):
        logits = [functional_call(net, dict(zip(names, ahead)), (x,)).logits for x in (real, fake)]
        loss = nn.functional.softplus(-logits[0]).mean() + nn.functional.softplus(logits[1]).mean()
        slopes = torch.autograd.grad(loss, ahead, create_graph=True)
        ahead = adam(ahead, slopes, states, lr=0.01, betas=(0.5, 0.9))
        if not through:
            ahead = [p.detach().requires_grad_() for p in ahead]
            states = [
                {key: value.detach() if key != "t" else value for key, value in state.items()} for state in states
            ]
    score = functional_call(net, dict(zip(names, ahead)), (fake,)).logits
    expected = torch.autograd.grad(nn.functional.softplus(-score).mean(), list(generator.parameters()))
    for one, other in zip(found, expected):
        assert torch.allclose(one, other, rtol=1e-6, atol=1e-10)


# --- what it leaves alone -------------------------------------------------------------------------------------


def everything(run):
    """Copies of what the discriminator's player has: parameters, buffers, the state and settings of its optimiser."""
    module, optimizer = run.engine.modules["discriminator"], run.engine.optimizers["discriminator"]
    tensors = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    for i, entry in optimizer.state_dict()["state"].items():
        tensors |= {f"{i}.{name}": value.clone() for name, value in entry.items()}
    settings = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    return tensors, settings


BATCH_NORM = {"mlp": {"widths": [16, 16], "norm": "batch"}}


@pytest.mark.parametrize("objective", ["loss", "saddle"])
@pytest.mark.parametrize(
    ("discriminator", "tricks"), [(BATCH_NORM, []), ({"mlp": {"widths": [16], "norm": "none"}}, ["spectral-norm"])]
)
def test_the_discriminator_is_left_as_it_is(make_run, tiny, objective, discriminator, tricks):
    """Its weights, the statistics of BatchNorm, the vectors of spectral normalisation, Adam's state: to the bit; and no
    gradient.
    """
    run = make_run(
        tiny(discriminator=discriminator, tricks=[*tricks, {"unrolling": {"steps": 3, "objective": objective}}])
    )
    for step in range(2):
        run.engine.step(step)
    before, settings = everything(run)
    run.engine.optimizers["discriminator"].zero_grad(set_to_none=True)
    turn = take(run, step=2)
    after, settings_after = everything(run)
    assert settings == settings_after
    assert before.keys() == after.keys()
    assert [name for name in before if not torch.equal(before[name], after[name])] == []
    assert all(p.grad is None for p in run.engine.parameters["discriminator"])
    assert all(bool(p.grad.isfinite().all()) for p in run.engine.parameters["generator"])
    assert set(turn.overrides["discriminator"]) == {
        name for name, _ in run.engine.modules["discriminator"].named_parameters()
    }


@pytest.mark.parametrize("batches", ["separate", "joint"])
def test_a_step_sees_the_batch_statistics_of_the_discriminators_own_turn(make_run, tiny, batches):
    """SGD ahead is w - lr grad; with BatchNorm the gradient depends on whether both roles share a forward."""
    train = {"batches": batches, "precision": "float64"}
    optimizers = players({"sgd": {"lr": RATE}})
    run = make_run(
        tiny(discriminator=BATCH_NORM, players=optimizers, tricks=[{"unrolling": {"steps": 1}}], train=train)
    )
    with run.experiment.settings():
        turn = take(run)
    net, real, fake = run.engine.modules["discriminator"], turn.real["x"], turn.rounds[0].fake.x.detach()
    net.requires_grad_(True).zero_grad()
    logits = (
        net(torch.cat([real, fake])).logits.chunk(2) if batches == "joint" else [net(x).logits for x in (real, fake)]
    )
    (nn.functional.softplus(-logits[0]).mean() + nn.functional.softplus(logits[1]).mean()).backward()
    ahead = turn.overrides["discriminator"]
    assert all(torch.allclose(ahead[name], p - RATE * p.grad, rtol=0, atol=1e-12) for name, p in net.named_parameters())


def trained(run, count=4):
    for step in range(count):
        run.engine.step(step)
    return {
        f"{name}.{key}": value
        for name, module in run.engine.modules.items()
        for key, value in module.state_dict().items()
    }


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_no_steps_are_the_plain_run_bit_for_bit(make_run, tiny):
    assert same(trained(make_run(tiny(tricks=[{"unrolling": {"steps": 0}}]))), trained(make_run(tiny())))
    assert not same(trained(make_run(tiny(tricks=[{"unrolling": {"steps": 1}}]))), trained(make_run(tiny())))


def test_the_discriminators_turns_are_plain(make_run, tiny):
    """Its first turn, which comes first, has the gradients of the run without the trick."""
    runs = [make_run(tiny(tricks=tricks)) for tricks in ([], ["unrolling"])]
    turns = [take(run, "discriminator") for run in runs]
    assert turns[1].overrides == {}
    for one, other in zip(*(run.engine.parameters["discriminator"] for run in runs)):
        assert torch.equal(one.grad, other.grad)


# --- in company -----------------------------------------------------------------------------------------------


def test_each_of_two_discriminators_of_a_player_steps_on_its_own_game(make_run, small_cyclegan):
    """CycleGAN with SGD, one step: the loss of game b moves the weights of discriminator_b, half its weight, nothing
    else.
    """
    sgd = {"optimizer": {"sgd": {"lr": 0.1}}}
    run = make_run(
        small_cyclegan(players={"generator": sgd, "discriminator": sgd}, tricks=[{"unrolling": {"steps": 1}}])
    )
    turn = take(run)
    assert set(turn.overrides) == {"discriminator_a", "discriminator_b"}
    for round in turn.rounds:
        name = round.game.discriminator
        module = run.engine.modules[name]
        module.requires_grad_()
        losses = [
            (module(turn.real[round.game.name]).logits - 1).square().mean(),
            module(round.fake.x.detach()).logits.square().mean(),
        ]
        slopes = torch.autograd.grad(0.5 * sum(losses), list(module.parameters()))
        for (key, parameter), slope in zip(module.named_parameters(), slopes):
            assert torch.allclose(turn.overrides[name][key], parameter - 0.1 * slope, atol=1e-5)
        module.requires_grad_(False)


class OwnsAHead(nn.Module):
    """A perceptron whose last layer belongs to another player."""

    takes = frozenset({"points"})

    def __init__(self, interface):
        super().__init__()
        self.body, self.last = nn.Linear(2, 4), nn.Linear(4, 1)

    def forward(self, x):
        return DiscriminatorOutput(self.last(torch.tanh(self.body(x))).squeeze(1))


def test_only_parameters_of_the_discriminators_player_are_unrolled(make_run, tiny):
    from ganrun.words.hooks import hookimpl

    class Split:
        strength = ""
        restructures = "the last layer belongs to the generator's player"

        @hookimpl
        def plan(self, plan):
            first, second = plan.description.players
            judge, maker = (first, second) if first.name == "discriminator" else (second, first)
            judge.without = ["discriminator.last"]
            maker.modules = [*maker.modules, "discriminator.last"]

    plugins = {"discriminator.headed": OwnsAHead, "trick.split": Split}
    run = make_run(tiny(discriminator="headed", tricks=["split", {"unrolling": {"steps": 2}}]), plugins)
    assert set(take(run).overrides["discriminator"]) == {"body.weight", "body.bias"}


@pytest.mark.parametrize(
    "changes",
    [
        {"train": {"accumulate": 2}},
        {"train": {"batches": "joint"}},
        {"train": {"precision": "bfloat16"}},
        {"loss": "least-squares"},
        {"discriminator": BATCH_NORM, "train": {"batches": "joint"}},
        {"tricks": ["unrolling", "unrolling"]},
        {"tricks": ["label-smoothing", "instance-noise", "replay-buffer", {"unrolling": {"objective": "saddle"}}]},
        {"players": players("rmsprop")},
        {"players": players({"sgd": {"momentum": 0.9, "nesterov": True}})},
    ],
)
def test_unrolling_trains_to_finite_weights(make_run, tiny, changes):
    state = trained(make_run(tiny(**{"tricks": ["unrolling"], **changes})), 3)
    assert all(bool(tensor.isfinite().all()) for tensor in state.values())


def test_an_optimiser_without_a_differentiable_step_is_refused(linear):
    """There is nothing to differentiate through: the way of its state is hidden in torch's own step."""
    assert not hasattr(Plain, "differentiable_step")
    assert hasattr(SGD, "differentiable_step")
    with pytest.raises(RefusedError, match="no differentiable step"):
        linear("unrolling", optimizer="plain")

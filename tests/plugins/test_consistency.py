"""Consistency, balanced and of latents, on linear networks: values and gradients by hand, stages, buffers."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ganrun.randomness import Draws
from ganrun.schedule import Scheduled, first_value
from ganrun.training.build import RefusedError
from ganrun.words.game import DiscriminatorOutput, Game, Round
from ganrun.words.hooks import hookimpl
from ganrun.words.spaces import Interface, Space
from ganrun_plugins.tricks._consistency import Transform, distance, moved_image, squared
from ganrun_plugins.tricks.latent_consistency import LatentConsistency

IMAGE = Space("image", (1, 4, 4))


class LinearDiscriminator(nn.Module):
    """D(x) = w.x + b on points, w = (2, -1), b = 3."""

    takes = frozenset({"points"})

    def __init__(self, interface: Interface) -> None:
        super().__init__()
        self.w, self.b = nn.Parameter(torch.empty(2)), nn.Parameter(torch.empty(()))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        with torch.no_grad():
            self.w.copy_(torch.tensor([2.0, -1.0]))
            self.b.fill_(3.0)

    def forward(self, x):
        return DiscriminatorOutput(x @ self.w + self.b)


class ForgetfulDiscriminator(LinearDiscriminator):
    def __init__(self, interface: Interface) -> None:
        super().__init__(interface)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        return super().forward(self.drop(x))


class LinearGenerator(nn.Module):
    """G(z) = z A, latents of 3 numbers to points."""

    takes, makes = frozenset({"latent"}), frozenset({"points"})

    def __init__(self, interface: Interface) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor([[1.0, 0.0], [0.5, -2.0], [0.0, 3.0]]))

    def forward(self, z):
        return z @ self.a


def tap(see):
    """A trick class that hands every turn to ``see`` after the terms are collected."""

    class Tap:
        strength = ""

        @hookimpl(trylast=True)
        def losses(self, turn):
            see(turn)

    return Tap


class Moved:
    """An augmentation that adds 3 to every coordinate."""

    strength = ""
    provides = frozenset({"augmented"})

    @hookimpl
    def augment(self, turn, call):
        call.x = call.x + 3.0


class Unnamed(Moved):
    """The same, but it does not say that it augments."""

    provides = frozenset()


@pytest.fixture
def turns(make_run, tiny):
    """A function: train a linear GAN on points with some tricks, and hand every turn to ``see``. Returns the run."""

    def train(tricks, see=lambda turn: None, steps=1, **changes):
        plugins = {
            "discriminator.linear": LinearDiscriminator,
            "discriminator.forgetful": ForgetfulDiscriminator,
            "generator.linear": LinearGenerator,
            "trick.tap": tap(see),
            "trick.moved": Moved,
            "trick.unnamed": Unnamed,
        }
        networks = {"generator": "linear", "discriminator": "linear", "variant": {"gan": {"latent": 3}}}
        run = make_run(tiny(**{**networks, "tricks": [*tricks, "tap"], **changes}), plugins)
        for step in range(steps):
            run.engine.step(step)
        return run

    return train


def noise_of(turn, purpose: str, count: int, *shape: int) -> list[torch.Tensor]:
    """The first draws of a purpose in a turn."""
    draws = Draws(turn.draws.key)
    return [draws.normal(purpose, *shape) for _ in range(count)]


# --- the distance ---------------------------------------------------------------------------------------------


def test_distance_of_one_logit_a_sample():
    assert squared(torch.tensor([1.0, 5.0]), torch.tensor([3.0, 4.5])).tolist() == [4.0, 0.25]


def test_distance_of_vector_logits_is_the_squared_norm():
    assert squared(torch.tensor([[1.0, 2.0]]), torch.tensor([[4.0, -2.0]])).tolist() == [25.0]  # 3^2 + 4^2


def test_distance_of_patches_is_their_mean():
    one, other = torch.zeros(1, 1, 1, 2), torch.tensor([[[[1.0, 3.0]]]])
    assert squared(one, other).tolist() == [5.0]  # (1 + 9) / 2
    vectors = torch.cat([other, 2 * other], 1)  # (1, 2, 1, 2): per patch 1 + 4 and 9 + 36
    assert squared(torch.zeros_like(vectors), vectors).tolist() == [25.0]


def test_distance_is_at_least_float32():
    half = torch.tensor([1.0], dtype=torch.bfloat16)
    assert squared(half, half).dtype == torch.float32
    assert squared(half.double(), half.double()).dtype == torch.float64


def test_heads_are_compared_if_asked_for():
    one = DiscriminatorOutput(torch.tensor([1.0]), heads={"class": torch.tensor([[1.0, 0.0]])})
    other = DiscriminatorOutput(torch.tensor([0.0]), heads={"class": torch.tensor([[0.0, 2.0]])})
    assert distance(one, other, heads=False).tolist() == [1.0]
    assert distance(one, other, heads=True).tolist() == [6.0]  # 1 + (1 + 4)


# --- T --------------------------------------------------------------------------------------------------------


def test_an_image_is_shifted_and_what_moves_in_is_zero():
    """A quarter of 4 pixels is 1; 0.99 is the largest shift (down, right), 0 the largest the other way, 0.5 none."""
    x = torch.arange(1.0, 17.0).reshape(1, 1, 4, 4)
    still = torch.tensor([False])
    assert torch.equal(moved_image(x, still, torch.tensor([[0.5, 0.5]]), 0.25), x)
    down = moved_image(x, still, torch.tensor([[0.99, 0.5]]), 0.25)
    assert down[0, 0].tolist() == [[0, 0, 0, 0], [1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]
    left = moved_image(x, still, torch.tensor([[0.5, 0.0]]), 0.25)
    assert left[0, 0].tolist() == [[2, 3, 4, 0], [6, 7, 8, 0], [10, 11, 12, 0], [14, 15, 16, 0]]
    flipped = moved_image(x, torch.tensor([True]), torch.tensor([[0.5, 0.0]]), 0.25)
    assert flipped[0, 0, 0].tolist() == [3, 2, 1, 0]  # mirrored first: 4 3 2 1


def test_every_sample_is_moved_for_itself():
    x = torch.arange(1.0, 17.0).reshape(1, 1, 4, 4).expand(2, 3, 4, 4)
    moved = moved_image(x, torch.tensor([False, True]), torch.tensor([[0.99, 0.5], [0.5, 0.5]]), 0.25)
    assert moved.shape == x.shape
    assert torch.equal(moved[0, 2, 1:], x[0, 2, :-1])
    assert torch.equal(moved[1], x[1].flip(2))


def image_turn(given=()):
    interfaces = {"discriminator": Interface(IMAGE, given=given)}
    return SimpleNamespace(draws=Draws(("test",)), interfaces=interfaces, now=first_value)


def test_shifts_are_uniform_up_to_the_eighth_of_a_side():
    transform = Transform(False, Scheduled(0.125), Scheduled(0.0))
    x = torch.zeros(3000, 1, 16, 16)
    x[:, :, 8, 8] = 1.0
    game = Game("g", "discriminator", "discriminator", space="image")
    moved, _ = transform(image_turn(), Round(game, "discriminator", []), x, ())
    rows, columns = (moved.amax((1, axis)).argmax(1) - 8 for axis in (3, 2))  # how far the bright pixel went
    for shift in (rows, columns):
        assert [int(v) for v in shift.unique()] == [-2, -1, 0, 1, 2]
        assert torch.bincount(shift + 2).min() > 500  # 600 each


def test_given_images_are_moved_as_the_sample_and_labels_are_left_alone():
    transform = Transform(True, Scheduled(0.3), Scheduled(0.0))
    x, labels = torch.randn(16, 1, 4, 4), torch.arange(16)
    game = Game("g", "discriminator", "discriminator", space="image")
    turn = image_turn((IMAGE, Space("labels", classes=16)))
    moved, given = transform(turn, Round(game, "discriminator", []), x, (2 * x, labels))
    assert torch.equal(given[0], 2 * moved)
    assert given[1] is labels
    assert not torch.equal(moved, x)


# --- consistency ----------------------------------------------------------------------------------------------


def test_value_and_gradient_on_a_linear_discriminator(turns):
    """D(x) - D(x + s n) = -s w.n, so the value is s^2 mean (w.n)^2, and its gradient at w 2 s^2 mean (w.n) n.

    Were one branch cut, the gradient would hold x, and b would have one.
    """
    seen = []

    def see(turn):
        if turn.player == "discriminator":
            term, d = turn.terms["adversarial.consistency"], turn.networks["discriminator"]
            grads = torch.autograd.grad(term.value, [d.w, d.b], retain_graph=True)
            seen.append((turn, term.value.detach(), term.weight, d.w.detach().clone(), grads))

    turns([{"consistency": {"sigma": 0.5, "weight": 7.0}}], see)
    ((turn, value, weight, w, (grad_w, grad_b)),) = seen
    (n,) = noise_of(turn, "consistency noise", 1, 8, 2)
    assert weight == 7.0
    torch.testing.assert_close(value, 0.25 * (n @ w).square().mean())
    torch.testing.assert_close(grad_w, 0.5 * ((n @ w)[:, None] * n).mean(0))
    assert grad_b.abs() < 1e-5


def test_the_generator_has_no_such_term(turns):
    terms = {}
    turns(["consistency"], lambda turn: terms.update({turn.player: set(turn.terms)}))
    assert terms["discriminator"] == {"adversarial.real", "adversarial.fake", "adversarial.consistency"}
    assert terms["generator"] == {"adversarial.fake"}


def test_under_an_augmentation_the_sample_as_it_is_is_compared(turns):
    """D(x + 3) - D(x) = 3 (2 - 1) = 3, whatever T would be."""
    run = turns([{"consistency": {"sigma": 5.0}}, "moved"])
    assert run.engine.terms["discriminator"]["adversarial.consistency"].item() == pytest.approx(9.0, rel=1e-4)


def test_otherwise_both_calls_pass_the_same_stages(turns):
    """Both samples are moved by 3 if nothing says that this is an augmentation, so only T is between them."""
    run = turns([{"consistency": {"sigma": 0.0}}, "unnamed"])
    assert run.engine.terms["discriminator"]["adversarial.consistency"].item() == 0.0


def test_two_instances_draw_and_add_for_themselves(turns):
    terms = turns(["consistency", "consistency"]).engine.terms["discriminator"]
    assert terms["adversarial.consistency"] != terms["adversarial.consistency2"]


def test_dropout_is_warned_of(turns):
    for trick in ("consistency", "balanced-consistency", "latent-consistency"):
        (warning,) = turns([trick], steps=0, discriminator="forgetful").experiment.warnings
        assert warning.part == f"trick {trick}"
        assert "dropout" in warning.why


# --- balanced-consistency -------------------------------------------------------------------------------------


def test_the_balanced_form_has_a_term_for_each_role(turns):
    seen = []

    def see(turn):
        if turn.player == "discriminator":
            seen.append((turn, dict(turn.terms), turn.networks["discriminator"].w.detach().clone()))

    turns([{"balanced-consistency": {"sigma": 0.5, "weight": 0.5, "real": 4.0}}], see)
    ((turn, terms, w),) = seen
    # 0.5 * 4 and 0.5 * 10
    for role, weight, n in zip(("real", "fake"), (2.0, 5.0), noise_of(turn, "consistency noise", 2, 8, 2)):
        term = terms[f"adversarial.consistency_{role}"]
        assert term.weight == weight
        torch.testing.assert_close(term.value, 0.25 * (n @ w).square().mean())


def test_both_forms_together_are_refused_and_each_twice_is_not(turns):
    """They would count (D(x) - D(T x))^2 of real samples twice."""
    with pytest.raises(RefusedError) as error:
        turns(["consistency", "balanced-consistency"], steps=0)
    assert {refused.part for refused in error.value.refusals} == {"trick consistency", "trick balanced-consistency"}
    assert all("counted twice" in refused.why for refused in error.value.refusals)
    names = []
    turns(["balanced-consistency", "balanced-consistency"], lambda turn: names.append(set(turn.terms)))
    assert {"adversarial.consistency_real", "adversarial.consistency_real2", "adversarial.consistency_fake2"} <= names[
        0
    ]


# --- latent-consistency ---------------------------------------------------------------------------------------


def latent_terms(turns, trick, tricks=(), steps=1):
    """Player -> (turn, term, w, A, gradient of the term at A) of the last step."""
    seen = {}

    def see(turn):
        modules = turn.networks
        (term,) = [t for n, t in turn.terms.items() if "latent_consistency" in n]
        grad = (
            torch.autograd.grad(term.value, modules["generator"].a, retain_graph=True)[0]
            if turn.player == "generator"
            else None
        )
        seen[turn.player] = (
            turn,
            term,
            modules["discriminator"].w.detach().clone(),
            modules["generator"].a.detach().clone(),
            grad,
        )

    turns([*tricks, {"latent-consistency": trick}], see, steps)
    return seen


def test_latent_consistency_on_linear_networks(turns):
    """G(z) - G(z + s n) = -s n A: the discriminator's term is s^2 mean (n A w)^2, the generator's s^2 mean (n A)^2.

    The gradient of the latter at A is 2 s^2 n' n A / (B D), which needs both G(z) and G(z + delta) in the graph.
    """
    seen = latent_terms(turns, {"sigma": 0.2, "weight": 2.0})
    turn, term, w, a, _ = seen["discriminator"]
    (n,) = noise_of(turn, "latent-consistency", 1, 8, 3)
    assert term.weight == 10.0  # 2 * 5
    torch.testing.assert_close(term.value.detach(), 0.04 * (n @ a @ w).square().mean(), rtol=1e-4, atol=1e-6)
    turn, term, w, a, grad = seen["generator"]
    (n,) = noise_of(turn, "latent-consistency", 1, 8, 3)
    assert term.weight == -1.0  # 2 * -0.5
    torch.testing.assert_close(term.value.detach(), 0.04 * (n @ a).square().mean(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(grad, 0.08 * n.T @ n @ a / 16, rtol=1e-4, atol=1e-6)


def test_the_generators_distance_can_be_a_sum(turns):
    mean, summed = (latent_terms(turns, {"distance": d})["generator"][1].value.item() for d in ("mean", "sum"))
    assert summed == pytest.approx(2 * mean, rel=1e-4)  # points have 2 numbers


def test_swapped_fakes_are_not_taken_for_those_of_this_turns_latents(turns):
    """With a replay buffer the rows shown to the discriminator are older fakes; the value is still that of z and z +
    delta.
    """
    seen = latent_terms(turns, {"sigma": 0.2}, [{"replay-buffer": {"size": 8, "p": 1.0}}], steps=4)
    turn, term, w, a, _ = seen["discriminator"]
    assert turn.rounds[0].fake.latent is None
    (n,) = noise_of(turn, "latent-consistency", 1, 8, 3)
    torch.testing.assert_close(term.value.detach(), 0.04 * (n @ a @ w).square().mean(), rtol=1e-4, atol=1e-6)


def test_labels_among_the_latents_stay():
    z, label = torch.zeros(4, 3), torch.arange(4)
    turn = SimpleNamespace(latents={"z": z, "label": label}, draws=Draws(("test",)), now=first_value, with_latents=dict)
    moved = LatentConsistency(sigma=Scheduled(0.5))._moved(turn)
    assert moved["label"] is label
    assert torch.equal(moved["z"], 0.5 * Draws(("test",)).normal("latent-consistency", 4, 3))
    assert turn.latents["z"] is z


def test_latent_consistency_is_refused_where_there_is_no_latent(make_run, small_cyclegan):
    with pytest.raises(RefusedError) as error:
        make_run(small_cyclegan(tricks=["latent-consistency"]))
    assert [refused.why for refused in error.value.refusals] == [
        "fakes are made from no latent, so there is none to move"
    ]


# --- buffers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trick", ["consistency", "balanced-consistency", "latent-consistency"])
def test_consistency_calls_leave_batch_statistics_alone(make_run, tiny, trick):
    """With no weight, three steps end in the same weights and running statistics as without the trick."""
    networks = {kind: {"mlp": {"widths": [8, 8], "norm": "batch"}} for kind in ("generator", "discriminator")}
    states = []
    for tricks in ([], [{trick: {"weight": 0.0}}]):
        run = make_run(tiny(**networks, tricks=tricks))
        for step in range(3):
            run.engine.step(step)
        states.append({f"{n}.{k}": v for n, m in run.engine.modules.items() for k, v in m.state_dict().items()})
    assert any(name.endswith("running_mean") for name in states[0])
    assert [name for name in states[0] if not torch.equal(states[0][name], states[1][name])] == []


@pytest.mark.parametrize("trick", ["consistency", "balanced-consistency"])
def test_patches_of_both_games_of_a_cyclegan(make_run, small_cyclegan, trick):
    run = make_run(small_cyclegan(tricks=[trick]))
    run.engine.step(0)
    found = {name for name in run.engine.terms["discriminator"] if "consistency" in name}
    roles = ("",) if trick == "consistency" else ("_real", "_fake")
    assert found == {f"{game}.consistency{role}" for game in "ab" for role in roles}
    assert all(run.engine.terms["discriminator"][name] > 0 for name in found)

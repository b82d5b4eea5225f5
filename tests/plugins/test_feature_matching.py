"""Feature-matching on linear networks: values and gradients by hand, what the features are of, what stays."""

import pytest
import torch
from torch import nn

from ganrun.training.build import RefusedError
from ganrun.words.game import DiscriminatorOutput
from ganrun.words.hooks import hookimpl
from ganrun.words.spaces import Interface


class Layered(nn.Module):
    """D(x) = x1 + x2 with features 2 x, then (x1, x1 - x2, 5)."""

    takes = frozenset({"points"})
    provides = frozenset({"features"})

    def __init__(self, interface: Interface) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        x = self.scale * x
        last = torch.stack([x[:, 0], x[:, 0] - x[:, 1], torch.full_like(x[:, 0], 5.0)], 1)
        return DiscriminatorOutput(x.sum(1), [2 * x, last])


class Blind(Layered):
    """It returns no features."""

    provides = frozenset()

    def forward(self, x):
        return DiscriminatorOutput(super().forward(x).logits)


class LinearGenerator(nn.Module):
    """G(z) = z A."""

    takes, makes = frozenset({"latent"}), frozenset({"points"})

    def __init__(self, interface: Interface) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor([[1.0, 0.0], [0.5, -2.0], [0.0, 3.0]]))

    def forward(self, z):
        return z @ self.a


class Shifted:
    """Adds 100 to whatever passes the stage of noise."""

    strength = ""

    @hookimpl
    def corrupt(self, turn, call):
        call.x = call.x + 100.0


@pytest.fixture
def turns(make_run, tiny):
    """A function: train a GAN with the networks above and some tricks; every turn is handed to ``see`` before its
    backward pass.
    """

    def train(tricks, see=lambda turn: None, steps=1, plugins=None, **changes):
        class Tap:
            strength = ""

            @hookimpl(trylast=True)
            def losses(self, turn):
                see(turn)

        named = {
            "discriminator.layered": Layered,
            "discriminator.blind": Blind,
            "generator.linear": LinearGenerator,
            "trick.tap": Tap,
            "trick.shifted": Shifted,
            **(plugins or {}),
        }
        networks = {"generator": "linear", "discriminator": "layered", "variant": {"gan": {"latent": 3}}}
        run = make_run(tiny(**{**networks, "tricks": [*tricks, "tap"], **changes}), named)
        for step in range(steps):
            run.engine.step(step)
        return run

    return train


def means_of(turn, scale: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean real sample and the mean fake of a turn, as the discriminator scales them."""
    return scale * turn.real["x"].mean(0), scale * turn.made["x"].mean(0)


def test_feature_matching_by_hand(turns):
    """With d the difference of the mean samples, the last layer's is (d1, d1 - d2, 0), the first one's 2 d."""
    seen = []
    tricks = [{"feature-matching": parameters} for parameters in ({}, {"layers": "all", "weight": 0.5}, {"norm": "l1"})]
    turns(tricks, lambda turn: seen.append((turn, turn.networks["discriminator"].scale.detach().clone())))
    assert "adversarial.feature_matching" not in seen[0][0].terms
    turn, scale = seen[1]
    real, fake = means_of(turn, scale)
    d1, d2 = real - fake
    last = d1**2 + (d1 - d2) ** 2
    found = [turn.terms[f"adversarial.feature_matching{number}"] for number in ("", "2", "3")]
    expected = [last, last + 4 * (d1**2 + d2**2), (d1.abs() + (d1 - d2).abs()) / 3]
    for term, value in zip(found, expected):
        torch.testing.assert_close(term.value, value)
    assert [term.weight for term in found] == [1.0, 0.5, 1.0]


def test_adversarial_is_the_weight_of_the_games_own_terms(turns):
    weights = {}

    def see(turn):
        weights[turn.player] = {name: term.weight for name, term in turn.terms.items()}

    turns([{"feature-matching": {"adversarial": 0.25, "weight": 3.0}}], see)
    assert weights["generator"] == {"adversarial.fake": 0.25, "adversarial.feature_matching": 3.0}
    assert weights["discriminator"] == {"adversarial.real": 1.0, "adversarial.fake": 1.0}


def test_feature_matching_alone_moves_the_generator_by_its_own_gradient(turns):
    """|d|^2 of the first coordinate d1 = mean(real - z A) and d1 - d2: the gradient at A is -2 mean(z)' (d1 + (d1 -
    d2), -(d1 - d2)).
    """
    seen = {}

    def see(turn):
        if turn.player == "generator":
            scale = turn.networks["discriminator"].scale.detach().clone()
            real, fake = means_of(turn, scale)
            d1, d2 = (real - fake).detach()
            toward = torch.stack([d1 + (d1 - d2), -(d1 - d2)])
            seen["expected"] = -2 * scale * turn.latents["z"].mean(0)[:, None] * toward

    run = turns([{"feature-matching": {"adversarial": 0.0}}], see)
    torch.testing.assert_close(run.engine.modules["generator"].a.grad, seen["expected"])


def test_real_samples_send_no_gradient(turns):
    """Neither to the discriminator's parameters nor to the samples."""
    leaves, grads = [], []

    class Leaf:
        strength = ""

        @hookimpl
        def pack(self, turn, call):
            if call.tag == "feature" and call.role == "real":
                call.x = call.x.clone().requires_grad_()
                leaves.append(call.x)

        @hookimpl
        def phase_start(self, turn):
            turn.networks["discriminator"].scale.grad = None

        @hookimpl
        def gradients(self, turn):
            grads.append(turn.networks["discriminator"].scale.grad)

    turns(["feature-matching", "leaf"], plugins={"trick.leaf": Leaf})
    assert len(leaves) == 1
    assert leaves[0].grad is None
    assert grads[0] is not None
    assert grads[1] is None


def test_features_are_of_clean_samples_and_real_ones_take_no_part_in_the_game(turns):
    seen = []
    turns(
        ["shifted", "feature-matching"],
        lambda turn: seen.append((turn, turn.networks["discriminator"].scale.detach().clone())),
    )
    turn, scale = seen[1]
    real, fake = means_of(turn, scale)
    d1, d2 = real - fake
    torch.testing.assert_close(turn.terms["adversarial.feature_matching"].value, d1**2 + (d1 - d2) ** 2)
    assert [stream.role for stream in turn.rounds[0].streams] == ["fake"]


def test_feature_matching_of_no_weight_leaves_batch_statistics_alone(make_run, tiny):
    network = {"mlp": {"widths": [8, 8], "norm": "batch"}}
    states = []
    for tricks in ([], [{"feature-matching": {"weight": 0.0}}]):
        run = make_run(tiny(discriminator=network, tricks=["instance-noise", *tricks]))
        for step in range(3):
            run.engine.step(step)
        states.append({f"{n}.{k}": v for n, m in run.engine.modules.items() for k, v in m.state_dict().items()})
    assert [name for name in states[0] if not torch.equal(states[0][name], states[1][name])] == []


def test_feature_matching_needs_features(turns):
    with pytest.raises(RefusedError) as error:
        turns(["feature-matching"], steps=0, discriminator="blind")
    assert "activations" in error.value.refusals[0].why


def test_feature_matching_in_both_games_of_a_cyclegan(make_run, small_cyclegan):
    run = make_run(small_cyclegan(tricks=["feature-matching"]))
    run.engine.step(0)
    assert {name for name in run.engine.terms["generator"] if "matching" in name} == {
        "a.feature_matching",
        "b.feature_matching",
    }

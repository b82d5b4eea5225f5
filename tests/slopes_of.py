"""Discriminators whose slopes are known, and a turn around them, for tests of penalties."""

from types import SimpleNamespace

import torch
from torch import nn

from ganrun.engine.turn import Turn
from ganrun.randomness import Draws
from ganrun.schedule import Clock
from ganrun.training.build import event_manager
from ganrun.words.game import DiscriminatorOutput, Game, Phase, Round, Stream
from ganrun_plugins.losses.non_saturating import NonSaturating


class Linear(nn.Module):
    """D(x) = w.x + b over all numbers of a sample; with patches > 1, a map of that many equal logits."""

    def __init__(self, w, b=0.0, patches=1):
        super().__init__()
        self.w, self.b, self.patches = nn.Parameter(torch.tensor(w)), nn.Parameter(torch.tensor(b)), patches
        self.seen = []

    def forward(self, x, *given):
        self.seen.append((x.detach().clone(), given))
        logits = x.flatten(1) @ self.w.flatten() + self.b  # (B,)
        return DiscriminatorOutput(
            logits if self.patches == 1 else logits.reshape(-1, 1, 1, 1).expand(-1, 1, 1, self.patches)
        )


class Quadratic(nn.Module):
    """D(x) = x'Ax / 2, whose slope at x is (A + A')x / 2."""

    def __init__(self, a):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a))
        self.seen = []

    def forward(self, x, *given):
        self.seen.append((x.detach().clone(), given))
        return DiscriminatorOutput(torch.einsum("bi,ij,bj->b", x, self.a, x) / 2)


class Known:
    """Draws that were written down: purpose -> numbers."""

    def __init__(self, **numbers):
        self.numbers = {name.replace("_", "-"): torch.tensor(value) for name, value in numbers.items()}

    def uniform(self, purpose, n, *shape):
        found = self.numbers[purpose.replace(" ", "-")]
        assert found.shape == (n, *shape)
        return found

    normal = uniform


def stand(discriminator, real, fake, *, loss=None, tricks=(), draws=None, step=0):
    """A turn of the discriminator with one round, without a run around it."""
    engine = SimpleNamespace(
        modules={"discriminator": discriminator},
        hooks=event_manager(list(tricks)),
        experiment=SimpleNamespace(games=[], loss=lambda game: loss or NonSaturating()),
        device=torch.device("cpu"),
        settings=SimpleNamespace(batches="separate"),
        mean_over_processes=lambda tensor: tensor.detach(),
        seed_forward=lambda turn: 0,
        clock=Clock(100, 4, 100),
    )
    draws = draws or Draws(("test", step))
    turn = Turn(
        engine,
        Phase("discriminator", "discriminator"),
        step=step,
        draws=draws,
        modules=engine.modules,
        batch_size=len(real),
    )
    game = Game("adversarial", "discriminator", "discriminator", ["generator"])
    turn.rounds = [
        Round(game, "discriminator", [Stream(torch.as_tensor(real), "real"), Stream(torch.as_tensor(fake), "fake")])
    ]
    return turn


def paid(trick, turn):
    """The term of a penalty, and the gradient of weight * value by parameter name."""
    trick.losses(turn)
    (name,) = turn.terms
    assert name == f"adversarial.{trick.label}"
    term, module = turn.terms[name], turn.networks["discriminator"]
    grads = torch.autograd.grad(term.weight * term.value, list(module.parameters()), allow_unused=True)
    return term, {key: grad for (key, _), grad in zip(module.named_parameters(), grads)}


def close(tensor, numbers):
    return torch.allclose(tensor, torch.tensor(numbers, dtype=tensor.dtype), rtol=1e-6, atol=1e-6)

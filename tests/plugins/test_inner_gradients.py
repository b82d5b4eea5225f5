"""A discriminator with a gradient inside: it is that of its output in its own input, whatever its weights depend on."""

import pytest
import torch
from torch import nn

from ganrun.words.game import DiscriminatorOutput

RATE = 0.25


class Slope(nn.Module):
    """D(x) = w.x + b - |grad_x (w.x + b)|^2 / 2."""

    takes = frozenset({"points"})

    def __init__(self, interface):
        super().__init__()
        self.map = nn.Linear(interface.takes.size, 1)

    def forward(self, x):
        with torch.enable_grad():
            x = x if x.requires_grad else x.detach().requires_grad_()
            line = self.map(x).squeeze(1)
            (slope,) = torch.autograd.grad(line.sum(), x, create_graph=True)
        return DiscriminatorOutput(line - slope.square().sum(1) / 2)


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


PLUGINS = {"discriminator.slope": Slope, "generator.shift": Shift, "loss.difference": Difference}


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_under_unrolling_it_does_not_run_through_the_steps(make_run, tiny, steps):
    """It is w_k, though w_k depends on the fakes. |w|^2 / 2 is the same for fakes and real samples, so the steps are
    those of the line: w_k = w - k lr (f - r), dw_k/dt = -k lr, and -w_k.f + |w_k|^2 / 2 adds w_k dw_k/dt.
    """
    players = {name: {"optimizer": {"sgd": {"lr": RATE}}} for name in ("generator", "discriminator")}
    parts = {"generator": "shift", "discriminator": "slope", "loss": "difference", "players": players}
    run = make_run(tiny(tricks=[{"unrolling": {"steps": steps}}], **parts), PLUGINS)
    w = run.engine.modules["discriminator"].map.weight[0].detach().clone()
    (phase,) = [phase for phase in run.experiment.phases if phase.player == "generator"]
    turn = run.engine.take(phase, 0, 0, [])
    (round,) = turn.rounds
    r, f = turn.real["x"].mean(0), round.fake.x.detach().mean(0)
    expected = -w + steps * RATE * (2 * f - r) - steps * RATE * (w - steps * RATE * (f - r))
    assert torch.allclose(run.engine.modules["generator"].t.grad, expected, atol=1e-6)

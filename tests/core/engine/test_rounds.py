"""Rounds: scores, targets, the discriminator's loss as a function, and symmetric games."""

import pytest
import torch
from listener import listener
from torch.nn import functional as F

from ganrun.schedule import Scheduled
from ganrun.words.hooks import hookimpl


class TwoNumbers:
    """A loss on two numbers a sample; the opinion is their difference."""

    provides = frozenset({"targets", "per-sample-generator"})
    real_in_generator = False
    logits = 2

    def targets(self, role):
        return Scheduled({"linear": [1.0, 0.0], "until": 10}) if role == "real" else 0.0

    def score(self, round, logits):
        return logits[:, 1] - logits[:, 0]

    def discriminator(self, round):
        return {s: (self.score(round, s.logits) - s.target).square() for s in round.streams}

    def generator(self, round):
        return {
            s: -round.now(Scheduled({"linear": [1.0, 2.0], "until": 10})) * self.score(round, s.logits)
            for s in round.of("fake")
        }


def test_a_loss_gets_as_many_numbers_as_it_asks_for_and_targets_of_its_score(tiny, make_run):
    seen = []
    trick = listener(
        "losses",
        lambda turn: seen.extend(
            (s.logits.shape, s.target.shape, s.target[0].item()) for s in turn.rounds[0].of("real")
        ),
    )
    run = make_run(tiny(loss="two", tricks=["look"]), {"loss.two": TwoNumbers, "trick.look": trick})
    run.engine.step(0)
    run.engine.step(5)
    assert [entry[:2] for entry in seen] == [((8, 2), (8,))] * 2
    assert [entry[2] for entry in seen] == [1.0, 0.5], "a target may be scheduled"


def test_targets_are_exact_in_mixed_precision(tiny, make_run):
    """0.9 would be 0.8984375 in bfloat16."""
    found = []
    look = listener(
        "losses", lambda turn: found.extend((s.logits.dtype, s.target[0].item()) for s in turn.rounds[0].of("real"))
    )
    recipe = tiny(tricks=[{"label-smoothing": {"real": 0.9}}, "look"], train={"precision": "bfloat16"})
    run = make_run(recipe, {"trick.look": look})
    run.engine.step(0)
    assert found == [(torch.bfloat16, pytest.approx(0.9, abs=1e-7))]


def test_a_loss_reads_scheduled_numbers_of_its_round(tiny, make_run):
    terms = []

    def look(turn):
        if turn.player == "generator":
            output = turn.rounds[0].fake.output
            terms.append((turn.terms["adversarial.fake"].value / -turn.score(turn.rounds[0], output).mean()).item())

    run = make_run(tiny(loss="two", tricks=["look"]), {"loss.two": TwoNumbers, "trick.look": listener("losses", look)})
    run.engine.step(0)
    run.engine.step(5)
    assert terms == pytest.approx([1.0, 1.5])


def test_without_a_score_the_logits_are_the_opinion(tiny, make_run):
    found = []

    def look(turn):
        output = turn.rounds[0].fake.output
        found.append(turn.score(turn.rounds[0], output) is output.logits)

    make_run(tiny(tricks=["look"]), {"trick.look": listener("losses", look)}).engine.step(0)
    assert found == [True, True]


def test_the_discriminators_loss_is_what_its_turn_minimises_and_leaves_the_round_alone(tiny, make_run):
    found = {}

    def look(turn):
        if turn.player == "discriminator":
            round = turn.rounds[0]
            outputs = [stream.output for stream in round.streams]
            found["again"] = turn.discriminator_loss(round).item()
            found["terms"] = sum(term.value for term in turn.terms.values()).item()
            found["kept"] = [stream.output for stream in round.streams] == outputs

    make_run(tiny(tricks=["look"]), {"trick.look": listener("losses", look)}).engine.step(0)
    assert found["again"] == found["terms"]
    assert found["kept"]


def test_the_discriminators_loss_is_a_function_of_overrides(tiny, make_run):
    found = {}

    def look(turn):
        if turn.player == "generator":
            module = turn.networks["discriminator"]
            zeros = {name: torch.zeros_like(p, requires_grad=True) for name, p in module.named_parameters()}
            loss = turn.discriminator_loss(turn.rounds[0], overrides=zeros)
            found["value"] = loss.item()
            found["slope"] = torch.autograd.grad(loss, zeros["output.bias"])[0].item()

    class Wanting(listener("losses", look)):
        @hookimpl
        def phase_start(self, turn):
            turn.wanted.add("real")

    make_run(tiny(tricks=["look"]), {"trick.look": Wanting}).engine.step(0)
    assert found["value"] == pytest.approx(2 * 0.6931472), "a discriminator of zeros has logit 0: -log 1/2 twice"
    assert found["slope"] == pytest.approx(0.0, abs=1e-7), "d/db of softplus(-b) + softplus(b) at 0"


def test_a_symmetric_game_swaps_the_roles_for_the_generators_player(tiny, make_run):
    terms = {}

    class Symmetric:
        @hookimpl
        def build(self, experiment):
            experiment.games[0].symmetric = True

        @hookimpl
        def losses(self, turn):
            if turn.player == "generator":
                logits = {stream.role: stream.logits for stream in turn.rounds[0].streams}
                terms["found"] = sum(term.value for term in turn.terms.values())
                terms["wanted"] = F.softplus(-logits["fake"]).mean() + F.softplus(logits["real"]).mean()

    make_run(tiny(tricks=["symmetric"]), {"trick.symmetric": Symmetric}).engine.step(0)
    torch.testing.assert_close(terms["found"], terms["wanted"])

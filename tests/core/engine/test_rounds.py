"""Scores, the discriminator's loss as a function, remade fakes, and the pace of lazily regularised players."""

import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from ganrun.engine.engine import pace, slowed
from ganrun.schedule import Scheduled
from ganrun.words.game import Phase, Term
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


def listener(event, function):
    """A trick class that calls a function in one event."""

    def method(self, turn):
        function(turn)

    return type("Listener", (), {event: hookimpl(named(method, event)), "strength": ""})


def named(function, name):
    function.__name__ = name
    return function


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


def test_fakes_of_other_latents_are_those_the_generator_makes_and_change_no_buffer(tiny, make_run):
    found = {}

    def look(turn):
        before = copy.deepcopy(dict(turn.networks["generator"].named_buffers()))
        made = turn.remake({"z": turn.latents["z"] + 1})["x"]
        found.setdefault("graph", {})[turn.player] = made.requires_grad
        found["same"] = torch.equal(turn.remake({})["x"], turn.made["x"])
        module = turn.networks["generator"]
        expected = functional_call(module, {k: b.clone() for k, b in module.named_buffers()}, (turn.latents["z"] + 1,))
        found["equal"] = torch.equal(made, expected)
        found["buffers"] = all(torch.equal(before[k], b) for k, b in module.named_buffers()) and len(before)

    recipe = tiny(generator={"mlp": {"widths": [16, 16], "norm": "batch"}}, tricks=["look"])
    make_run(recipe, {"trick.look": listener("losses", look)}).engine.step(0)
    assert found == {"graph": {"discriminator": False, "generator": True}, "same": True, "equal": True, "buffers": 3}


def test_remade_fakes_have_the_dropout_of_the_fakes(tiny, make_run):
    same = []
    recipe = tiny(tricks=[{"generator-dropout": {"p": 0.5}}, "look"])
    look = listener("losses", lambda turn: same.append(torch.equal(turn.remake({})["x"], turn.made["x"])))
    make_run(recipe, {"trick.look": look}).engine.step(0)
    assert same == [True, True]


def test_terms_of_one_name_are_numbered(tiny, make_run):
    names = []

    def add(turn):
        turn.add("more", torch.zeros(()))
        turn.add("more", torch.zeros(()))
        names.append(list(turn.terms))

    make_run(tiny(tricks=["look"]), {"trick.look": listener("losses", add)}).engine.step(0)
    assert names[0] == ["adversarial.real", "adversarial.fake", "more", "more2"]


def test_notes_are_logged_beside_the_terms_and_change_nothing(tiny, make_run):
    plain, noted = (
        make_run(tiny()),
        make_run(
            tiny(tricks=["note"]), {"trick.note": listener("losses", lambda turn: turn.note("p", torch.tensor(0.5)))}
        ),
    )
    for run in (plain, noted):
        run.engine.step(0)
    assert noted.metrics()["generator/p"] == 0.5
    assert all(
        torch.equal(a, b) for a, b in zip(plain.engine.parameters["generator"], noted.engine.parameters["generator"])
    )


def test_streams_may_be_had_without_asking_for_them(tiny, make_run):
    found = {}

    def look(turn):
        if turn.player == "generator":
            (stream,) = turn.streams("adversarial", "real")
            found.update(
                unseen=stream.output is None,
                in_the_round=bool(turn.rounds[0].of("real")),
                same=stream.x is turn.real["x"],
            )

    make_run(tiny(tricks=["look"]), {"trick.look": listener("losses", look)}).engine.step(0)
    assert found == {"unseen": True, "in_the_round": False, "same": True}


def test_the_pace_of_a_player_with_a_lazy_phase():
    phases = [Phase("d", "d"), Phase("r1", "d", every=16, terms=lambda turn: {}), Phase("g", "g", repeats=2)]
    assert pace(phases, "d") == pytest.approx(16 / 17), "StyleGAN2's k / (k + 1)"
    assert pace(phases, "g") == 1.0


def test_a_slowed_optimiser_has_smaller_rates_and_longer_memories_per_step():
    defaults = {"lr": 1.0, "betas": (0.0, 0.99), "eps": 1e-8}
    assert slowed({"lr": 1.0}, defaults, 0.8) == {"lr": 0.8, "betas": (0.0, 0.99**0.8)}
    assert slowed({"lr": 1.0, "betas": (0.5, 0.9)}, defaults, 0.8)["betas"] == (0.5**0.8, 0.9**0.8), (
        "what is scheduled counts"
    )
    assert slowed({"lr": 1.0}, {"alpha": 0.9, "momentum": 0.0}, 0.5) == {"lr": 0.5, "alpha": 0.9**0.5, "momentum": 0.0}
    assert slowed({"lr": 1.0}, defaults, 1.0) == {"lr": 1.0}


class Lazy:
    """Adds a phase that pulls the discriminator's output bias to 0 every fourth step."""

    strength = ""

    @hookimpl
    def build(self, experiment):
        experiment.phases.insert(1, Phase("discriminator.lazy", "discriminator", every=4, terms=self.terms))

    def terms(self, turn):
        self.turn = turn
        return {"bias": Term(turn.networks["discriminator"].output.bias.square().sum())}


def test_a_lazy_phase_is_weighted_by_its_interval_and_slows_its_player(tiny, make_run):
    run = make_run(tiny(tricks=["lazy"]), {"trick.lazy": Lazy})
    run.engine.step(0)
    turn = run.experiment.tricks[0].turn
    assert turn.terms["bias"].weight == 4
    group = run.engine.optimizers["discriminator"].param_groups[0]
    assert group["lr"] == pytest.approx(2e-4 * 0.8)
    assert group["betas"] == (pytest.approx(0.5**0.8), pytest.approx(0.999**0.8))
    assert run.engine.optimizers["generator"].param_groups[0]["lr"] == 2e-4


def test_a_parametrised_network_takes_overrides_by_the_names_of_its_parameters():
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 1, bias=False))
    state = {name: torch.ones_like(p) for name, p in layer.named_parameters()}
    assert functional_call(layer, state, (torch.ones(1, 2),)).item() == pytest.approx(2 / 2**0.5)


def test_the_real_batch_is_read_when_it_is_indexed_and_once_for_all_copies_of_a_turn(tiny, make_run):
    found = {}

    def look(turn):
        if turn.player == "generator":
            reads, read = [], turn._engine.readers.read
            turn._engine.readers.read = lambda turn: (reads.append(turn.phase.name), read(turn))[1]
            real, part = turn.real, turn.part(slice(0, 2))
            found["before"] = len(reads)
            found["same"] = torch.equal(part.real["x"], real["x"][:2]) and torch.equal(turn.real["x"], real["x"])
            turn.with_latents({}).real["x"]
            found["reads"] = reads
            turn._engine.readers.read = read

    make_run(tiny(tricks=["look"]), {"trick.look": listener("losses", look)}).engine.step(0)
    assert found == {"before": 0, "same": True, "reads": ["generator"]}


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

"""Calls of a discriminator: stages, buffers, overrides, joint batches and weights."""

import shutil

import pytest
import torch
from prerequisites import needs
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from ganrun.words.game import Round, Term
from ganrun.words.hooks import hookimpl


def steps(run, count):
    for step in range(count):
        run.engine.step(step)
    return run


def weights(run):
    return {
        f"{name}.{key}": p.detach()
        for name, module in run.engine.modules.items()
        for key, p in module.named_parameters()
    }


@pytest.mark.parametrize("tag", ["penalty", "consistency", "unrolling", "feature"])
def test_only_adversarial_calls_change_buffers(tiny, make_run, tag):
    norm = {"mlp": {"widths": [16, 16], "norm": "batch"}}

    class Extra:
        @hookimpl
        def losses(self, turn):
            round = turn.rounds[0]
            before = {name: buffer.clone() for name, buffer in turn.modules["discriminator"].named_buffers()}
            turn.discriminate(round, round.streams[0].x, role="real", tag=tag)
            after = dict(turn.modules["discriminator"].named_buffers())
            assert all(torch.equal(before[name], after[name]) for name in before)
            assert before, "there is a buffer to be changed"
            turn.discriminate(round, round.streams[0].x, role="real")
            assert not all(torch.equal(before[name], after[name]) for name in before)

    make_run(tiny(discriminator=norm, tricks=["extra"]), {"trick.extra": Extra}).engine.step(0)


def test_the_tag_decides_the_stages_passed(tiny, make_run, recorder):
    log = []
    run = make_run(tiny(tricks=["recorder"]), {"trick.recorder": recorder(log, ["augment", "corrupt", "pack"])})
    for tag, through, expected in [
        ("adversarial", None, ["augment", "corrupt", "pack"]),
        ("penalty", None, ["pack"]),
        ("penalty", ("augment",), ["augment"]),
        ("feature", None, ["pack"]),
        ("consistency", None, ["augment", "corrupt", "pack"]),
    ]:
        turn = run.sample_maker._blank(4, 0, 0, None, run.engine.modules)
        game = run.experiment.games[0]
        log.clear()
        turn.discriminate(Round(game, "discriminator", []), torch.zeros(4, 2), role="real", tag=tag, through=through)
        assert log == expected


def test_overrides_stand_in_for_the_discriminators_parameters(tiny, make_run):
    run = make_run(tiny())
    turn = run.sample_maker._blank(4, 0, 0, None, run.engine.modules)
    zeros = {name: torch.zeros_like(p) for name, p in run.engine.modules["discriminator"].named_parameters()}
    round = Round(run.experiment.games[0], "discriminator", [])
    assert turn.discriminate(round, torch.ones(4, 2), role="real", overrides=zeros).logits.abs().sum() == 0
    assert turn.discriminate(round, torch.ones(4, 2), role="real").logits.abs().sum() > 0


def test_joint_batches_agree_with_separate_ones_unless_there_are_batch_statistics(tiny, make_run):
    def trained(batches, norm):
        players = {name: {"optimizer": {"sgd": {"lr": 0.1}}} for name in ("generator", "discriminator")}
        networks = {"mlp": {"widths": [16, 16], "norm": norm}}
        train = {"batches": batches, "precision": "float64"}
        return weights(steps(make_run(tiny(discriminator=networks, players=players, train=train)), 5))

    plain, joint = trained("separate", "none"), trained("joint", "none")
    assert all(torch.allclose(plain[name], joint[name], rtol=0, atol=1e-12) for name in plain)
    with_norm, joint_with_norm = trained("separate", "batch"), trained("joint", "batch")
    assert not all(torch.allclose(with_norm[name], joint_with_norm[name], rtol=0, atol=1e-6) for name in with_norm)


@pytest.mark.parametrize(
    ("changes", "rows"),
    [
        ({"discriminator": {"mlp": {"widths": [16, 16], "norm": "batch"}}}, [16, 16]),
        ({"tricks": ["counted", {"minibatch-discrimination": {"kernels": 2}}]}, [16, 16]),
        ({}, [16, 8]),  # every sample is judged by itself, so the real ones would be in vain
        (
            {"discriminator": {"mlp": {"widths": [16, 16], "norm": "batch"}}, "train": {"batches": "separate"}},
            [8, 8, 8],
        ),
    ],
)
def test_a_discriminator_that_normalises_real_and_fake_together_does_so_in_both_turns(tiny, make_run, changes, rows):
    """8 of each: else a generator would be scored by statistics that the discriminator never trained with."""
    seen = []

    class Counted:
        @hookimpl
        def build(self, experiment):
            network = experiment.modules["discriminator"]
            network.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))

    changes = {"tricks": ["counted"], **changes, "train": {"batches": "joint", **changes.get("train", {})}}
    run = make_run(tiny(**changes), {"trick.counted": Counted})
    seen.clear()
    run.engine.step(0)
    assert seen == rows
    assert [*run.engine.terms["generator"]] == ["adversarial.fake"], "the real ones add nothing to what it minimises"


def test_weights_of_samples_and_of_a_game_enter_the_terms(tiny, make_run):
    terms = {}

    class Weigh:
        @hookimpl
        def build(self, experiment):
            experiment.games[0].weight = {"discriminator": 0.5}

        @hookimpl
        def discriminator_output(self, turn, call, output):
            if call.role == "real":
                output.weight = torch.tensor([2.0] * 4 + [0.0] * 4)

        @hookimpl
        def losses(self, turn):
            if turn.player == "discriminator":
                real = turn.rounds[0].real
                values = F.softplus(-real.logits.reshape(8))
                terms.update(found=turn.terms["adversarial.real"], wanted=2 * values[:4].sum() / 8)

    make_run(tiny(tricks=["weigh"]), {"trick.weigh": Weigh}).engine.step(0)
    assert terms["found"].weight == 0.5
    torch.testing.assert_close(terms["found"].value, terms["wanted"])


@pytest.mark.slow
@needs(shutil.which("g++") is not None, "a C++ compiler, for torch.compile on a CPU")
def test_compiled_networks_train_alike_and_penalties_use_the_plain_ones(tiny, make_run):
    class Slope:
        @hookimpl
        def losses(self, turn):
            if turn.player == "discriminator":
                output = turn.discriminate(turn.rounds[0], turn.real["x"], role="real", tag="penalty", leaf=True)
                (slope,) = torch.autograd.grad(output.logits.sum(), output.x, create_graph=True)
                turn.terms["slope"] = Term(slope.square().sum(1).mean())

    def trained(compiled):
        players = {name: {"optimizer": {"sgd": {"lr": 0.1}}} for name in ("generator", "discriminator")}
        recipe = tiny(tricks=["slope"], players=players, train={"compile": compiled})
        return weights(steps(make_run(recipe, {"trick.slope": Slope}), 3))

    plain, compiled = trained(False), trained(True)
    assert all(torch.allclose(plain[name], compiled[name], atol=1e-5) for name in plain)


def test_a_parametrised_network_takes_overrides_by_the_names_of_its_parameters():
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 1, bias=False))
    state = {name: torch.ones_like(p) for name, p in layer.named_parameters()}
    assert functional_call(layer, state, (torch.ones(1, 2),)).item() == pytest.approx(2 / 2**0.5)

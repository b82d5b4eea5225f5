"""The ablation of the CycleGAN paper: which terms each row has, and that what is turned off has no gradient."""

import pytest
import torch
import torch.nn.functional as F

QUIET = ["progress", "samples", "metrics-log", "health", "checkpoints", "replay-buffer"]
ROWS = {
    "cycle alone": {"adversarial": 0},
    "GAN alone": {"cycle": 0},
    "GAN + forward cycle": {"directions": "forward"},
    "GAN + backward cycle": {"directions": "backward"},
    "both": {},
}
WEIGHTS = {
    "cycle alone": {"b.fake": 0, "a.fake": 0, "cycle_a": 10, "cycle_b": 10},
    "GAN alone": {"b.fake": 1, "a.fake": 1, "cycle_a": 0, "cycle_b": 0},
    "GAN + forward cycle": {"b.fake": 1, "a.fake": 1, "cycle_a": 10},
    "GAN + backward cycle": {"b.fake": 1, "a.fake": 1, "cycle_b": 10},
    "both": {"b.fake": 1, "a.fake": 1, "cycle_a": 10, "cycle_b": 10},
}
RESNET, UNET = {"resnet-translator": {"blocks": 1, "width": 2}}, {"unet": {"width": 2, "norm": "instance"}}


def recipe(generator=RESNET, **parameters):
    return {
        "variant": {"cyclegan": {"identity": 0, **parameters}},
        "dataset": {"restyled-digits": {"size": 8}},
        "generator": generator,
        "discriminator": {"patchgan": {"width": 2, "layers": 1}},
        "without": QUIET,
        "train": {"steps": 4, "batch_size": 4, "device": "cpu", "precision": "float64"},
    }


def first_turn(make_run, **parameters):
    """The run before its first step, and (weights of the terms, gradients of the generators) of the generators' first
    turn.
    """
    run, found = make_run(recipe(**parameters)), {}
    backward = run.engine.backward
    generators = [run.experiment.modules[name] for name in ("generator_ab", "generator_ba")]

    def watched(turn):
        backward(turn)
        if turn.player == "generator":
            found["weights"] = {name: term.weight for name, term in turn.terms.items()}
            found["gradients"] = [p.grad.clone() for module in generators for p in module.parameters()]

    run.engine.backward = watched
    twin = make_run(recipe(**parameters))
    with run.experiment.settings():
        run.engine.step(0)
        wanted = by_hand(twin, **parameters)
    return found["weights"], found["gradients"], wanted


def by_hand(twin, *, adversarial=1, cycle=10, directions="both"):
    """The gradients of the paper's sum, of which terms that are off are left out."""
    m, batch = twin.experiment.modules, twin.experiment.reader("step", 4).get(4)
    a, b, ab, ba = batch["a"], batch["b"], m["generator_ab"], m["generator_ba"]
    fake_b, fake_a = ab(a), ba(b)
    loss = torch.zeros(())
    if adversarial:
        for logits in (m["discriminator_b"](fake_b).logits, m["discriminator_a"](fake_a).logits):
            loss = loss + F.mse_loss(logits, torch.ones_like(logits))
    if cycle and directions != "backward":
        loss = loss + 10 * F.l1_loss(ba(fake_b), a)
    if cycle and directions != "forward":
        loss = loss + 10 * F.l1_loss(ab(fake_a), b)
    return torch.autograd.grad(loss, [*ab.parameters(), *ba.parameters()])


@pytest.mark.parametrize("row", ROWS)
def test_each_row_has_its_terms_and_their_gradient_alone(make_run, row):
    weights, gradients, wanted = first_turn(make_run, **ROWS[row])
    assert weights == WEIGHTS[row]
    assert all(torch.allclose(x, y, rtol=1e-9, atol=1e-12) for x, y in zip(gradients, wanted, strict=True))


def test_discriminators_learn_in_every_row(make_run):
    for parameters in ROWS.values():
        run = make_run(recipe(**parameters))
        before = [p.clone() for p in run.experiment.modules["discriminator_b"].parameters()]
        run.engine.step(0)
        assert not all(
            torch.equal(x, y) for x, y in zip(before, run.experiment.modules["discriminator_b"].parameters())
        )


def test_the_game_may_be_scheduled(make_run):
    run, seen = make_run(recipe(adversarial={"steps": {0: 0.25, 1: 1.0}})), []
    backward = run.engine.backward
    run.engine.backward = lambda turn: (seen.append(turn.terms["b.fake"].weight), backward(turn))
    run.engine.step(0)
    run.engine.step(1)
    assert seen == [0.25, 0.5, 1.0, 0.5]


@pytest.mark.parametrize("generator", [RESNET, UNET], ids=lambda generator: next(iter(generator)))
def test_either_generator_trains(make_run, generator):
    run = make_run(recipe(generator))
    for step in range(4):
        run.engine.step(step)
    for name in ("generator_ab", "generator_ba"):
        assert all(p.isfinite().all() for p in run.experiment.modules[name].parameters())

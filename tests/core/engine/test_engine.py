"""The training step: its order, its gradients, its randomness; compared with loops written by hand."""

import pytest
import torch
from torch.nn import functional as F

from ganrun.contracts.events import Events
from ganrun.randomness import Draws
from ganrun.words.game import Phase, Term
from ganrun.words.hooks import hookimpl


def weights(run):
    return {
        name: parameter.detach().clone()
        for name, module in run.engine.modules.items()
        for name, parameter in prefixed(name, module)
    }


def prefixed(prefix, module):
    return [(f"{prefix}.{name}", parameter) for name, parameter in module.named_parameters()]


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def steps(run, count, start=0):
    for step in range(start, start + count):
        run.engine.step(step)
    return run


# --- against a loop written by hand -----------------------------------------------------------------------------


def test_gan_is_bit_identical_to_a_loop_written_by_hand(tiny, make_run):
    engine_run, by_hand = make_run(tiny()), make_run(tiny())
    steps(engine_run, 20)
    generator, discriminator = by_hand.engine.modules["generator"], by_hand.engine.modules["discriminator"]
    settings = {"lr": 2e-4, "betas": (0.5, 0.999), "fused": True}
    adam_d, adam_g = (
        torch.optim.Adam(discriminator.parameters(), **settings),
        torch.optim.Adam(generator.parameters(), **settings),
    )
    reader = by_hand.experiment.reader("discriminator", 8)
    for step in range(20):
        z = Draws((0, 0, step, "discriminator", 0)).normal("z", 8, 4)
        fake = generator(z)
        real_logits, fake_logits = discriminator(reader.get(8)["x"]).logits, discriminator(fake.detach()).logits
        adam_d.zero_grad()
        bce = F.binary_cross_entropy_with_logits
        (bce(real_logits, torch.ones(8)) + bce(fake_logits, torch.zeros(8))).backward()
        adam_d.step()
        adam_g.zero_grad()
        (-F.logsigmoid(discriminator(fake).logits)).mean().backward()
        adam_g.step()
        reader.advance(8)
    assert equal(weights(engine_run), weights(by_hand))


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(tiny, make_run):
    one, same, other = make_run(tiny()), make_run(tiny()), make_run(tiny(train={"seed": 1}))
    torch.randn(5)
    assert equal(weights(steps(one, 3)), weights(steps(same, 3)))
    assert not equal(weights(one), weights(steps(other, 3)))


def test_only_the_players_own_parameters_get_gradients(tiny, make_run):
    seen = {}

    class Look:
        @hookimpl
        def gradients(self, turn):
            for name, module in turn.modules.items():
                seen[turn.player, name] = [p.grad is not None for p in module.parameters()]
                assert all(p.requires_grad == (name == turn.player) for p in module.parameters())

        @hookimpl
        def phase_start(self, turn):
            for module in turn.modules.values():
                module.zero_grad(set_to_none=True)

    steps(make_run(tiny(tricks=["look"]), {"trick.look": Look}), 2)
    assert all(seen["discriminator", "discriminator"])
    assert all(seen["generator", "generator"])
    assert not any(seen["discriminator", "generator"])
    assert not any(seen["generator", "discriminator"])


# --- the schedule -----------------------------------------------------------------------------------------------


def names(run, step):
    return [[(phase.name, repeat) for phase, repeat in group] for group in run.engine.groups(step)]


def test_updates_repeat_a_players_phase(tiny, make_run):
    settings = {"discriminator": {"optimizer": "adam", "updates": 3}}
    run = make_run(tiny(players=settings))
    assert names(run, 0) == [[("discriminator", 0)], [("discriminator", 1)], [("discriminator", 2)], [("generator", 0)]]


def test_every_and_when_decide_whether_a_phase_is_due(tiny, make_run):
    run = make_run(tiny())
    run.experiment.phases[:] = [
        Phase("d", "discriminator", every=3),
        Phase("g", "generator", when=lambda step: step >= 2),
    ]
    assert [names(run, step) for step in range(4)] == [[[("d", 0)]], [], [[("g", 0)]], [[("d", 0)], [("g", 0)]]]


def test_phases_together_take_all_gradients_before_the_first_update(tiny, make_run):
    events = []

    class Order:
        @hookimpl
        def losses(self, turn):
            events.append(("losses", turn.player))

        @hookimpl
        def updated(self, turn):
            events.append(("updated", turn.player))

    run = make_run(tiny(tricks=["order"]), {"trick.order": Order})
    for phase in run.experiment.phases:
        phase.together = "both"
    before = weights(run)
    run.engine.step(0)
    assert events == [
        ("losses", "discriminator"),
        ("losses", "generator"),
        ("updated", "discriminator"),
        ("updated", "generator"),
    ]
    assert not equal(before, weights(run))


def test_a_scheduled_rate_reaches_the_optimizer(tiny, make_run):
    players = {"generator": {"optimizer": {"sgd": {"lr": {"linear": [0.4, 0.0], "until": 4}}}}}
    run = make_run(tiny(players=players))
    rates = []
    for step in range(4):
        run.engine.step(step)
        rates.append(run.engine.optimizers["generator"].param_groups[0]["lr"])
    assert rates == pytest.approx([0.4, 0.3, 0.2, 0.1])


# --- events -----------------------------------------------------------------------------------------------------

TURN = ["phase_start", "sample", "generated", "augment", "corrupt", "pack", "discriminator_output"]
AFTER = ["losses", "gradients", "updated"]


def test_events_come_in_their_order(tiny, make_run, recorder):
    log = []
    events = [name for name in vars(Events) if not name.startswith("_")]
    training = events[: events.index("run_start")]
    run = make_run(tiny(tricks=["recorder"]), {"trick.recorder": recorder(log, training)})
    assert log == ["plan", "build"]
    log.clear()
    run.engine.step(0)
    stages = ["augment", "corrupt", "pack"]
    discriminator = [
        "optimizer_options",
        "phase_start",
        "sample",
        "generated",
        *stages,
        *stages,
        *["discriminator_output"] * 2,
        "targets",
        *AFTER,
    ]
    generator = ["optimizer_options", "phase_start", "generated", *stages, "discriminator_output", *AFTER]
    assert log == [*discriminator, *generator, "step_taken"], (
        "the generator's turn uses the fakes of the discriminator's: nothing is drawn again"
    )
    log.clear()
    run.sample_maker.turn(2)
    assert log == ["sampling", "sample"]


def test_components_are_called_in_the_order_of_the_recipe(tiny, make_run):
    called = []

    def trick(name):
        class Named:
            @hookimpl
            def updated(self, turn):
                called.append(name)

        return Named

    run = make_run(tiny(tricks=["first", "second"]), {"trick.second": trick("second"), "trick.first": trick("first")})
    run.engine.step(0)
    assert called == ["first", "second"] * 2


def test_a_skipped_turn_changes_nothing(tiny, make_run):
    class Skip:
        @hookimpl
        def phase_start(self, turn):
            turn.skip = turn.player == "generator"

    run = make_run(tiny(tricks=["skip"]), {"trick.skip": Skip})
    before = weights(run)
    run.engine.step(0)
    after = weights(run)
    assert all(torch.equal(before[name], after[name]) == name.startswith("generator") for name in before)


def test_a_trick_that_reads_real_data_changes_nothing_that_others_see(tiny, make_run):
    class Reads:
        @hookimpl
        def losses(self, turn):
            assert turn.real["x"].shape == (8, 2)

    plain, reading = make_run(tiny()), make_run(tiny(tricks=["reads"]), {"trick.reads": Reads})
    assert equal(weights(steps(plain, 5)), weights(steps(reading, 5)))


def test_terms_can_be_added_scaled_and_dropped(tiny, make_run):
    class Only:
        @hookimpl
        def losses(self, turn):
            turn.terms.clear()
            parameters = turn.parameters()
            turn.terms["decay"] = Term(0.5 * sum(p.square().sum() for p in parameters), 3.0)

    players = {name: {"optimizer": {"sgd": {"lr": 0.1, "momentum": 0.0}}} for name in ("generator", "discriminator")}
    run = make_run(tiny(tricks=["only"], players=players), {"trick.only": Only})
    before = weights(run)
    run.engine.step(0)
    for name, value in weights(run).items():
        torch.testing.assert_close(value, before[name] * (1 - 0.1 * 3.0))


def test_a_regularisation_phase_carries_its_own_terms_times_every(tiny, make_run):
    log = []

    class Lazy:
        @hookimpl
        def build(self, experiment):
            experiment.phases.append(Phase("regularise", "discriminator", every=4, terms=self.terms))

        @hookimpl
        def phase_start(self, turn):
            if turn.phase.name == "regularise":
                turn.wanted.add("real")

        @hookimpl
        def losses(self, turn):
            log.append(turn.phase.name)

        def terms(self, turn):
            (stream,) = turn.rounds[0].streams
            assert stream.role == "real"
            assert turn.made == {}, "no fakes are made where none are wanted"
            output = turn.discriminate(turn.rounds[0], stream.x, role="real", tag="penalty", leaf=True)
            (slope,) = torch.autograd.grad(output.logits.sum(), output.x, create_graph=True)
            return {"r1": Term(slope.square().sum(1).mean(), 0.5)}

        @hookimpl
        def gradients(self, turn):
            log.append({name: term.weight for name, term in turn.terms.items()})

    run = make_run(tiny(tricks=["lazy"]), {"trick.lazy": Lazy})
    steps(run, 2)
    games = [{"adversarial.real": 1.0, "adversarial.fake": 1.0}, {"adversarial.fake": 1.0}]
    step = ["discriminator", games[0], "generator", games[1]]
    assert log == [*step, {"r1": 2.0}, *step]


# --- batches ----------------------------------------------------------------------------------------------------


def test_accumulated_micro_batches_equal_one_large_batch(tiny, make_run):
    def trained(batch, accumulate):
        train = {"batch_size": batch, "accumulate": accumulate, "precision": "float64"}
        return weights(steps(make_run(tiny(train=train)), 5))

    large, small = trained(16, 1), trained(4, 4)
    assert all(torch.allclose(large[name], small[name], rtol=0, atol=1e-10) for name in large)


def test_each_phase_reads_in_an_order_of_its_own(tiny, make_run):
    read = {}

    class Reads:
        @hookimpl
        def losses(self, turn):
            read[turn.player] = turn.real["x"]

    make_run(tiny(tricks=["reads"]), {"trick.reads": Reads}).engine.step(0)
    assert not torch.equal(read["generator"], read["discriminator"])


def test_the_loop_resumes_bit_for_bit_from_a_state(tiny, make_run):
    straight, first, second = make_run(tiny()), make_run(tiny()), make_run(tiny())
    steps(straight, 9)
    steps(first, 4)
    first.step = 4
    second.load_state_dict(first.state_dict())
    assert equal(weights(steps(second, 5, start=4)), weights(straight))


def test_mixed_precision_trains_float32_weights_on_finite_terms(tiny, make_run):
    run = steps(make_run(tiny(train={"precision": "bfloat16"})), 3)
    assert all(value == value and abs(value) < 100 for value in run.metrics().values())
    assert all(parameter.dtype == torch.float32 for parameter in weights(run).values())
    assert not equal(weights(run), weights(steps(make_run(tiny()), 3)))


def test_a_turn_without_terms_is_an_error_that_names_the_phase(tiny, make_run):
    class Drop:
        @hookimpl
        def losses(self, turn):
            turn.terms.clear()

    with pytest.raises(RuntimeError, match="phase discriminator has no term"):
        make_run(tiny(tricks=["drop"]), {"trick.drop": Drop}).engine.step(0)


def test_another_attempt_draws_other_numbers(tiny, make_run):
    first, again = make_run(tiny()), make_run(tiny())
    again.engine.attempt = 1
    assert not equal(weights(steps(first, 1)), weights(steps(again, 1)))


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

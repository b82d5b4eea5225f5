"""A turn: its real items, terms and notes, and other turns like it."""

import copy
import gc
import weakref

import pytest
import torch
from basic_variants import weights
from listener import listener
from torch.func import functional_call

from ganrun.words.hooks import hookimpl


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


def test_copies_give_several_samples_an_item_and_wanted_brings_the_real_stream(tiny, make_run):
    seen = {}

    class Two:
        @hookimpl
        def phase_start(self, turn):
            if turn.player == "generator":
                turn.copies = 2
                turn.wanted.add("real")

        @hookimpl
        def losses(self, turn):
            seen[turn.player] = {stream.role: stream.x.shape[0] for stream in turn.rounds[0].streams}

    make_run(tiny(tricks=["two"]), {"trick.two": Two}).engine.step(0)
    assert seen == {"discriminator": {"real": 8, "fake": 8}, "generator": {"real": 16, "fake": 16}}


class Notes:
    """Notes in every event in which a turn may be noted."""

    @hookimpl
    def losses(self, turn):
        turn.note("before", torch.tensor(1.0 + 2 * turn.micro))

    @hookimpl
    def gradients(self, turn):
        turn.note("norm", torch.tensor(3.0))

    @hookimpl
    def updated(self, turn):
        turn.note("moved", torch.tensor(4.0))


def test_notes_are_logged_whichever_event_they_are_made_in(tiny, make_run):
    """Of two micro-batches (1 + 3) / 2 = 2 is logged; gradients and updated come once."""
    run = make_run(tiny(tricks=["notes"], train={"accumulate": 2}), {"trick.notes": Notes})
    run.engine.step(0)
    for player in ("generator", "discriminator"):
        found = {
            name.removeprefix(f"{player}/"): value for name, value in run.metrics().items() if player + "/" in name
        }
        assert (found["before"], found["norm"], found["moved"]) == (2.0, 3.0, 4.0)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_turn_and_its_graph_are_freed_without_the_garbage_collector(accumulate, tiny, make_run):
    made = []

    class Watch:
        @hookimpl
        def losses(self, turn):
            made.extend(map(weakref.ref, [turn, turn.made["x"], turn.rounds[0], turn.rounds[0].fake.logits]))

    train = {"accumulate": accumulate, "batch_size": 8 // accumulate}
    run = make_run(tiny(tricks=["watch"], train=train), {"trick.watch": Watch})
    gc.disable()
    try:
        run.engine.step(0)
        assert len(made) == 8 * accumulate  # two players
        assert [reference() for reference in made] == [None] * len(made)
    finally:
        gc.enable()


@pytest.mark.parametrize("event", ["phase_start", "losses"])
def test_a_skip_that_comes_after_a_micro_batch_has_begun_is_an_error(event, tiny, make_run):
    def skip(self, turn):
        turn.skip = turn.player == "generator" and turn.micro == (1 if event == "phase_start" else 0)

    trick = type("Late", (), {event: hookimpl(skip)})
    run = make_run(tiny(tricks=["late"], train={"accumulate": 2, "batch_size": 4}), {"trick.late": trick})
    with pytest.raises(RuntimeError, match="phase generator: turn.skip was set in micro-batch"):
        run.engine.step(0)


def test_a_turn_that_is_skipped_once_its_terms_are_known_is_not_applied(tiny, make_run):
    class Skip:
        @hookimpl
        def losses(self, turn):
            turn.skip = turn.player == "generator"

    run = make_run(tiny(tricks=["skip"]), {"trick.skip": Skip})
    before = weights(run)
    run.engine.step(0)
    after = weights(run)
    assert all(torch.equal(before[name], after[name]) == name.startswith("generator") for name in before)
    assert "adversarial.fake" in run.engine.terms["generator"]

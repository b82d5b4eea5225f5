"""The words of a variant: phases, logits of outputs, scheduled weights, labels, encoders, what is inferred."""

import pytest
import torch

from ganrun.schedule import Scheduled
from ganrun.training.build import RefusedError
from ganrun.words.game import Game, Phase, Stream, Term
from ganrun.words.spaces import Space
from ganrun_plugins.variants.gan import GAN

LABELS = Space("labels", (), 3)
DIGITS = {"digits": {"size": 8, "classes": [0, 1, 2]}}
PERCEPTRON = {"mlp": {"widths": [8], "norm": "none"}}
IMAGES = {"dataset": DIGITS, "generator": PERCEPTRON, "discriminator": PERCEPTRON}


class Pretrained(GAN):
    """First the generator alone on the distance of its samples from 0, from step 2 on the game."""

    def describe(self, spaces):
        found = super().describe(spaces)
        first = Phase("pretraining", "generator", when=lambda step: step < 2, games=())
        found.phases = [first, *(Phase(p.name, p.player, when=lambda step: step >= 2) for p in found.phases)]
        found.reuse_fakes = False
        return found

    def terms(self, turn):
        return {"size": Term(turn.made["x"].square().mean())} if turn.phase.name == "pretraining" else {}


def test_a_phase_of_no_games_has_the_variants_terms_alone(tiny, make_run):
    run = make_run(tiny(variant={"pretrained": {"latent": 4}}), {"variant.pretrained": Pretrained})
    before = [p.clone() for p in run.engine.modules["discriminator"].parameters()]
    run.engine.step(0)
    assert set(run.engine.terms) == {"pretraining"}
    assert set(run.engine.terms["pretraining"]) == {"size"}
    assert all(torch.equal(a, b) for a, b in zip(before, run.engine.modules["discriminator"].parameters()))
    run.engine.step(2)
    assert set(run.engine.terms) == {"pretraining", "discriminator", "generator"}, "in step 2 the game begins"
    assert set(run.engine.terms["generator"]) == {"adversarial.fake"}


def test_mode_seeking_leaves_phases_without_a_game_alone(tiny, make_run):
    run = make_run(
        tiny(variant={"pretrained": {"latent": 4}}, tricks=["mode-seeking"]), {"variant.pretrained": Pretrained}
    )
    run.engine.step(0)
    assert set(run.engine.terms["pretraining"]) == {"size"}


def test_updates_are_refused_for_a_player_whose_steps_the_variant_chooses(tiny, make_run):
    recipe = tiny(variant={"pretrained": {"latent": 4}}, players={"generator": {"updates": 2}})
    with pytest.raises(
        RefusedError, match="players.generator.updates: variant pretrained decides in which steps generator is trained"
    ):
        make_run(recipe, {"variant.pretrained": Pretrained})


class Classes(GAN):
    """Logits are those of "any of three classes": the log of a sum over the head's classes, minus the main output."""

    def describe(self, spaces):
        found = super().describe(spaces)
        found.networks["discriminator"].interface.heads = {"class": 3}
        found.games[0] = Game(
            "adversarial",
            "discriminator",
            player="discriminator",
            against=["generator"],
            heads=["class"],
            logits=lambda output: output.heads["class"].logsumexp(1) - output.logits,
        )
        found.infers = {"label": LABELS}
        return found

    def infer(self, turn):
        return {"label": turn.modules["discriminator"](turn.real["x"]).heads["class"]}


@pytest.mark.parametrize("batches", ["separate", "joint"])
def test_a_game_makes_its_logits_of_all_outputs_and_every_call_sees_them(tiny, make_run, batches):
    run = make_run(
        tiny(variant={"classes": {"latent": 4}}, train={"batches": batches}, **IMAGES), {"variant.classes": Classes}
    )
    seen = []
    run.engine.variant.terms = lambda turn: (
        seen.append([(s.logits, s.output.heads["class"], s.x) for s in turn.rounds[0].streams]) or {}
    )
    before = {name: p.detach().clone() for name, p in run.engine.modules["discriminator"].named_parameters()}
    run.engine.step(0)
    for logits, classes, x in seen[0]:
        main = torch.func.functional_call(run.engine.modules["discriminator"], before, (x,)).logits
        assert torch.allclose(logits, classes.logsumexp(1) - main, atol=1e-6)
    probabilities = torch.softmax(torch.cat([classes, main[:, None]], 1), 1)  # (B, 4): three classes, then the fake one
    assert torch.allclose(torch.sigmoid(logits), 1 - probabilities[:, 3], atol=1e-6), (
        "a softmax over four classes, told apart into two"
    )


def test_a_loss_on_two_logits_is_refused_where_a_game_makes_one(tiny, make_run):
    with pytest.raises(
        RefusedError, match="loss two-class: it compares 2 logits a sample, and the game 'adversarial' makes one"
    ):
        make_run(tiny(variant={"classes": {"latent": 4}}, loss="two-class", **IMAGES), {"variant.classes": Classes})


def test_what_networks_infer_of_real_items_goes_with_the_real_samples(tiny, make_run):
    run = make_run(tiny(variant={"classes": {"latent": 4}}, **IMAGES), {"variant.classes": Classes})
    found = run.evaluation.inferred("label", "test", 5)
    items = run.evaluation.real("x", "test", 5)
    with torch.no_grad():
        assert torch.allclose(found, run.engine.modules["discriminator"](items).heads["class"], atol=1e-6)
    with torch.no_grad():
        next(run.engine.modules["discriminator"].parameters()).add_(1)
    assert torch.equal(run.evaluation.inferred("label", "test", 5), found), (
        "kept until the networks are said to have changed"
    )
    run.evaluation.forget_fakes()
    assert not torch.equal(run.evaluation.inferred("label", "test", 5), found)


class Halving(GAN):
    """The generator's side counts 1 at first and 0.5 from step 10 on."""

    def describe(self, spaces):
        found = super().describe(spaces)
        found.games[0].weight = {"generator": Scheduled({"linear": [1.0, 0.5], "until": 10})}
        return found


def test_the_weight_of_a_game_may_be_scheduled(tiny, make_run):
    run = make_run(tiny(variant={"halving": {"latent": 4}}), {"variant.halving": Halving})
    seen = []
    run.engine.backward = lambda turn: seen.append({name: term.weight for name, term in turn.terms.items()})
    run.engine.update = lambda turn: None
    run.engine.step(0)
    run.engine.step(10)
    assert [terms["adversarial.fake"] for terms in seen] == [1.0, 1.0, 1.0, 0.5], (
        "the discriminator's, the generator's; twice"
    )


class Labelled(GAN):
    """The generator is given a label; the fake stream says which one, and the discriminator does not see it."""

    def describe(self, spaces):
        found = super().describe(spaces)
        found.networks["generator"].interface.given = (LABELS,)
        found.codes = {"label": LABELS}
        return found

    def sample(self, turn):
        super().sample(turn)
        turn.draw_labels("label", LABELS)

    def make(self, turn):
        turn.made["x"] = turn.modules["generator"](turn.latents["z"], turn.latents["label"])

    def streams(self, turn):
        found = super().streams(turn)
        for stream in found["adversarial"]:
            if stream.role == "fake":
                stream.metadata = {"label": turn.latents["label"]}
        return found


LABELLED = {"variant": {"labelled": {"latent": 4}}, **IMAGES}


def test_labels_are_drawn_evenly_and_copies_of_an_item_share_them(tiny, make_run):
    run = make_run(tiny(**LABELLED, tricks=["mode-seeking"]), {"variant.labelled": Labelled})
    seen = []
    run.engine.variant.terms = lambda turn: seen.append(turn.latents["label"]) or {}
    run.engine.step(0)
    assert seen[0].shape == (16,)
    assert torch.equal(seen[0][::2], seen[0][1::2]), "two copies of each of 8 items stand side by side"
    labels = run.sample_maker.latents(3000)["label"]
    assert labels.dtype == torch.int64
    assert (labels.bincount(minlength=3) / 3000 - 1 / 3).abs().max() < 0.05


class Ones:
    """Asks for class 1 only."""

    def sample(self, draws, purpose, n, space):
        return draws.normal(purpose, n, *space.shape)

    def labels(self, draws, purpose, n, space):
        return torch.ones(n, *space.shape, dtype=torch.long)


def test_a_sampler_may_draw_the_labels(tiny, make_run):
    run = make_run(tiny(**LABELLED, sampler="ones"), {"variant.labelled": Labelled, "sampler.ones": Ones})
    assert run.sample_maker.latents(20)["label"].unique().tolist() == [1]
    assert run.evaluation.fake_labels(20).unique().tolist() == [1]


def test_what_is_known_of_fakes_is_swapped_with_them(tiny, make_run):
    """A pool of one batch that is always exchanged: in step 1 the discriminator sees the fakes, and the labels, of step
    0.
    """
    run = make_run(tiny(**LABELLED, tricks=[{"replay-buffer": {"size": 8, "p": 1.0}}]), {"variant.labelled": Labelled})
    seen = []

    def terms(turn):
        if turn.player == "discriminator":
            (stream,) = turn.rounds[0].of("fake")
            seen.append((turn.latents["label"], stream.metadata["label"], turn.made["x"], stream.x))
        return {}

    run.engine.variant.terms = terms
    run.engine.step(0)
    run.engine.step(1)
    (made, _, fakes, _), (_, shown, _, x) = seen
    assert torch.equal(shown.sort().values, made.sort().values)
    # which fake of step 0 each shown one is
    row = (fakes.flatten(1)[None] - x.flatten(1)[:, None]).abs().sum(2).argmin(1)
    assert torch.equal(shown, made[row])


def test_each_makes_a_row_of_every_label_with_the_same_other_latents(tiny, make_run):
    run = make_run(tiny(**LABELLED), {"variant.labelled": Labelled})
    columns = run.sample_maker.each("label", torch.arange(3), 2)
    z = run.sample_maker.latents(2)["z"]
    with torch.no_grad():
        expected = run.engine.modules["generator"].eval()(z[1:].repeat(3, 1), torch.arange(3))
    assert len(columns) == 2
    assert torch.allclose(columns[1], expected, atol=1e-6)


def test_streams_know_nothing_unless_told():
    assert Stream(torch.zeros(1), "fake").metadata == {}


def test_labels_of_real_samples_are_the_entry_label_whatever_comes_before(tiny, make_run):
    sets = {name: {"digits": {"size": 8, "classes": [0, number]}} for name, number in (("one", 1), ("two", 2))}
    run = make_run(tiny(**{**IMAGES, "dataset": {"multi": {"sets": sets}}}))
    assert "label" not in run.experiment.dataset.spaces
    assert run.evaluation.labels(n=3) is not None
    assert torch.equal(
        make_run(tiny(**IMAGES)).evaluation.labels(n=3), make_run(tiny(**IMAGES)).evaluation.real("label", n=3).long()
    )


def test_a_stream_knows_its_logits_only_after_the_discriminator(tiny):
    with pytest.raises(AssertionError):
        _ = Stream(torch.zeros(1, 2), "real").logits

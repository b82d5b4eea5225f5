"""The conditional GAN and AC-GAN through the real engine: who sees which label, and their terms by hand."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ganrun.randomness import Draws
from ganrun.testing.plugin import Example, Plugin
from ganrun.testing.runs import assert_resumes
from ganrun.training.build import RefusedError
from ganrun.words.game import DiscriminatorOutput, Stream
from ganrun.words.spaces import Refusal, Space
from ganrun_plugins.variants.acgan import ACGAN
from ganrun_plugins.variants.cgan import CGAN

PERCEPTRON = {"mlp": {"widths": [8], "norm": "none"}}
IMAGE = Space("image", (1, 8, 8))


def recipe_of(variant, *, tricks=(), steps=3, **changes):
    """A tiny recipe on digits of 8 pixels, without observers."""
    train = {"steps": steps, "batch_size": 8, "device": "cpu", **changes.pop("train", {})}
    return {
        "variant": variant,
        "dataset": {"digits": {"size": 8}},
        "generator": PERCEPTRON,
        "discriminator": PERCEPTRON,
        "tricks": list(tricks),
        "without": ["progress", "samples", "metrics-log", "health", "checkpoints"],
        "train": train,
        **changes,
    }


class Painter(nn.Module):
    """Paints the label it is given: every pixel is label / 10, plus too little of the latent to change it."""

    takes = frozenset({"latent"})
    makes = frozenset({"image"})

    def __init__(self, interface):
        super().__init__()
        self.shape = interface.makes.shape
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, z, label):
        pixels = self.scale.detach() * label.to(z.dtype) / 10 + 0 * self.scale * z.mean(1)
        return pixels.reshape(-1, 1, 1, 1).expand(-1, *self.shape)


class Opinionated(nn.Module):
    """Logits and class logits that are the same for every sample: (log 3, 0), so the classes have probabilities 3/4 and
    1/4.
    """

    takes = frozenset({"image"})

    def __init__(self, interface):
        super().__init__()
        assert interface.heads == {"class": 2}
        assert interface.given == ()
        self.logit = nn.Parameter(torch.zeros(()))
        self.heads = nn.ParameterDict({"class": nn.Parameter(torch.tensor([math.log(3), 0.0]))})

    def forward(self, x):
        rows = len(x)
        logits = self.logit + 0 * x.flatten(1).mean(1)
        return DiscriminatorOutput(
            logits, (), {"class": self.heads["class"].expand(rows, 2) + 0 * x.flatten(1).mean(1, keepdim=True)}
        )


def turns_of(run, steps=1):
    """The turns of some steps, as they are before their backward pass."""
    turns, backward = [], run.engine.backward
    run.engine.backward = lambda turn: (turns.append(turn), backward(turn))
    for step in range(steps):
        run.engine.step(step)
    return turns


def weights(run):
    return {
        f"{name}.{key}": value.clone()
        for name, module in run.experiment.modules.items()
        for key, value in module.state_dict().items()
    }


# --- the conditional GAN --------------------------------------------------------------------------------------------


def test_cgan_is_bit_identical_to_a_hand_written_loop(make_run):
    """The real label beside the real sample, drawn labels beside fakes, in both networks; the generator learns on the
    same fakes.
    """
    recipe = recipe_of({"cgan": {"latent": 4}})
    run, twin = make_run(recipe), make_run(recipe)
    turns_of(run, 3)
    generator, discriminator = twin.experiment.modules["generator"], twin.experiment.modules["discriminator"]
    adam = {"lr": 2e-4, "betas": (0.5, 0.999), "fused": True}
    optimizers = [torch.optim.Adam(network.parameters(), **adam) for network in (discriminator, generator)]
    reader = twin.experiment.reader("discriminator", 8)
    for step in range(3):
        batch = reader.get(8, 0, 1)
        reader.advance(8)
        draws = Draws((0, 0, step, "discriminator", 0))
        z, label = draws.normal("z", 8, 4), draws.integers("label", 10, 8)
        fake = generator(z, label)
        optimizers[0].zero_grad()
        real = discriminator(batch["x"], batch["label"]).logits
        loss = F.binary_cross_entropy_with_logits(real, torch.ones(8))
        (
            loss + F.binary_cross_entropy_with_logits(discriminator(fake.detach(), label).logits, torch.zeros(8))
        ).backward()
        optimizers[0].step()
        optimizers[1].zero_grad()
        (-F.logsigmoid(discriminator(fake, label).logits).mean()).backward()
        optimizers[1].step()
    found, expected = weights(run), weights(twin)
    assert all(torch.equal(found[key], expected[key]) for key in expected)


TRICKS = {
    "none": [],
    "replay-buffer": [{"replay-buffer": {"size": 16}}],
    "pairs": ["mode-seeking"],
    "both, noise aside": [{"replay-buffer": {"size": 16}}, "mode-seeking"],
}


@pytest.mark.parametrize(
    "settings", [{}, {"accumulate": 2}, {"batches": "joint"}], ids=lambda settings: next(iter(settings), "plain")
)
@pytest.mark.parametrize("tricks", TRICKS.values(), ids=list(TRICKS))
def test_the_discriminator_sees_the_labels_that_fakes_were_made_of(make_run, tricks, settings):
    """The generator paints its label, so each fake can be read, also one back from a pool, or one of a pair."""
    recipe = recipe_of({"cgan": {"latent": 4}}, tricks=tricks, generator="painter", train=settings)
    turns = turns_of(make_run(recipe, {"generator.painter": Painter}), 4)
    assert len(turns) == 8 * settings.get("accumulate", 1)
    for turn in turns:
        (round,) = turn.rounds
        painted = (round.fake.x[:, 0, 0, 0] * 10).round().long()
        assert torch.equal(round.fake.given[0], painted)
        assert len(painted.unique()) > 1


def test_acgan_compares_a_fake_from_a_pool_with_the_label_it_was_made_of(make_run):
    recipe = recipe_of({"acgan": {"latent": 4}}, tricks=[{"replay-buffer": {"size": 16}}], generator="painter")
    for turn in turns_of(make_run(recipe, {"generator.painter": Painter}), 4):
        (round,) = turn.rounds
        assert torch.equal(round.fake.metadata["label"], (round.fake.x[:, 0, 0, 0] * 10).round().long())
        assert round.fake.given == ()


def test_real_samples_come_with_their_own_label(make_run):
    run = make_run(recipe_of({"cgan": {"latent": 4}}))
    held = run.experiment.dataset.tensors
    pictures = {x.numpy().tobytes(): int(label) for x, label in zip(held["x"], held["label"])}
    discriminators = [turn for turn in turns_of(run, 2) if turn.player == "discriminator"]
    for turn in discriminators:
        real = turn.rounds[0].real
        levels = ((real.x + 1) * 127.5).round().to(torch.uint8)
        assert [pictures[x.numpy().tobytes()] for x in levels] == real.given[0].tolist()


def test_copies_of_an_item_share_their_label_and_not_their_latent(make_run):
    for turn in turns_of(make_run(recipe_of({"cgan": {"latent": 4}}, tricks=["mode-seeking"]))):
        label, z = turn.latents["label"], turn.latents["z"]
        assert label.shape == (16,)
        assert torch.equal(label[0::2], label[1::2])
        assert not (z[0::2] == z[1::2]).any()


def test_packed_samples_keep_their_labels_in_order(make_run):
    """Packs of two of the painter's pictures reach the discriminator with both labels."""
    seen = []
    run = make_run(
        recipe_of({"cgan": {"latent": 4}}, tricks=[{"packing": {"m": 2}}], generator="painter"),
        {"generator.painter": Painter},
    )
    run.experiment.modules["discriminator"].register_forward_hook(lambda module, inputs, output: seen.append(inputs))
    run.engine.step(0)
    x, label = seen[1]  # the discriminator's turn: real, then fake
    assert label.shape == (4, 2)
    assert torch.equal(label, (x[:, :, 0, 0] * 10).round().long())


def test_a_generator_that_obeys_is_scored_as_one(make_run):
    """Given real pictures of the digit asked for, class-share finds what its classifier makes of real ones: 0.98 and
    more.
    """

    class Obedient(Painter):
        def __init__(self, interface):
            super().__init__(interface)
            self.pictures = []

        def forward(self, z, label):
            return torch.stack([self.pictures[int(k)] for k in label]) + 0 * self.scale

    scored = {"dataset": {"digits": {"size": 32}}, "evaluators": [{"class-share": {"samples": 200}}]}
    recipe = recipe_of({"cgan": {"latent": 4}}, generator="obedient", **scored)
    run = make_run(recipe, {"generator.obedient": Obedient})
    x, label = run.evaluation.real("x", "test"), run.evaluation.real("label", "test")
    generator = run.experiment.modules["generator"]
    generator.pictures = [x[label == k][3] for k in range(10)]
    run.evaluation.samples = 200
    scores = run.experiment.evaluators[0].evaluate(run.evaluation)
    assert float(scores["[classifier].accuracy"].value) == 1
    run.evaluation.forget_fakes()
    generator.pictures = generator.pictures[1:] + generator.pictures[:1]  # every digit shows the next one
    assert float(run.experiment.evaluators[0].evaluate(run.evaluation)["[classifier].accuracy"].value) == 0


@pytest.mark.parametrize("variant", [CGAN, ACGAN])
def test_data_without_labels_are_refused_with_a_way_out(variant):
    with pytest.raises(Refusal, match="learns from labels") as refused:
        variant().describe({"x": IMAGE})
    assert "variant: gan" in refused.value.reason.instead


# --- AC-GAN ---------------------------------------------------------------------------------------------------


def two_digits(variant, **changes):
    return recipe_of(
        variant, dataset={"digits": {"size": 8, "classes": [0, 1]}}, discriminator="opinionated", **changes
    )


def cross_entropy(labels):
    """By hand, for probabilities 3/4 and 1/4: log(4/3) for each label 0, log 4 for each label 1."""
    ones = int(labels.sum())
    return ((len(labels) - ones) * math.log(4 / 3) + ones * math.log(4)) / len(labels)


def test_acgans_terms_by_hand(make_run):
    """The discriminator's cross-entropies on real samples and on fakes, and the generator's on fakes, each with weight
    1.
    """
    still = {"discriminator": {"optimizer": {"sgd": {"lr": 0}}}}
    run = make_run(two_digits({"acgan": {"latent": 4}}, players=still), {"discriminator.opinionated": Opinionated})
    discriminator, generator = turns_of(run)
    asked = discriminator.latents["label"]
    assert discriminator.terms.keys() == {"adversarial.real", "adversarial.fake", "class_real", "class_fake"}
    assert generator.terms.keys() == {"adversarial.fake", "class_generator"}
    assert discriminator.terms["class_real"].value.item() == pytest.approx(cross_entropy(discriminator.real["label"]))
    assert discriminator.terms["class_fake"].value.item() == pytest.approx(cross_entropy(asked))
    assert generator.terms["class_generator"].value.item() == pytest.approx(cross_entropy(asked))
    assert 0 < int(asked.sum()) < 8, "labels of both classes were asked for"
    assert {term.weight for turn in (discriminator, generator) for term in turn.terms.values()} == {1.0}


def test_acgans_weights_are_its_parameters_and_may_be_scheduled(make_run):
    """As in the conditional WGAN-GP: 1 on real samples, 0 on fakes, 0.1 for the generator (here from 0.3 to 0.1 over 2
    steps).
    """
    weighted = {"acgan": {"latent": 4, "class_fake": 0, "class_generator": {"linear": [0.3, 0.1], "until": 2}}}
    turns = turns_of(make_run(two_digits(weighted), {"discriminator.opinionated": Opinionated}), 3)
    assert [turn.terms["class_real"].weight for turn in turns[::2]] == [1, 1, 1]
    assert [turn.terms["class_fake"].weight for turn in turns[::2]] == [0, 0, 0]
    assert [turn.terms["class_generator"].weight for turn in turns[1::2]] == pytest.approx([0.3, 0.2, 0.1])


def test_the_classification_of_both_roles_moves_the_head(make_run):
    """The gradient of a cross-entropy at the class logits is p - one-hot: (3/4 - share of 0, 1/4 - share of 1), from
    each role.
    """
    run = make_run(two_digits({"acgan": {"latent": 4}}), {"discriminator.opinionated": Opinionated})
    found, update = [], run.engine.update

    def updating(turn):
        if turn.player == "discriminator":
            found.append(run.experiment.modules["discriminator"].heads["class"].grad.clone())
        update(turn)

    run.engine.update = updating
    discriminator, _ = turns_of(run)
    # of class 1
    shares = [labels.double().mean().item() for labels in (discriminator.real["label"], discriminator.latents["label"])]
    expected = sum(0.25 - share for share in shares)
    assert found[0].tolist() == pytest.approx([-expected, expected], abs=1e-6)


def test_acgan_infers_the_class_logits_of_its_head(make_run):
    run = make_run(recipe_of({"acgan": {"latent": 4}}))
    assert run.experiment.description.infers == {"label": Space("labels", (), 10)}
    discriminator = run.experiment.modules["discriminator"].eval()
    x = run.evaluation.real("x", "test", 5)
    with torch.no_grad():
        expected = discriminator(x).heads["class"]
    assert torch.allclose(run.evaluation.inferred("label", n=5), expected, atol=1e-6)


def test_acgans_discriminator_is_not_told_the_label_and_its_generator_is():
    description = ACGAN().describe({"x": IMAGE, "label": Space("labels", (), 10)})
    interfaces = {name: network.interface for name, network in description.networks.items()}
    assert interfaces["discriminator"].given == ()
    assert interfaces["discriminator"].heads == {"class": 10}
    assert interfaces["generator"].given == (Space("labels", (), 10),)
    assert interfaces["generator"].takes.shape == (110,)


def test_acgan_with_several_labels_of_an_item_names_each_of_them():
    """Two labels of 3 classes: 6 numbers a sample, and the mean cross-entropy of both.

    With all logits 0 that is log 3.
    """
    variant = ACGAN()
    description = variant.describe({"x": IMAGE, "label": Space("labels", (2,), 3)})
    assert description.networks["discriminator"].interface.heads == {"class": 6}
    assert description.infers == {}
    stream = Stream(torch.zeros(4, 1), "real", metadata={"label": torch.tensor([[0, 1], [2, 2], [1, 0], [0, 0]])})
    stream.output = DiscriminatorOutput(torch.zeros(4), (), {"class": torch.zeros(4, 6)})
    assert variant.cross_entropy(stream).item() == pytest.approx(math.log(3))
    stream.output.heads["class"] = torch.tensor(
        [[2.0, 0, 0, 0, 2, 0], [0, 0, 2, 0, 0, 2], [0, 2, 0, 2, 0, 0], [2, 0, 0, 2, 0, 0]]
    )
    assert variant.cross_entropy(stream).item() == pytest.approx(math.log(1 + 2 * math.exp(-2)))


def test_acgan_refuses_packs_whose_classes_one_head_cannot_name(make_run):
    """A pack's head is (B / m, K) for m labels each: the shapes do not meet, and no one class is right for a pack of
    two classes.
    """
    with pytest.raises(RefusedError, match="predicts the class of each sample"):
        make_run(recipe_of({"acgan": {"latent": 4}}, tricks=[{"packing": {"m": 2}}]))
    heads = torch.zeros(4, 10)  # what a discriminator of packs says of 8 samples
    with pytest.raises(ValueError, match="batch_size"):
        F.cross_entropy(heads, torch.zeros(8, dtype=torch.long))


# --- both -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("variant", "labels"), [("cgan", "projection"), ("acgan", "one-hot")])
@pytest.mark.parametrize(
    "settings", [{}, {"accumulate": 2, "batches": "joint"}], ids=["plain", "accumulated and joint"]
)
def test_conditional_variants_resume_bit_for_bit(variant, labels, settings):
    generator, discriminator = {"width": 4, "labels": "linear-map", "label_size": 3}, {"width": 4, "labels": labels}
    networks = {"generator": {"dcgan": generator}, "discriminator": {"dcgan": discriminator}}
    recipe = recipe_of(variant, tricks=[{"replay-buffer": {"size": 9}}, "ema"], train=settings, **networks)
    assert_resumes(Plugin(f"variant.{variant}", example=Example({"latent": 4})), recipe, 2, 2)

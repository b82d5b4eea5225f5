"""SGAN: closed forms, labels used where they should be, the baseline without a game, the score of inferred classes."""

import math

import pytest
import torch
import torch.nn.functional as F
from sgan_recipe import recipe_of
from tried_runs import problems_of_run

from ganrun.catalog.catalog import Catalog
from ganrun.testing import probe
from ganrun.testing.evaluators import scores
from ganrun.training.build import RefusedError
from ganrun.words.game import DiscriminatorOutput
from ganrun.words.spaces import Interface, Refusal, Space
from ganrun_plugins.datasets.digits import Digits
from ganrun_plugins.evaluators.accuracy import matched_hits
from ganrun_plugins.networks.dcgan import DCGANDiscriminator
from ganrun_plugins.variants.sgan import SGAN, against_fake, against_zero


def outputs(classes: int = 3, shape: tuple[int, ...] = ()) -> DiscriminatorOutput:
    generator = torch.Generator().manual_seed(0)
    main, head = (3 * torch.randn(5, *size, generator=generator) for size in (shape, (classes,)))
    return DiscriminatorOutput(main, heads={"class": head})


# --- the game's logit -----------------------------------------------------------------------------------------


def test_sigmoid_of_the_logit_is_one_minus_the_probability_of_fake():
    output = outputs()
    l_fake = -output.logits
    whole = torch.cat([output.heads["class"], l_fake[:, None]], 1).softmax(1)  # (B, K + 1)
    assert torch.allclose(against_fake(output).sigmoid(), 1 - whole[:, -1], atol=1e-6)


def test_the_logit_of_outputs_in_bfloat16_is_not_rounded_again():
    """log(e^8 + e^8) = 8.6931...; bfloat16 knows 8.6875 and 8.75."""
    output = DiscriminatorOutput(
        torch.zeros(1, dtype=torch.bfloat16), heads={"class": torch.full((1, 2), 8.0, dtype=torch.bfloat16)}
    )
    for found in (against_fake(output), against_zero(output)):
        assert found.item() == pytest.approx(8 + math.log(2), abs=1e-6)


def test_the_logit_by_hand():
    """Class logits log 2 and log 3, l_fake = log 5: not fake with probability 5 / 10. Improved: l_fake = 0, 5 / 6."""
    output = DiscriminatorOutput(-torch.tensor([math.log(5.0)]), heads={"class": torch.tensor([[2.0, 3.0]]).log()})
    assert float(against_fake(output).sigmoid()) == pytest.approx(5 / 10)
    assert float(against_zero(output).sigmoid()) == pytest.approx(5 / 6)


def test_improved_is_the_other_form_with_the_logit_of_fake_at_0():
    output = outputs()
    output.logits = torch.zeros(5)
    assert torch.equal(against_fake(output), against_zero(output))


def test_a_patch_map_has_a_logit_of_fake_for_each_patch():
    output = outputs(shape=(1, 2, 2))
    found = against_fake(output)
    assert found.shape == (5, 1, 2, 2)
    assert torch.allclose(found[:, 0, 1, 0], output.heads["class"].logsumexp(1) + output.logits[:, 0, 1, 0])


def test_an_energy_loss_is_refused_for_the_logit_has_no_lower_bound(make_run):
    assert float(against_fake(DiscriminatorOutput(torch.zeros(1), heads={"class": torch.full((1, 3), -50.0)}))) < -48
    energy = {"discriminator": {"autoencoder": {"width": 4, "widths": [16], "code": 8}}}
    with pytest.raises(RefusedError, match="no lower bound at 0"):
        make_run(recipe_of(loss="ebgan", **energy))


# --- the terms ------------------------------------------------------------------------------------------------


@pytest.fixture
def first_turns(make_run):
    """A function: the run of a recipe, and player -> its first turn, with terms, streams and real batch, before any
    update.
    """

    def take(recipe):
        run, turns = make_run(recipe), {}
        run.engine.backward, backward = (
            lambda turn: (turns.update({turn.player: turn}), backward(turn)),
            run.engine.backward,
        )
        run.engine.update = lambda turn: None
        run.engine.step(0)
        return run, turns

    return take


def test_terms_of_odena(first_turns):
    """-log p(y | x) over K + 1 classes, -log(1 - p(fake | x)), -log p(fake | G(z)), and the generator's -log(1 - p(fake
    | G(z))).
    """
    run, turns = first_turns(recipe_of())
    network, turn = run.experiment.modules["discriminator"], turns["discriminator"]

    def whole(x):  # log probabilities, (B, K + 1), fake last
        output = network(x)
        return torch.cat([output.heads["class"], -output.logits[:, None]], 1).log_softmax(1)

    labelled = F.nll_loss(whole(turn.real["labelled"]), turn.real["label"])
    fakes = turn.rounds[0].fake.x
    expected = {
        "labelled": labelled,
        "adversarial.real": -(1 - whole(turn.real["x"])[:, -1].exp()).log().mean(),
        "adversarial.fake": -whole(fakes)[:, -1].mean(),
    }
    found = {name: float(term.value.detach()) for name, term in turn.terms.items()}
    assert found == pytest.approx({name: float(value.detach()) for name, value in expected.items()}, rel=1e-5)
    assert {name: term.weight for name, term in turn.terms.items()} == dict.fromkeys(expected, 1.0)
    (generator,) = turns["generator"].terms.values()
    assert float(generator.value.detach()) == pytest.approx(
        float(-(1 - whole(fakes)[:, -1].exp()).log().mean().detach()), rel=1e-5
    )


def test_terms_of_the_improved_form(first_turns):
    """L_lab = -l_y + LSE; L_unl = -LSE(u) / 2 + softplus(LSE(u)) / 2 + softplus(LSE(g)) / 2, and the main output takes
    no part.
    """
    run, turns = first_turns(recipe_of({"form": "improved"}))
    network, turn = run.experiment.modules["discriminator"], turns["discriminator"]
    known, u, g = (network(x).heads["class"] for x in (turn.real["labelled"], turn.real["x"], turn.rounds[0].fake.x))
    labelled = (known.logsumexp(1) - known.gather(1, turn.real["label"][:, None])[:, 0]).mean()
    unlabelled = (-u.logsumexp(1) + F.softplus(u.logsumexp(1)) + F.softplus(g.logsumexp(1))).mean() / 2
    terms = turn.terms
    assert float(terms["labelled"].weight * terms["labelled"].value.detach()) == pytest.approx(
        float(labelled.detach()), rel=1e-5
    )
    found = sum(term.weight * term.value.detach() for name, term in terms.items() if name.startswith("adversarial"))
    assert float(found) == pytest.approx(float(unlabelled.detach()), rel=1e-5)
    assert network.main[-1].weight.grad is None
    assert network.heads["class"].weight.grad is not None


def test_feature_matching_takes_the_place_of_the_improved_generators_game(first_turns):
    _, turns = first_turns(recipe_of({"form": "improved"}, [{"feature-matching": {"adversarial": 0}}]))
    weights = {name: term.weight for name, term in turns["generator"].terms.items()}
    assert weights == {"adversarial.fake": 0.0, "adversarial.feature_matching": 1.0}


@pytest.mark.parametrize(
    "loss", ["least-squares", "hinge", "wasserstein", "relativistic", "relativistic-average", "softmax"]
)
def test_any_loss_sees_the_one_logit(first_turns, loss):
    run, turns = first_turns(recipe_of(loss=loss))
    for turn in turns.values():
        for stream in turn.rounds[0].streams:
            output = run.experiment.modules["discriminator"](stream.x)
            assert torch.allclose(stream.output.logits, output.heads["class"].logsumexp(1) + output.logits, atol=1e-5)
    assert "labelled" in turns["discriminator"].terms
    assert "labelled" not in turns["generator"].terms


@pytest.mark.parametrize("loss", ["cramer", "two-class"])
def test_a_loss_on_several_logits_is_refused(make_run, loss):
    with pytest.raises(RefusedError, match="makes one logit of all"):
        make_run(recipe_of(loss=loss))


def test_labelled_images_are_shown_without_noise_and_leave_statistics_alone(first_turns):
    """Of the discriminator's three calls one has labelled images as they are; BatchNorm counts the game's two."""
    seen = []
    recipe = recipe_of(
        tricks=[{"instance-noise": {"sigma": 1.0}}], size=16, discriminator={"dcgan": {"width": 4, "norm": "batch"}}
    )
    original = DCGANDiscriminator.forward
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            DCGANDiscriminator,
            "forward",
            lambda self, x: seen.append((x.detach().clone(), self.training)) or original(self, x),
        )
        run, turns = first_turns(recipe)
    turn = turns["discriminator"]
    calls = [x for x, training in seen if training][:3]
    assert [torch.equal(x, turn.real["labelled"]) for x in calls] == [False, False, True]
    assert not any(torch.equal(x, turn.real["x"]) for x in calls)
    layers = [m for m in run.experiment.modules["discriminator"].modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert {int(layer.num_batches_tracked) for layer in layers} == {3}  # real, fake, and fake in the generator's turn


def test_packing_is_refused_for_a_pack_has_one_row_of_class_logits(make_run):
    packed = DCGANDiscriminator(Interface(takes=Space("image", (1, 8, 8)), heads={"class": 10}, pack=2), width=4)
    assert packed(torch.rand(3, 2, 8, 8)).heads["class"].shape == (3, 10)  # for six labels
    with pytest.raises(RefusedError, match="one row of class logits"):
        make_run(recipe_of(tricks=[{"packing": {"m": 2}}]))


# --- the baseline ---------------------------------------------------------------------------------------------


def weights(run) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in run.experiment.modules["discriminator"].named_parameters()}


def trained(make_run, recipe, steps=3):
    run = make_run(recipe)
    for step in range(steps):
        run.engine.step(step)
    return run


def test_without_the_game_the_discriminator_learns_as_a_classifier_on_the_labels_alone(make_run):
    """Against a loop written by hand that sees no unlabelled image and no fake."""
    recipe = recipe_of({"form": "improved", "unlabelled": 0})
    found, twin = weights(trained(make_run, recipe)), make_run(recipe)
    network = twin.experiment.modules["discriminator"]
    optimizer, reader = (
        torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999)),
        twin.experiment.reader("discriminator", 8),
    )
    for _ in range(3):
        batch = reader.get(8)
        reader.advance(8)
        optimizer.zero_grad()
        F.cross_entropy(network(batch["labelled"]).heads["class"], batch["label"]).backward()
        optimizer.step()
    assert all(torch.allclose(found[name], p, atol=1e-7) for name, p in network.named_parameters())


@pytest.mark.parametrize("form", ["odena", "improved"])
def test_without_the_game_no_other_part_reaches_the_discriminator(make_run, form):
    alone = {"form": form, "unlabelled": 0}
    off = [weights(trained(make_run, recipe_of(alone, loss=loss))) for loss in ("non-saturating", "least-squares")]
    on = weights(trained(make_run, recipe_of({"form": form})))
    assert all(torch.equal(off[0][name], off[1][name]) for name in on)
    assert not all(torch.equal(off[0][name], on[name]) for name in on)


@pytest.mark.parametrize("form", ["odena", "improved"])
def test_resumes_bit_for_bit(form):
    assert (
        problems_of_run(
            Catalog(modules=[probe]), recipe_of({"form": form}, [{"instance-noise": {"sigma": 0.1}}, "ema"])
        )
        == []
    )


def test_data_whose_labels_are_all_known_need_no_wrapper(first_turns):
    run, turns = first_turns(recipe_of(dataset={"digits": {"size": 8}}))
    turn = turns["discriminator"]
    expected = F.cross_entropy(
        run.experiment.modules["discriminator"](turn.real["x"]).heads["class"], turn.real["label"]
    )
    expected = expected + F.softplus(-turn.rounds[0].real.logits).mean()
    assert float(turn.terms["labelled"].value.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


def test_data_without_labels_are_refused():
    with pytest.raises(Refusal, match="an entry 'label'"):
        SGAN().describe({"x": Space("image", (1, 8, 8))})


# --- the score ------------------------------------------------------------------------------------------------


def test_matching_by_hand():
    """Codes 0, 1, 2 stand for classes 1, 0, 2: 2 + 2 + 1 of six are right."""
    assert matched_hits(torch.tensor([0, 0, 1, 1, 1, 2]), torch.tensor([1, 1, 0, 0, 2, 2]), 3, 3) == 5


def test_matching_is_not_greedy():
    """Counts [[3, 2], [2, 0]]: to take the 3 first leaves 0; the best is 2 + 2."""
    code, label = torch.tensor([0, 0, 0, 0, 0, 1, 1]), torch.tensor([0, 0, 0, 1, 1, 0, 0])
    assert matched_hits(code, label, 2, 2) == 4


def test_a_code_or_a_class_left_over_is_wrong_always():
    # one of the two codes for class 0
    assert matched_hits(torch.tensor([0, 1, 2, 2]), torch.tensor([0, 0, 1, 1]), 3, 2) == 3
    assert matched_hits(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 1, 1, 2]), 2, 3) == 3


def scored(make_run, logits, **parameters) -> dict[str, float]:
    """What accuracy says if the networks infer ``logits(label)``."""
    run = make_run(recipe_of(evaluators=[{"accuracy": parameters}]))
    label = run.evaluation.labels()
    run.evaluation.inferred = lambda name, split="test", n=None: logits(label)
    return scores(run)


def test_accuracy_of_labels_known_and_shifted(make_run):
    assert scored(make_run, lambda label: F.one_hot(label, 10).float()) == {"accuracy": 1.0}
    assert scored(make_run, lambda label: F.one_hot((label + 1) % 10, 10).float()) == {"accuracy": 0.0}
    assert scored(make_run, lambda label: F.one_hot((label + 1) % 10, 10).float(), matched=True) == {
        "accuracy.matched": 1.0
    }


def test_accuracy_of_one_answer_for_all_is_the_share_of_that_class(make_run):
    share = float((Digits(None, "test", size=8).tensors["label"] == 3).double().mean())
    for matched, name in ((False, "accuracy"), (True, "accuracy.matched")):
        found = scored(make_run, lambda label: F.one_hot(torch.full_like(label, 3), 10).float(), matched=matched)
        most = share if not matched else float(Digits(None, "test", size=8).tensors["label"].bincount().max()) / 898
        assert found == {name: pytest.approx(most)}


def test_logits_that_are_not_finite_have_no_accuracy(make_run):
    found = scored(make_run, lambda label: torch.full((len(label), 10), math.nan))
    assert math.isnan(found["accuracy"])


def test_accuracy_of_a_trained_network_is_that_of_its_class_logits(make_run):
    run = trained(make_run, recipe_of(evaluators=["accuracy"]), steps=2)
    base = Digits(None, "test", size=8)
    x = base.tensors["x"].float() / 127.5 - 1
    with torch.no_grad():
        found = run.experiment.modules["discriminator"].eval()(x).heads["class"].argmax(1)
    assert scores(run) == {"accuracy": pytest.approx(float((found == base.tensors["label"]).double().mean()))}


@pytest.mark.parametrize(
    ("variant", "parameters", "why"),
    [
        ({"dcgan": {"latent": 4}}, {}, "infers no class"),
        ({"sgan": {"latent": 4}}, {"of": "code"}, "no classes called 'code'"),
        ({"infogan": {"latent": 4}}, {"of": "continuous"}, "no classes called 'continuous'"),
        ({"infogan": {"latent": 4}}, {}, "which of its values should stand for which class"),
    ],
)
def test_what_cannot_be_scored_is_refused_before_training(make_run, variant, parameters, why):
    networks = (
        {"generator": {"infogan": {"width": 2}}, "discriminator": {"infogan": {"width": 2}}}
        if "infogan" in variant
        else {}
    )
    with pytest.raises(RefusedError, match=why):
        make_run({**recipe_of(evaluators=[{"accuracy": parameters}], **networks), "variant": variant})

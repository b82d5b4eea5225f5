"""StarGAN: label vector, mask and classification by hand, its step against a loop by hand, and runs."""

import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ganrun.catalog.catalog import Catalog
from ganrun.randomness import Draws
from ganrun.schedule import Clock, Scheduled
from ganrun.training.build import RefusedError
from ganrun.words.hooks import hookimpl
from ganrun.words.spaces import Refusal, Space
from ganrun_plugins.variants.stargan import StarGAN, shuffled_within

QUIET = ["progress", "samples", "metrics-log", "health", "checkpoints"]
X = Space("image", (1, 16, 16))
TWO_SETS = {
    "x": X,
    "source": Space("labels", (), 2),
    "attributes_a": Space("labels", (2,), 2),
    "label_b": Space("labels", (), 3),
}
MULTI = {
    "multi": {
        "sets": {
            "a": {"styled-digits": {"size": 8, "styles": ["bold", "slanted"], "attributes": True, "scans": "even"}},
            "b": {"styled-digits": {"size": 8, "styles": ["plain", "inverted"], "scans": "odd"}},
        }
    }
}


def recipe_of(*, tricks=(), without=("gradient-penalty",), **changes) -> dict:
    """A tiny recipe in the log form, without the penalty, unless it is said."""
    base = {
        "variant": "stargan",
        "dataset": {"styled-digits": {"size": 8}},
        "loss": "non-saturating",
        "generator": {"stargan": {"blocks": 1, "width": 4}},
        "discriminator": {"stargan": {"width": 4}},
        "players": {"discriminator": {"updates": 1}},
        "tricks": list(tricks),
        "without": [*QUIET, *without],
    }
    return {**base, **changes, "train": {"steps": 4, "batch_size": 4, "device": "cpu", **changes.get("train", {})}}


def described(**parameters) -> StarGAN:
    variant = StarGAN(**parameters)
    variant.describe(TWO_SETS)
    return variant


# --- labels, mask, classification -------------------------------------------------------------------------------


LABELS = {  # the first item is of set a, the second of set b
    "source": torch.tensor([0, 1]),
    "attributes_a": torch.tensor([[1, 0], [0, 0]]),
    "label_b": torch.tensor([0, 2]),
}


def test_the_label_vector_holds_all_sets_zeros_for_those_not_known_and_the_mask():
    found = described().vector(LABELS, torch.zeros(()))
    #                            a: bold, slanted | b: one of three | mask
    assert torch.equal(found, torch.tensor([[1.0, 0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 1, 0, 1]]))


def test_several_sets_widen_the_vector_by_the_mask_and_the_head_by_the_labels_alone():
    description = StarGAN().describe(TWO_SETS)
    assert description.networks["generator"].interface.given == (Space("latent", (2 + 3 + 2,)),)
    assert description.networks["discriminator"].interface.heads == {"class": 2 + 3}
    one = StarGAN().describe({"x": X, "label": Space("labels", (), 4)})
    assert one.networks["generator"].interface.given == (Space("latent", (4,)),)


def test_classification_is_summed_over_attributes_and_divided_by_the_batch():
    """Logits of 0: log 2 for each of the first item's two attributes, log 3 for the second's label of three."""
    found = described().classify(torch.zeros(2, 5), LABELS)
    assert float(found) == pytest.approx((2 * math.log(2) + math.log(3)) / 2)
    variant = StarGAN()
    variant.describe({"x": X, "attributes": Space("labels", (3,), 2)})
    logits, labels = (
        torch.randn(4, 3, generator=torch.Generator().manual_seed(0)),
        torch.tensor([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]]),
    )
    expected = F.binary_cross_entropy_with_logits(logits, labels.float(), reduction="sum") / 4
    assert torch.allclose(variant.classify(logits, {"attributes": labels}), expected)


def test_no_gradient_goes_to_the_labels_that_an_item_does_not_know():
    logits = torch.randn(2, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    described().classify(logits, LABELS).backward()
    assert torch.equal(logits.grad[0, 2:], torch.zeros(3))
    assert torch.equal(logits.grad[1, :2], torch.zeros(2))
    assert bool((logits.grad[0, :2] != 0).all()) and bool((logits.grad[1, 2:] != 0).all())  # noqa: PT018


def test_several_labels_of_more_than_two_classes_are_one_hot_and_classified_each():
    variant = StarGAN()
    variant.describe({"x": X, "moods": Space("labels", (2,), 3)})
    labels = {"moods": torch.tensor([[0, 2]])}
    assert torch.equal(variant.vector(labels, torch.zeros(())), torch.tensor([[1.0, 0, 0, 0, 0, 1]]))
    logits = torch.tensor([[2.0, 0, 0, 0, 0, 0]])
    assert float(variant.classify(logits, labels)) == pytest.approx(
        -math.log(math.exp(2) / (math.exp(2) + 2)) + math.log(3)
    )


def test_targets_of_a_batch_are_its_own_labels_set_by_set():
    source = torch.tensor([0, 1, 1, 0, 0, 1, 0])
    seen = set()
    for seed in range(50):
        order = shuffled_within(source, torch.randperm(7, generator=torch.Generator().manual_seed(seed)))
        assert torch.equal(source[order], source)
        assert torch.equal(order.sort().values, torch.arange(7))
        seen.add(tuple(order.tolist()))
    assert len(seen) > 30  # of 50 draws of 4! * 3! = 144 equally likely orders about 42 differ


@pytest.mark.parametrize(
    ("spaces", "parameters", "why"),
    [
        ({"x": X}, {}, "the data has no labels"),
        ({"x": X, "one": Space("labels", (), 2), "other": Space("labels", (), 2)}, {}, "set its `of`"),
        ({"x": X, "label": Space("labels", (), 2)}, {"of": "style"}, "names the labels 'style'"),
        (
            {"x": X, "source": Space("labels", (), 2), "label_a": Space("labels", (), 2)},
            {},
            "one entry of labels for each set",
        ),
        (TWO_SETS, {"of": "label_b"}, "not known, of the items of all other sets"),
    ],
)
def test_data_whose_labels_do_not_say_the_domains_are_refused(spaces, parameters, why):
    with pytest.raises(Refusal, match=why):
        StarGAN(**parameters).describe(spaces)


# --- in runs ----------------------------------------------------------------------------------------------------


def by_hand(twin, steps: int) -> None:
    """Wasserstein with a penalty of 10 on the slope of the summed patch map; two discriminator updates, one of the
    generator.
    """
    g, d = twin.experiment.modules["generator"], twin.experiment.modules["discriminator"]
    adam = {"lr": 1e-4, "betas": (0.5, 0.999)}
    of_d, of_g = torch.optim.Adam(d.parameters(), **adam), torch.optim.Adam(g.parameters(), **adam)
    readers = {phase: twin.experiment.reader(phase, 4) for phase in ("discriminator", "generator")}

    def turn(phase, step, repeat):
        batch = readers[phase].get(4, 0, 1)
        readers[phase].advance(4)
        draws = Draws((0, 0, step, phase, repeat))
        return batch["x"], batch["label"], batch["label"][draws.permutation("targets", 4)], draws

    def as_given(label):
        return F.one_hot(label, 4).double()

    for step in range(steps):
        for repeat in range(2):
            x, label, target, draws = turn("discriminator", step, repeat)
            fake = g(x, as_given(target)).detach()
            e = draws.uniform("gradient-penalty", 4)[:, None, None, None]
            between = (x + e * (fake - x)).requires_grad_()
            (slope,) = torch.autograd.grad(d(between).logits.sum(), between, create_graph=True)
            penalty = (slope.flatten(1).square().sum(1).sqrt() - 1).square().mean()
            real = d(x)
            loss = (
                -real.logits.mean() + d(fake).logits.mean() + F.cross_entropy(real.heads["class"], label) + 10 * penalty
            )
            of_d.zero_grad()
            loss.backward()
            of_d.step()
        x, label, target, _ = turn("generator", step, 0)
        fake = g(x, as_given(target))
        judged = d(fake)
        loss = (
            -judged.logits.mean()
            + F.cross_entropy(judged.heads["class"], target)
            + 10 * F.l1_loss(g(fake, as_given(label)), x)
        )
        of_g.zero_grad()
        loss.backward()
        of_g.step()


def test_a_step_is_that_of_a_hand_written_loop(make_run):
    """Also: the way back is given the source's label, and the penalty's slope is that of the sum over patches."""
    adam = {"optimizer": {"adam": {"lr": 1e-4, "betas": [0.5, 0.999]}}}
    recipe = recipe_of(
        without=(),
        loss="wasserstein",
        tricks=[{"gradient-penalty": {"weight": 10}}],
        dataset={"styled-digits": {"size": 16}},
        discriminator={"stargan": {"width": 4, "layers": 2}},
        players={"discriminator": {**adam, "updates": 2}, "generator": adam},
        train={"precision": "float64"},
    )
    run, twin = make_run(recipe), make_run(recipe)
    with run.experiment.settings():
        assert twin.experiment.modules["discriminator"](torch.zeros(1, 1, 16, 16)).logits.shape == (1, 1, 4, 4)
        for step in range(3):
            run.engine.step(step)
        by_hand(twin, 3)
    for name, module in twin.experiment.modules.items():
        for key, expected in module.state_dict().items():
            assert torch.allclose(run.experiment.modules[name].state_dict()[key], expected, rtol=0, atol=1e-9), (
                f"{name}.{key}"
            )


def test_of_two_sets_every_item_is_asked_for_labels_of_its_own_set_and_given_its_own_on_the_way_back(make_run):
    run = make_run(recipe_of(dataset=MULTI, train={"batch_size": 32}))
    given, batches = [], []
    run.engine.modules["generator"].register_forward_pre_hook(lambda module, args: given.append(args[1].clone()))
    make = run.engine.variant.make
    run.engine.variant.make = lambda turn: (batches.append((turn.player, dict(turn.real))), make(turn))[1]
    run.engine.step(0)
    assert [player for player, _ in batches] == ["discriminator", "generator"]
    real = batches[1][1]
    asked, back = given[1:]  # the discriminator's turn translates once
    assert torch.equal(back, run.engine.variant.vector(real, back))
    assert torch.equal(asked[:, -2:], back[:, -2:]), "the mask of the item's own set"
    assert not torch.equal(asked, back)
    assert torch.equal(asked.sum(0), back.sum(0)), "the batch's own labels in another order"


def test_outside_training_every_label_of_every_set_is_asked_for(make_run):
    run = make_run(recipe_of(dataset=MULTI))
    source, attributes, label = (
        run.evaluation.fake_labels(300, name) for name in ("source", "attributes_a", "label_b")
    )
    assert 100 < int(source.sum()) < 200
    assert 50 < int(label[source == 1].sum()) < 100
    assert not bool(attributes[source == 1].any()) and not bool(label[source == 0].any())  # noqa: PT018
    assert len({tuple(row) for row in attributes[source == 0].tolist()}) == 4


class Painter(nn.Module):
    """Paints the number of the label it is given over the whole picture, and keeps a parameter to be trained."""

    takes, makes = frozenset({"image"}), frozenset({"image"})

    def __init__(self, interface):
        super().__init__()
        self.idle = nn.Parameter(torch.zeros(()))

    def forward(self, x, given):
        return x * 0 + self.idle + given.argmax(1).to(x.dtype)[:, None, None, None] / 4


def test_what_was_asked_belongs_to_the_fakes_row_by_row(make_run):
    run = make_run(recipe_of(generator="painter"), plugins={"generator.painter": Painter})
    made, asked = run.evaluation.fakes(n=600), run.evaluation.fake_labels(600)  # more than one chunk
    assert torch.equal((made[:, 0, 0, 0] * 4).round().long(), asked)
    assert asked.bincount(minlength=4).min() > 100


def test_copies_of_an_item_share_their_target(make_run):
    class Twice:
        strength = ""

        @hookimpl
        def phase_start(self, turn):
            turn.copies = 2

    seen = []
    run = make_run(recipe_of(tricks=["twice"]), plugins={"trick.twice": Twice})
    sample = run.engine.variant.sample
    run.engine.variant.sample = lambda turn: (sample(turn), seen.append(turn.latents["label"]))
    run.engine.step(0)
    assert all(len(target) == 8 and torch.equal(target[0::2], target[1::2]) for target in seen)


def test_panels_show_each_item_beside_every_target(make_run):
    for dataset, columns in (({"styled-digits": {"size": 8}}, 1 + 4), (MULTI, 1 + 2 + 2)):
        run = make_run(recipe_of(dataset=dataset))
        real = {name: run.evaluation.real(name, n=3) for name in run.experiment.dataset.spaces}
        (panel,) = run.sample_maker.panels(3, real=real).values()
        assert len(panel.columns) == len(set(panel.column_names)) == columns
        assert torch.equal(panel.columns[0], real["x"])
        assert not any(torch.equal(one, other) for one, other in pairwise(panel.columns))


SETTINGS = [{"accumulate": 2}, {"batches": "joint"}, {"precision": "bfloat16"}, {"channels_last": True}]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: next(iter(settings)))
def test_two_sets_with_a_penalty_train_under_every_setting(make_run, settings):
    run = make_run(
        recipe_of(dataset=MULTI, loss="wasserstein", without=(), tricks=["gradient-penalty"], train=settings)
    )
    for step in range(2):
        run.engine.step(step)
    assert set(run.engine.terms["generator"]) == {"adversarial.fake", "classification", "reconstruction"}
    assert set(run.engine.terms["discriminator"]) == {
        "adversarial.real",
        "adversarial.fake",
        "classification",
        "adversarial.gradient-penalty",
    }
    assert all(bool(torch.isfinite(value)) for terms in run.engine.terms.values() for value in terms.values())


# a pack has no one domain; there is no latent; there is no batch normalisation
REFUSED = {
    "packing",
    "mode-seeking",
    "latent-consistency",
    "truncation",
    "metropolis-hastings",
    "norm-swap",
    "virtual-batch-norm",
}


@pytest.mark.slow
def test_every_trick_goes_with_it_or_is_refused_for_a_reason(make_run):
    refused, catalog = set(), Catalog()
    for name in catalog.names("trick"):
        try:
            # the default of perceptual would train a classifier; reduce-on-plateau has none
            given = {"perceptual": {"features": "pixels"}, "reduce-on-plateau": {"watch": "adversarial.real"}}
            trick = {name: given[name]} if name in given else name
            run = make_run(
                recipe_of(tricks=[trick], without=[] if name == "gradient-penalty" else ["gradient-penalty"])
            )
        except RefusedError:
            refused.add(name)
            continue
        run.engine.step(0)
        values = [term for terms in run.engine.terms.values() for term in terms.values()]
        assert all(bool(torch.isfinite(value)) for value in values), name
    assert refused == REFUSED


def test_packing_is_refused_because_a_pack_has_no_single_domain(make_run):
    with pytest.raises(RefusedError, match="a pack has samples of several"):
        make_run(recipe_of(tricks=["packing"]))


def test_rates_end_at_zero_as_in_the_paper_and_in_the_authors_code_hardly_fall():
    clock = Clock(40_000, 16, 1)
    rate = Scheduled(StarGAN.defaults["players"]["generator"]["optimizer"]["adam"]["lr"])
    assert [rate.at(step, clock) for step in (0, 20_000, 30_000, 40_000)] == pytest.approx([1e-4, 1e-4, 5e-5, 0.0])
    theirs = 1e-4 - sum(1e-4 / 100_000 for update in range(1, 200_001) if update % 1000 == 0 and update > 100_000)
    assert Scheduled({"linear": [1e-4, 9.99e-5], "from": "50%"}).at(40_000, clock) == pytest.approx(theirs, rel=1e-9)

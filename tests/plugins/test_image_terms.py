"""Total variation and the perceptual term: values by hand, whose turns they are in, and where their gradients go."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ganrun.data.reader import InMemory
from ganrun.engine.turn import Turn
from ganrun.evaluation.features import FeatureContext
from ganrun.randomness import Draws
from ganrun.schedule import Clock
from ganrun.training import checkpoint
from ganrun.training.build import RefusedError
from ganrun.words.game import Phase
from ganrun.words.spaces import DataFiles, Refusal, Space
from ganrun_plugins._classifier_network import to_float
from ganrun_plugins.datasets.digits import Digits
from ganrun_plugins.features.classifier import Classifier
from ganrun_plugins.features.pixels import Pixels
from ganrun_plugins.tricks.perceptual import Perceptual
from ganrun_plugins.tricks.total_variation import TotalVariation, total_variation

IMAGE = Space("image", (1, 2, 2))


def turn_of(made, real=None, player: str = "generator") -> Turn:
    engine = SimpleNamespace(clock=Clock(total=100, batch=1, dataset=100))
    turn = Turn(engine, Phase(player, player), step=50, draws=Draws(("key",)), modules={}, batch_size=1, real=real)
    turn.made = made
    return turn


def trained(run, steps: int = 2):
    for step in range(steps):
        run.engine.step(step)
    return run


# --- total variation ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "want"), [("isotropic", 3.0), ("anisotropic", 3.5), ("squared", 12.5)])
def test_total_variation_by_hand(form, want):
    """Of rows (0, 3) and (4, 0): (dx, dy) is (3, 4), (0, -3), (-4, 0), (0, 0).

    Roots 5 + 3 + 4, absolute values 7 + 3 + 4, squares 25 + 9 + 16, each over 4 pixels. A flat image beside it halves
    all.
    """
    x = torch.tensor([[[[0.0, 3.0], [4.0, 0.0]]]])
    assert total_variation(x, form).item() == pytest.approx(want)
    assert total_variation(torch.cat([x, torch.ones_like(x)]), form).item() == pytest.approx(want / 2)
    assert total_variation(torch.cat([x, torch.ones_like(x)], dim=1), form).item() == pytest.approx(want / 2)


@pytest.mark.parametrize("form", ["isotropic", "anisotropic", "squared"])
def test_a_flat_image_has_value_0_and_gradient_0(form):
    x = torch.full((2, 3, 4, 4), 0.5, requires_grad=True)
    value = total_variation(x, form)
    value.backward()
    assert value == 0
    assert torch.equal(x.grad, torch.zeros_like(x))


@pytest.mark.parametrize("form", ["isotropic", "anisotropic", "squared"])
def test_the_gradient_of_total_variation_is_that_of_the_formula(form):
    x = torch.randn(2, 1, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: total_variation(x, form), x)


def test_isotropic_variation_does_not_depend_on_the_slopes_direction_within_a_plane():
    """A plane of slope 1 along x, or along the diagonal: the root is 1 for both, the sum of absolute values is not."""
    side = torch.arange(400.0, dtype=torch.float64)
    along_x = side.expand(400, 400)[None, None]
    diagonal = ((side[:, None] + side) / 2**0.5)[None, None]
    assert total_variation(along_x, "isotropic").item() == pytest.approx(
        total_variation(diagonal, "isotropic").item(), rel=0.01
    )
    assert total_variation(diagonal, "anisotropic").item() == pytest.approx(2**0.5, rel=0.01)


def test_total_variation_is_computed_in_float32_at_least():
    assert total_variation(torch.ones(1, 1, 2, 2, dtype=torch.bfloat16), "isotropic").dtype == torch.float32
    assert total_variation(torch.ones(1, 1, 2, 2, dtype=torch.float64), "isotropic").dtype == torch.float64


def test_every_image_output_of_the_one_who_makes_it_gets_a_term():
    trick = TotalVariation(weight=0.5)
    trick.images = ["a", "b"]
    x = torch.tensor([[[[0.0, 3.0], [4.0, 0.0]]]])
    turn = turn_of({"a": x.clone().requires_grad_(), "b": 2 * x, "other": x.clone().requires_grad_()})
    trick.losses(turn)  # b is cut: not this turn's
    trick.losses(turn)  # as a second instance would
    assert len(turn.terms) == 2
    first = turn.terms["a.total-variation"]
    assert (first.value.item(), first.weight) == (pytest.approx(3.0), 0.5)


def test_total_variation_in_a_run(make_run, small_cyclegan):
    run = trained(make_run(small_cyclegan(tricks=["total-variation"])))
    terms = {phase: {name for name in found if "variation" in name} for phase, found in run.engine.terms.items()}
    assert terms == {"generator": {"a.total-variation", "b.total-variation"}, "discriminator": set()}


def test_a_heavy_weight_makes_flatter_images(make_run, tiny):
    def variation(weight):
        dcgan = {"dcgan": {"width": 4, "norm": "none"}}
        tricks = [{"total-variation": {"weight": weight}}]
        recipe = tiny(
            variant={"dcgan": {"latent": 4}},
            dataset={"digits": {"size": 8}},
            generator=dcgan,
            discriminator=dcgan,
            tricks=tricks,
        )
        run = trained(make_run(recipe), 20)
        return float(total_variation(run.sample_maker.turn(32).made["x"], "isotropic"))

    assert variation(100.0) < 0.7 * variation(0.0)


def test_total_variation_refuses_points(make_run, tiny):
    with pytest.raises(RefusedError, match=r"total-variation: .*makes no images"):
        make_run(tiny(tricks=["total-variation"]))


# --- perceptual -----------------------------------------------------------------------------------------------


def on_pixels(**parameters) -> Perceptual:
    trick = Perceptual(features=None, **parameters)
    trick.pairs = {"rec_a": "a"}
    data = InMemory({"a": torch.zeros(4, 1, 2, 2)}, {"a": IMAGE})
    trick.extract = {"a": Pixels(FeatureContext("a", IMAGE, data, Path(), torch.device("cpu")))}
    return trick


BY_HAND = [("squared", 3.5, [0.0, 1.0, -1.5, 0.5]), ("l1", 1.5, [0.0, 0.25, -0.25, 0.25])]


@pytest.mark.parametrize(("distance", "want", "gradient"), BY_HAND)
def test_the_perceptual_distance_on_pixels_is_the_plain_one(distance, want, gradient):
    """made - real is d = (0, 2, -3, 1): squares 14 and absolute values 6, over 4 pixels; the gradient is 2 d / 4, or
    sign(d) / 4.
    """
    real = torch.tensor([[[[1.0, 0.0], [2.0, 0.0]]]])
    difference = torch.tensor([[[[0.0, 2.0], [-3.0, 1.0]]]])
    made = (real + difference).requires_grad_()
    turn = turn_of({"rec_a": made}, {"a": real})
    on_pixels(distance=distance, weight=3.0).losses(turn)
    term = turn.terms["rec_a.perceptual"]
    assert term.weight == 3.0
    assert term.value.item() == pytest.approx(want)
    term.value.backward()
    assert made.grad.flatten().tolist() == pytest.approx(gradient)
    assert real.grad is None


def test_the_perceptual_term_is_absent_where_nothing_was_made_or_nothing_can_be_learned():
    trick, real = on_pixels(), {"a": torch.zeros(1, 1, 2, 2)}
    for made in ({}, {"a": torch.ones(1, 1, 2, 2, requires_grad=True)}, {"rec_a": torch.ones(1, 1, 2, 2)}):
        turn = turn_of(made, real)
        trick.losses(turn)
        assert turn.terms == {}


def test_two_of_them_in_one_turn_are_two_terms():
    turn = turn_of({"rec_a": torch.ones(1, 1, 2, 2, requires_grad=True)}, {"a": torch.zeros(1, 1, 2, 2)})
    on_pixels().losses(turn)
    on_pixels(distance="l1").losses(turn)
    assert len(turn.terms) == 2


def test_the_l1_distance_of_pixels_is_cyclegans_own_cycle_term(make_run, small_cyclegan):
    """A run whose cycle term is replaced by it goes where the run with the cycle term goes."""
    other = {"perceptual": {"features": "pixels", "distance": "l1", "weight": 10.0}}
    with_cycle = trained(make_run(small_cyclegan(variant={"cyclegan": {"cycle": 10.0, "identity": 0.0}})), 3)
    replaced = trained(
        make_run(small_cyclegan(variant={"cyclegan": {"cycle": 0.0, "identity": 0.0}}, tricks=[other])), 3
    )
    neither = trained(make_run(small_cyclegan(variant={"cyclegan": {"cycle": 0.0, "identity": 0.0}})), 3)
    terms = replaced.engine.terms["generator"]
    for name in ("a", "b"):
        torch.testing.assert_close(terms[f"rec_{name}.perceptual"], terms[f"cycle_{name}"])
    weights = [run.engine.modules["generator_ab"].state_dict() for run in (with_cycle, replaced, neither)]
    for key in weights[0]:
        assert torch.allclose(weights[0][key], weights[1][key], atol=1e-5)
    assert any(not torch.allclose(weights[0][key], weights[2][key], atol=1e-5) for key in weights[0])


def test_with_a_classifier_only_the_generators_learn_and_no_checkpoint_holds_it(make_run, small_cyclegan):
    run = trained(make_run(small_cyclegan(tricks=[{"perceptual": {"weight": 2.0}}])))
    assert {"rec_a.perceptual", "rec_b.perceptual"} <= run.engine.terms["generator"].keys()
    assert not any("perceptual" in name for name in run.engine.terms["discriminator"])
    (trick,) = [trick for trick in run.experiment.tricks if isinstance(trick, Perceptual)]
    for extract in trick.extract.values():
        assert all(p.grad is None and not p.requires_grad for p in extract.network.parameters())
    with_it, without = {}, {}
    checkpoint.flatten(run.state_dict(), with_it)
    checkpoint.flatten(trained(make_run(small_cyclegan(tricks=[]))).state_dict(), without)
    logged = {f"/terms/generator/rec_{name}.perceptual" for name in ("a", "b")}
    assert with_it.keys() - logged == without.keys()


def test_the_classifiers_gradient_brings_features_closer(tmp_path):
    """Gradient descent on the term alone moves an image towards the features of another one."""
    data = Digits(DataFiles(tmp_path, tmp_path), "test", size=16)
    trick = on_pixels()
    trick.extract = {"a": Classifier(FeatureContext("x", data.spaces["x"], data, tmp_path, torch.device("cpu")))}
    pictures = to_float(data.tensors["x"][:8])
    real, made = pictures[:4], pictures[4:].clone().requires_grad_()
    values = []
    for _ in range(30):
        turn = turn_of({"rec_a": made}, {"a": real})
        trick.losses(turn)
        value = turn.terms["rec_a.perceptual"].value
        (gradient,) = torch.autograd.grad(value, made)
        values.append(value.item())
        with torch.no_grad():
            made -= 0.05 * gradient / gradient.abs().amax()
    assert values[-1] < 0.5 * values[0]


def test_perceptual_refuses_a_variant_without_pairs(make_run, tiny):
    with pytest.raises(RefusedError, match=r"perceptual: .*ought to equal a certain real one"):
        make_run(tiny(tricks=[{"perceptual": {"features": "pixels"}}]))


def test_what_the_features_refuse_is_refused_before_training(make_run, small_cyclegan):
    class Never:
        """Features for nothing."""

        def __init__(self, context):
            raise Refusal(f"nothing is known of {context.name}", "features: pixels")

    with pytest.raises(RefusedError, match=r"perceptual: nothing is known of a"):
        make_run(small_cyclegan(tricks=[{"perceptual": {"features": "never"}}]), {"features.never": Never})


# --- features without a gradient ------------------------------------------------------------------------------


def test_evaluators_run_features_without_a_gradient(make_run, tiny):
    seen = []

    class Watching(Pixels):
        """Pixels that notice whether a graph is kept."""

        def __call__(self, x):
            seen.append(torch.is_grad_enabled())
            return super().__call__(x)

    recipe = tiny(evaluators=[{"frechet-distance": {"features": "watching", "samples": 16}}])
    run = make_run(recipe, {"features.watching": Watching})
    run.evaluation.samples = 16
    run.evaluators[0][1].evaluate(run.evaluation)
    assert seen
    assert not any(seen)

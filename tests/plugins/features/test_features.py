"""Feature spaces: pixels, and the classifier: the shipped one for digits, and one trained for other data."""

from pathlib import Path

import pytest
import torch

from ganrun.catalog.catalog import Catalog
from ganrun.data.reader import InMemory
from ganrun.errors import DataError
from ganrun.evaluation.features import FeatureContext
from ganrun.words.spaces import Refusal, Space
from ganrun_plugins import _classifier_network as networks
from ganrun_plugins.datasets.digits import Digits
from ganrun_plugins.datasets.restyled_digits import RestyledDigits
from ganrun_plugins.features.classifier import SHIPPED, Classifier, default_steps
from ganrun_plugins.features.pixels import Pixels


def context(data, cache, name="x"):
    return FeatureContext(name, data.spaces[name], data, cache, torch.device("cpu"))


def bars(n=64, labels=True):
    """Colour pictures of two classes: a bright bar at the top or at the bottom."""
    label = torch.arange(n) % 2
    x = torch.randint(0, 60, (n, 3, 12, 12), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    x[label == 0, :, :3] = 250
    x[label == 1, :, -3:] = 250
    tensors, spaces = {"x": x}, {"x": Space("image", (3, 12, 12))}
    if labels:
        tensors["label"], spaces["label"] = label, Space("labels", (), 2)
    return InMemory(tensors, spaces, ["top", "bottom"] if labels else [])


def pictures(data, name="x"):
    return networks.to_float(data.tensors[name])


# --- pixels -----------------------------------------------------------------------------------------------------


def test_pixels_are_the_flattened_samples():
    data = bars()
    extract = Pixels(context(data, Path()))
    x = pictures(data)[:4]
    assert extract.size == 3 * 12 * 12
    assert torch.equal(extract(x.double()), x.reshape(4, -1))
    x.requires_grad_()
    extract(x).sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))


# --- the shipped classifier -------------------------------------------------------------------------------------


def test_the_shipped_weights_are_small_and_say_what_they_are_of():
    (path,) = SHIPPED.glob("*.safetensors")
    assert path.stat().st_size < 200_000
    found = networks.metadata_of(path)
    assert found["architecture"] == networks.ARCHITECTURE
    assert found["classes"] == "0,1,2,3,4,5,6,7,8,9"


@pytest.mark.parametrize("size", [8, 32, 48])
def test_digits_of_any_size_are_recognised_without_training(files, tmp_path, size):
    test = Digits(files, "test", size=size)
    extract = Classifier(context(Digits(files, "train", size=size), tmp_path / "cache"))
    found = extract.classify(pictures(test))
    assert (found == test.tensors["label"]).double().mean() > 0.99
    assert not (tmp_path / "cache").exists()


def test_digits_in_both_styles_are_recognised(files, tmp_path):
    for name in ("a", "b"):
        extract = Classifier(context(RestyledDigits(files, "train"), tmp_path, name))
        x, label = RestyledDigits(files, "test").labelled(name)
        assert (extract.classify(networks.to_float(x)) == label).double().mean() > 0.98


def test_classes_are_numbered_as_the_data_number_them(files, tmp_path):
    """Of 7 and 3, in this order, a seven is class 0."""
    test = Digits(files, "test", classes=["7", "3"])
    extract = Classifier(context(Digits(files, "train", classes=["7", "3"]), tmp_path))
    assert extract.logits(pictures(test)).shape == (len(test), 2)
    assert (extract.classify(pictures(test)) == test.tensors["label"]).double().mean() > 0.98


def test_features_are_64_float32_numbers_a_picture(files, tmp_path):
    data = Digits(files, "test")
    extract = Classifier(context(data, tmp_path))
    out = extract(pictures(data)[:5].double())
    assert (out.shape, out.dtype) == ((5, 64), torch.float32)
    assert extract.size == 64


def test_the_classifiers_gradient_is_that_of_its_network_at_the_rounded_picture(files, tmp_path):
    """Rounding alone would have no gradient.

    (x + 1) * 127.5 and its inverse cancel; pixels beyond [-1, 1] are cut and have none.
    """
    data = Digits(files, "test")
    extract = Classifier(context(data, tmp_path))
    x = (pictures(data)[:5] * 0.9).requires_grad_()
    found = extract(x)
    found.sum().backward()
    rounded = networks.resized(x.detach(), 32).requires_grad_()
    assert not torch.equal(rounded, x)
    extract.network.features(rounded).sum().backward()
    assert x.grad.abs().max() > 1e-3
    assert torch.allclose(x.grad, rounded.grad, atol=1e-6)
    assert torch.equal(found.detach(), extract(x.detach()))

    outside = torch.full((1, 1, 32, 32), 1.5, requires_grad=True)
    extract(outside).sum().backward()
    assert not outside.grad.any()


def test_gradients_pass_the_resizing(files, tmp_path):
    data = Digits(files, "test", size=8)
    x = pictures(data)[:3].requires_grad_()
    Classifier(context(data, tmp_path))(x).square().sum().backward()
    assert x.grad.flatten(1).any(1).all()


def test_the_classifiers_weights_are_frozen_and_classes_have_no_gradient(files, tmp_path):
    data = Digits(files, "test")
    extract = Classifier(context(data, tmp_path))
    x = pictures(data)[:3].requires_grad_()
    extract(x).sum().backward()
    assert all(p.grad is None and not p.requires_grad for p in extract.network.parameters())
    assert not extract.classify(x).requires_grad


def test_pictures_are_rounded_to_256_levels_as_a_file_would(files, tmp_path):
    data = Digits(files, "test")
    extract = Classifier(context(data, tmp_path))
    x = pictures(data)[:5]
    assert torch.equal(extract(x), extract((x + 0.3 / 127.5).clamp(max=1)))


def test_what_is_not_a_number_stays_visible(files, tmp_path):
    data = Digits(files, "test")
    out = Classifier(context(data, tmp_path))(torch.full((1, 1, 32, 32), torch.nan))
    assert out.isnan().any()


def test_the_shipped_classifier_goes_by_what_is_pictured_not_by_a_name(files, tmp_path):
    """The same pictures in a data set that does not say so get a classifier of their own."""
    data = Digits(files, "train")
    unknown = InMemory(data.tensors, data.spaces, data.classes)
    assert Classifier(context(data, tmp_path)).shipped is not None
    assert Classifier(context(unknown, tmp_path)).shipped is None
    assert Classifier(context(data, tmp_path), steps=1).shipped is None, "steps asks for a new one"


# --- a classifier for other data --------------------------------------------------------------------------------


def test_the_classifier_is_trained_once_and_kept_by_fingerprint(tmp_path, capfd):
    data = bars()
    first = Classifier(context(data, tmp_path), side=8, steps=40)
    assert not list(tmp_path.rglob("*.safetensors")), "nothing happens before the first call"
    found = first.classify(pictures(data))
    assert (found == data.tensors["label"]).all()
    assert "training on 64 images of 2 classes" in capfd.readouterr().out
    (kept,) = tmp_path.rglob("*.safetensors")

    again = Classifier(context(bars(), tmp_path), side=8, steps=40)
    assert torch.equal(again(pictures(data)), first(pictures(data)))
    assert again.fingerprint() == first.fingerprint()
    assert capfd.readouterr().out == "", "the second one is read"

    Classifier(context(bars(60), tmp_path), side=8, steps=40)(pictures(data))
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2, "other data, another file"
    assert kept.exists()
    assert not list(tmp_path.rglob("*.part"))


def test_training_depends_on_its_key_alone(tmp_path):
    """Neither torch's global generator nor its default type changes the weights, or is changed."""
    data = bars()
    one = Classifier(context(data, tmp_path / "one"), side=8, steps=3)
    one(pictures(data))
    torch.manual_seed(5)
    before = torch.get_rng_state()
    torch.set_default_dtype(torch.float64)
    try:
        other = Classifier(context(data, tmp_path / "other"), side=8, steps=3)
        other(pictures(data))
    finally:
        torch.set_default_dtype(torch.float32)
    assert one.fingerprint() == other.fingerprint()
    assert torch.equal(torch.get_rng_state(), before)


def test_training_within_a_step_of_mixed_precision_gives_the_same_weights(tmp_path):
    data = bars()
    one = Classifier(context(data, tmp_path / "one"), side=8, steps=3)
    other = Classifier(context(data, tmp_path / "other"), side=8, steps=3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert one(pictures(data)).dtype == torch.float32
    assert one.fingerprint() == other.fingerprint()


def test_a_training_that_was_killed_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    """It is kept after every step here; killed after the fifth of twelve, and taken up there."""
    monkeypatch.setattr(networks, "EVERY", -1.0)
    data, done = bars(), []
    whole = Classifier(context(data, tmp_path / "whole"), side=8, steps=12)
    whole(pictures(data))
    really = networks._keep

    def killed(path, step, *rest):
        really(path, step, *rest)
        if step == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(networks, "_keep", killed)
    with pytest.raises(KeyboardInterrupt):
        Classifier(context(data, tmp_path / "cut"), side=8, steps=12)(pictures(data))
    (kept,) = tmp_path.rglob("*.training")
    monkeypatch.setattr(networks, "_keep", lambda path, step, *rest: done.append(step))
    resumed = Classifier(context(data, tmp_path / "cut"), side=8, steps=12)
    resumed(pictures(data))
    assert done == [6, 7, 8, 9, 10, 11, 12]
    assert resumed.fingerprint() == whole.fingerprint()
    assert not kept.exists()


def test_a_kept_training_that_cannot_be_read_begins_again(tmp_path):
    data = bars()
    first = Classifier(context(data, tmp_path), side=8, steps=3)(pictures(data))
    (kept,) = tmp_path.rglob("*.safetensors")
    kept.with_suffix(".training").write_bytes(b"half of a file")
    kept.unlink()
    assert torch.equal(Classifier(context(data, tmp_path), side=8, steps=3)(pictures(data)), first)


@pytest.mark.parametrize(("images", "steps"), [(1, 200), (640, 200), (960, 300), (3200, 1000), (60_000, 1000)])
def test_few_images_are_seen_forty_times(images, steps):
    """960 images 40 times are 38,400, 300 batches of 128."""
    assert default_steps(images) == steps


def test_what_a_classifier_takes_is_said_with_its_steps(files, tmp_path):
    assert "200 steps of 128 images (`steps`), about" in Classifier(context(bars(), tmp_path), side=8).beforehand()
    assert Classifier(context(Digits(files, "train"), tmp_path)).beforehand() == "", "weights come with ganrun"


def test_a_damaged_file_is_made_anew(tmp_path):
    data = bars()
    first = Classifier(context(data, tmp_path), side=8, steps=3)(pictures(data))
    (kept,) = tmp_path.rglob("*.safetensors")
    kept.write_bytes(kept.read_bytes()[:1000])
    assert torch.equal(Classifier(context(data, tmp_path), side=8, steps=3)(pictures(data)), first)


def test_labels_may_come_from_a_method_of_the_data(files, tmp_path):
    data = RestyledDigits(files, "train", size=8, classes=["0", "1"])
    extract = Classifier(context(data, tmp_path, "b"), side=8, steps=60)
    x, label = data.labelled("b")
    assert (extract.classify(networks.to_float(x)) == label).double().mean() > 0.95


def test_data_without_labels_are_refused_with_a_way_out(tmp_path):
    with pytest.raises(Refusal, match=r"has none for x; features: pixels"):
        Classifier(context(bars(labels=False), tmp_path))


def test_one_class_is_refused(tmp_path):
    data = bars()
    with pytest.raises(Refusal, match="has 1"):
        Classifier(context(InMemory(data.tensors, data.spaces, ["only"]), tmp_path))


def test_points_are_refused(tmp_path):
    data = InMemory({"x": torch.zeros(4, 2)}, {"x": Space("points", (2,))})
    with pytest.raises(Refusal, match="takes images"):
        Classifier(context(data, tmp_path))


def test_a_damaged_installation_says_so(files, tmp_path, monkeypatch):
    extract = Classifier(context(Digits(files, "test"), tmp_path))
    monkeypatch.setattr(networks, "load", lambda *arguments: None)
    with pytest.raises(DataError, match=r"digits.safetensors: the weights are damaged; reinstall"):
        extract(torch.zeros(1, 1, 32, 32))


# --- pieces -----------------------------------------------------------------------------------------------------


def test_shifts_move_pictures_whole_and_repeat_the_border():
    x = torch.arange(5.0).expand(8, 1, 5, 5)  # a ramp from left to right
    moved = networks.shifted(x, torch.Generator().manual_seed(0), most=1)
    steps = (moved[:, 0, 2, 2] - 2).round()
    assert set(steps.tolist()) == {-1.0, 0.0, 1.0}
    want = (torch.arange(5.0) + steps[:, None]).clamp(0, 4)  # (8, 5)
    assert torch.allclose(moved[:, 0, 2], want, atol=0.3)


def test_both_are_found_by_their_names():
    catalog = Catalog()
    assert catalog.load("features", "pixels").factory is Pixels
    assert catalog.load("features", "classifier").factory is Classifier

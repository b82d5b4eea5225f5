"""torchvision's classifiers as features: the last hidden layer, the preprocessing, weights found and checked."""

import hashlib

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from ganrun.data.reader import InMemory
from ganrun.errors import DataError, UserError
from ganrun.evaluation.features import FeatureContext
from ganrun.words.spaces import Refusal, Space
from ganrun_plugins.features.torchvision import Torchvision, built, last_linear, mapped, outline

MEAN, DEVIATION = ([number] for number in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


def context(cache, shape=(3, 40, 40), kind="image"):
    data = InMemory({"x": torch.zeros(4, *shape)}, {"x": Space(kind, shape)}, [])
    return FeatureContext("x", data.spaces["x"], data, cache, torch.device("cpu"))


def pictures(*shape):
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def saved(path, model="resnet18", **settings):
    """A network with random weights, in evaluation mode, and its state dict as a file."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = torchvision.models.get_model(model, weights=None, **settings).eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), path)
    return network


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """torch.hub's folder for weights, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    return tmp_path / "torch" / "hub" / "checkpoints"


def prepared(levels, mean=MEAN[0], deviation=DEVIATION[0]):
    """Whole levels (B, 3, H, W) as the network wants them."""
    mean, deviation = (torch.tensor(numbers)[:, None, None] for numbers in (mean, deviation))
    return (levels.float() / 255 - mean) / deviation


# --- features ---------------------------------------------------------------------------------------------------


def test_features_are_the_input_of_the_last_linear_layer_and_logits_its_output(tmp_path):
    """Pictures of the network's own size, so that nothing is resized; resnet18's head is ``fc``, of 512 numbers."""
    network = saved(tmp_path / "w.pth")
    extract = Torchvision(
        context(tmp_path, (3, 64, 64)), model="resnet18", weights=str(tmp_path / "w.pth"), resize=64, crop=64
    )
    levels = pictures(2, 3, 64, 64)
    x = levels.float() / 127.5 - 1
    with torch.no_grad():
        wanted = network(prepared(levels))
    found = extract(x)
    assert extract.size == 512
    assert found.shape == (2, 512)
    torch.testing.assert_close(extract.logits(x), wanted, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found @ network.fc.weight.T + network.fc.bias, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("model", "name", "size"),
    [
        ("vgg11", "classifier.6", 4096),
        ("vit_b_16", "heads.head", 768),
        ("convnext_tiny", "classifier.2", 768),
        ("googlenet", "fc", 1024),
        ("regnet_y_400mf", "fc", 440),
    ],
)
def test_the_last_linear_layer_is_found_in_any_classifier(model, name, size):
    """Also where networks end in several linear layers, have others on the way, or calculate with tensors."""
    found, layer = last_linear(model, outline(model))
    assert (found, layer.in_features, layer.out_features) == (name, size, 1000)


def test_a_vision_transformer_is_served_at_the_size_it_has_positions_for(tmp_path, monkeypatch):
    """A small one takes the place of vit_b_16: its features are the class token, flattened already."""
    small = torchvision.models.VisionTransformer(
        image_size=32, patch_size=16, num_layers=1, num_heads=1, hidden_dim=8, mlp_dim=8
    ).eval()

    def get_model(name, weights, image_size=224, **settings):
        return torchvision.models.VisionTransformer(
            image_size=image_size, patch_size=16, num_layers=1, num_heads=1, hidden_dim=8, mlp_dim=8, **settings
        )

    torch.nn.init.normal_(small.heads.head.weight)  # torchvision begins with zeros
    torch.save(small.state_dict(), tmp_path / "w.pth")
    monkeypatch.setattr(torchvision.models, "get_model", get_model)
    extract = Torchvision(
        context(tmp_path, (3, 32, 32)), model="vit_b_16", weights=str(tmp_path / "w.pth"), resize=32, crop=32
    )
    levels = pictures(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(
            extract.logits(levels.float() / 127.5 - 1), small(prepared(levels)), rtol=1e-4, atol=1e-5
        )
    assert extract.size == 8


def test_a_network_of_ones_own_may_have_other_classes(tmp_path):
    saved(tmp_path / "w.pth", "shufflenet_v2_x0_5", num_classes=7)
    extract = Torchvision(
        context(tmp_path), model="shufflenet_v2_x0_5", weights=str(tmp_path / "w.pth"), resize=64, crop=64
    )
    assert extract.logits(torch.zeros(2, 3, 40, 40)).shape == (2, 7)


def test_the_network_is_built_without_touching_torchs_generator():
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    built("shufflenet_v2_x0_5")
    assert torch.equal(torch.random.get_rng_state(), before)


# --- preprocessing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "mode"), [("resnet18", "bilinear"), ("efficientnet_b0", "bicubic")])
@pytest.mark.parametrize("shape", [(40, 56), (400, 300)])
def test_pictures_are_prepared_as_torchvision_prepares_pillows(tmp_path, hub, model, mode, shape):
    """By its own transforms on PIL pictures; they calculate in integers, so a level may be one off, which is 1 / (255 *
    0.225).
    """
    weights = torchvision.models.get_model_weights(model).IMAGENET1K_V1
    hub.mkdir(parents=True)
    (hub / weights.url.rpartition("/")[2]).touch()
    extract = Torchvision(context(tmp_path, (3, *shape)), model=model, weights="IMAGENET1K_V1")
    assert mode in extract.preprocessing
    levels = pictures(1, 3, *shape)
    picture = Image.fromarray(np.asarray(levels[0].permute(1, 2, 0)))
    found, wanted = extract._prepared(levels.float())[0], weights.transforms()(picture)
    assert found.shape == wanted.shape == (3, 224, 224)
    assert (found - wanted).abs().max() < 1.01 / (255 * 0.224)
    assert ((found - wanted).abs() > 1e-5).double().mean() < 0.02


def test_resize_and_crop_may_be_chosen(tmp_path):
    saved(tmp_path / "w.pth", "shufflenet_v2_x0_5")
    extract = Torchvision(
        context(tmp_path), model="shufflenet_v2_x0_5", weights=str(tmp_path / "w.pth"), resize=48, crop=32
    )
    assert extract._prepared(torch.zeros(1, 3, 40, 60)).shape == (1, 3, 32, 32)
    assert "shorter side 48" in extract.preprocessing
    assert "32 x 32" in extract.preprocessing
    other = Torchvision(context(tmp_path), model="shufflenet_v2_x0_5", weights=str(tmp_path / "w.pth"))
    assert "shorter side 256" in other.preprocessing
    assert "224 x 224" in other.preprocessing
    assert extract.fingerprint() != other.fingerprint()


def test_grey_is_repeated_and_points_are_refused(tmp_path):
    saved(tmp_path / "w.pth", "shufflenet_v2_x0_5")
    settings = {"model": "shufflenet_v2_x0_5", "weights": str(tmp_path / "w.pth"), "resize": 64, "crop": 64}
    x = pictures(2, 1, 40, 40).float() / 127.5 - 1
    grey, coloured = Torchvision(context(tmp_path, (1, 40, 40)), **settings), Torchvision(context(tmp_path), **settings)
    torch.testing.assert_close(grey(x), coloured(x.expand(2, 3, 40, 40)))
    with pytest.raises(Refusal, match="takes images"):
        Torchvision(context(tmp_path, (2,), "points"), **settings)


# --- weights ----------------------------------------------------------------------------------------------------


def test_published_weights_are_taken_from_the_cache(tmp_path, hub, monkeypatch):
    """Their name holds the beginning of their SHA-256: here a file of random weights is published under its own."""
    saved(tmp_path / "w.pth", "shufflenet_v2_x0_5")
    content = (tmp_path / "w.pth").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    hub.mkdir(parents=True)
    (hub / f"shufflenet-{digest[:8]}.pth").write_bytes(content)
    weights = torchvision.models.ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1
    monkeypatch.setattr(weights.value, "url", f"https://models.example/shufflenet-{digest[:8]}.pth")
    extract = Torchvision(context(tmp_path), model="shufflenet_v2_x0_5")
    assert extract(torch.zeros(1, 3, 40, 40)).shape == (1, 1024)
    assert extract.weights.sha256 == digest
    (hub / f"shufflenet-{digest[:8]}.pth").write_bytes(content[:-1] + b"x")
    with pytest.raises(DataError, match=f"is not the expected file: .* not {digest[:8]}"):
        Torchvision(context(tmp_path), model="shufflenet_v2_x0_5").fingerprint()


def test_published_weights_that_are_not_there_are_named_with_the_way_to_get_them(tmp_path, hub):
    with pytest.raises(DataError) as caught:
        Torchvision(context(tmp_path), model="resnet18", weights="IMAGENET1K_V1")
    said = str(caught.value)
    assert "IMAGENET1K_V1 of resnet18 are not on this machine" in said
    assert (
        "load_state_dict_from_url('https://download.pytorch.org/models/resnet18-f37072fd.pth', check_hash=True)" in said
    )
    assert str(hub / "resnet18-f37072fd.pth") in said


def test_a_slip_in_a_name_is_answered_with_what_there_is(tmp_path):
    with pytest.raises(UserError, match="did you mean resnet18"):
        Torchvision(context(tmp_path), model="resnet81")
    with pytest.raises(
        DataError, match="there is no file .*IMAGENET_V1; published weights of resnet18 are called IMAGENET1K_V1"
    ):
        Torchvision(context(tmp_path), model="resnet18", weights="IMAGENET_V1")


def test_a_network_without_a_linear_layer_says_so(tmp_path):
    """SqueezeNet ends in a convolution: there is no last hidden layer before it."""
    with pytest.raises(UserError, match="squeezenet1_1 ends in no linear layer"):
        Torchvision(context(tmp_path), model="squeezenet1_1")


def test_weights_of_another_network_are_named(tmp_path):
    saved(tmp_path / "w.pth", "shufflenet_v2_x0_5")
    with pytest.raises(DataError, match=r"w\.pth is not of this network: it lacks conv1\.weight.* and \d+ more"):
        Torchvision(context(tmp_path), model="resnet18", weights=str(tmp_path / "w.pth"))(torch.zeros(1, 3, 40, 40))


def test_the_old_names_of_densenet_are_known(tmp_path):
    network = saved(tmp_path / "new.pth", "densenet121", num_classes=3)
    state = network.state_dict()
    old = {name: value for name, value in state.items() if "denselayer" not in name}
    old |= {
        name.replace(".norm", ".norm.").replace(".conv", ".conv."): value
        for name, value in state.items()
        if "denselayer" in name
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, tmp_path / "old.pth")
    extracts = [
        Torchvision(context(tmp_path), model="densenet121", weights=str(tmp_path / name), resize=32, crop=32)
        for name in ("new.pth", "old.pth")
    ]
    x = torch.zeros(1, 3, 40, 40)
    assert torch.equal(*(extract(x) for extract in extracts))


# --- feature maps -----------------------------------------------------------------------------------------------


def test_maps_are_the_last_ones_of_each_size(tmp_path):
    network = saved(tmp_path / "w.pth")
    extract = Torchvision(
        context(tmp_path, (3, 64, 64)), model="resnet18", weights=str(tmp_path / "w.pth"), resize=64, crop=64
    )
    levels = pictures(2, 3, 64, 64)
    maps = extract.maps(levels / 127.5 - 1)
    shapes = [(64, 32, 32), (64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 2, 2)]
    assert [tuple(layer.shape[1:]) for layer in maps.values()] == shapes
    with torch.no_grad():
        expected = network.relu(network.bn1(network.conv1(prepared(levels))))
    torch.testing.assert_close(maps["relu"], expected, rtol=1e-4, atol=1e-4)


def test_maps_end_at_the_layer_that_is_named(tmp_path):
    saved(tmp_path / "w.pth", "vgg11")
    extract = Torchvision(
        context(tmp_path, (3, 32, 32)),
        model="vgg11",
        weights=str(tmp_path / "w.pth"),
        resize=32,
        crop=32,
        layer="features.4",
    )
    x = pictures(2, 3, 32, 32) / 127.5 - 1
    maps = extract.maps(x)
    assert {name: tuple(layer.shape[1:]) for name, layer in maps.items()} == {
        "features.1": (64, 32, 32),
        "features.4": (128, 16, 16),
    }
    torch.testing.assert_close(maps["features.4"].flatten(1), extract(x))


def test_a_transformer_that_takes_pictures_of_one_size_has_none():
    assert mapped(outline("vit_b_16").eval(), 224, None) == []

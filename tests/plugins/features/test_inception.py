"""The FID network next to torch-fidelity's, on one file of random weights; finding, checking and naming the file."""

import functools
import hashlib
import http.server
import math
import re
import threading

import pytest
import torch
from torch.nn import functional as F

from ganrun.data.reader import InMemory
from ganrun.errors import DataError
from ganrun.evaluation.features import FeatureContext
from ganrun.testing import Example, Plugin, checks_of
from ganrun.words.spaces import Refusal, Space
from ganrun_plugins.features import _inception_network as networks
from ganrun_plugins.features import _weights as files
from ganrun_plugins.features import inception
from ganrun_plugins.features.inception import Inception


def context(cache, shape=(3, 32, 32), kind="image"):
    data = InMemory({"x": torch.zeros(4, *shape)}, {"x": Space(kind, shape)}, [])
    return FeatureContext("x", data.spaces["x"], data, cache, torch.device("cpu"))


def random_state():
    """Weights that keep the size of numbers from layer to layer, and statistics that are neither 0 nor 1."""
    draws = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in networks.InceptionNetwork().state_dict().items()}
    state = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(1)
        elif name.endswith(("bn.weight", "running_var")):
            state[name] = 0.7 + 0.6 * torch.rand(shape, generator=draws)
        elif name.endswith(("bn.bias", "running_mean", "fc.bias")):
            state[name] = 0.1 * torch.randn(shape, generator=draws)
        else:
            state[name] = math.sqrt(2 / shape[1:].numel()) * torch.randn(shape, generator=draws)
    return state


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of random weights (96 MB) and its SHA-256."""
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(random_state(), path)
    yield path, hashlib.sha256(path.read_bytes()).hexdigest()
    path.unlink()


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """torch.hub's folder and ganrun's cache, both empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    return tmp_path / "torch" / "hub" / "checkpoints", tmp_path / "cache"


# --- the network ------------------------------------------------------------------------------------------------


def test_features_and_logits_are_torch_fidelitys(weights, tmp_path):
    """On one file of weights, for pictures smaller than 299 pixels, larger, oblong, and of exactly that size."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    path, digest = weights
    oracle = FeatureExtractorInceptionV3(
        "oracle", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(path)
    )
    draws = torch.Generator().manual_seed(1)
    for shape in ((3, 32, 32), (3, 299, 299), (3, 360, 200)):
        levels = torch.randint(0, 256, (1, *shape), generator=draws).to(torch.uint8)
        expected = oracle(levels)
        ours = Inception(context(tmp_path, shape), weights=str(path), sha256=digest)
        x = levels.float() / 127.5 - 1
        for found, wanted in zip((ours(x), ours.logits(x)), expected):
            assert found.dtype == torch.float32
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().mean()))


@pytest.mark.slow
def test_the_network_with_random_weights_keeps_the_contract_of_features(weights):
    plugin = Plugin("features.inception", example=Example({"weights": str(weights[0])}))
    names = set()
    for check in checks_of(plugin):
        check(plugin)
        names.add(check.__name__)
    assert {"check_shape", "check_gradient", "check_fingerprint", "check_each_sample_alone"} <= names


def test_resizing_takes_pixels_where_tensorflow_1_took_them():
    """4 pixels from 2: at 0, 0.5, 1, 1.5; there is none after the last, so it stays 3.

    Half-pixel centres would give 1, 1.5, 2.5, 3.
    """
    row = torch.tensor([1.0, 3.0]).reshape(1, 1, 1, 2)
    assert networks.along(row, 3, 4).flatten().tolist() == [1, 2, 3, 3]
    assert networks.scaled(row, 2).tolist() == [[[[1, 3], [1, 3]]]]


def test_shrinking_is_not_antialiased():
    """Every second pixel of a checkerboard is one colour."""
    board = (torch.arange(8)[:, None] + torch.arange(8)) % 2
    assert networks.scaled(255.0 * board[None, None], 4).unique().tolist() == [0]


def test_averages_do_not_count_what_lies_beyond_the_border():
    ones = torch.ones(1, 1, 3, 3)
    assert torch.equal(networks.average(ones), ones)
    assert float(F.avg_pool2d(ones, 3, 1, 1)[0, 0, 0, 0]) == pytest.approx(4 / 9)


def test_pictures_are_grey_or_coloured(tmp_path, weights):
    """Grey ones are repeated; points and two channels are refused."""
    path, _ = weights
    grey, coloured = (Inception(context(tmp_path, shape), weights=str(path)) for shape in ((1, 16, 16), (3, 16, 16)))
    x = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert torch.equal(grey(x), coloured(x.expand(1, 3, 16, 16)))
    with pytest.raises(Refusal, match="takes images"):
        Inception(context(tmp_path, (2,), "points"))
    with pytest.raises(Refusal, match="has 2"):
        Inception(context(tmp_path, (2, 16, 16)))


def test_a_gradient_reaches_the_pictures_as_if_nothing_had_been_rounded(tmp_path, weights):
    """At pictures that are whole levels already, rounding and its absence have one gradient: that of the network, times
    127.5.
    """
    extract = Inception(context(tmp_path, (3, 16, 16)), weights=str(weights[0]))
    levels = torch.randint(1, 255, (1, 3, 16, 16), generator=torch.Generator().manual_seed(0)).float()
    x = (levels / 127.5 - 1).requires_grad_()
    (found,) = torch.autograd.grad(extract(x).square().sum(), x)
    levels.requires_grad_()
    (wanted,) = torch.autograd.grad(extract.network.features(levels).square().sum(), levels)
    torch.testing.assert_close(found, 127.5 * wanted, rtol=1e-3, atol=1e-3 * float(found.abs().mean()))
    assert found.flatten(1).any(1).all()


# --- the file ---------------------------------------------------------------------------------------------------


def small(path, **tensors):
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(tensors or {"fc.bias": torch.zeros(3)}, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_nothing_is_read_before_the_first_call(tmp_path, elsewhere, monkeypatch):
    monkeypatch.setattr(
        inception, "THE", files.Published(inception.THE.names, "http://127.0.0.1:9/none", inception.THE.sha256)
    )
    extract = Inception(context(elsewhere[1]))
    assert extract.size == 2048
    assert "299 x 299" in extract.preprocessing
    with pytest.raises(DataError) as caught:
        extract(torch.zeros(1, 3, 32, 32))
    said = str(caught.value)
    assert re.search("http://127.0.0.1:9/none could not be downloaded", said)
    for folder in (elsewhere[0], elsewhere[1] / "weights"):
        for name in ("weights-inception-2015-12-05-6726825d.pth", "pt_inception-2015-12-05-6726825d.pth"):
            assert str(folder / name) in said
    assert "weights: PATH" in said


@pytest.mark.parametrize(("place", "name"), [(0, 0), (0, 1), (1, 0)])
def test_the_published_file_is_found_where_packages_keep_it(elsewhere, monkeypatch, place, name):
    path = (elsewhere[0], elsewhere[1] / "weights")[place] / inception.THE.names[name]
    digest = small(path)
    monkeypatch.setattr(inception, "THE", files.Published(inception.THE.names, "http://127.0.0.1:9/none", digest))
    extract = Inception(context(elsewhere[1]))
    assert extract.weights.path == path
    assert extract.called == {"frechet-distance": "FID", "kernel-distance": "KID", "inception-score": "IS"}


def test_a_damaged_published_file_is_not_used(elsewhere):
    path = elsewhere[0] / inception.THE.names[0]
    small(path)
    extract = Inception(context(elsewhere[1]))
    for use in (extract.fingerprint, lambda: extract(torch.zeros(1, 3, 32, 32)), lambda: extract.called):
        with pytest.raises(DataError, match="is not the expected file: its SHA-256 is .*, and not 6726825d0af5f729"):
            use()


def test_a_download_is_verified_and_kept(tmp_path, elsewhere, monkeypatch):
    served = tmp_path / "served"
    digest = small(served / "inception.pth")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(served))
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *arguments: None)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/inception.pth"
        monkeypatch.setattr(inception, "THE", files.Published(inception.THE.names, url, digest))
        extract = Inception(context(elsewhere[1]))
        assert extract.weights.sha256 == digest
        assert extract.weights.path == elsewhere[1] / "weights" / inception.THE.names[0]
        monkeypatch.setattr(inception, "THE", files.Published(inception.THE.names, url, "0" * 64))
        extract.weights.path.unlink()
        with pytest.raises(DataError, match="not the expected file"):
            _ = Inception(context(elsewhere[1])).weights.sha256
        assert not list((elsewhere[1] / "weights").glob("*.pth"))
        server.shutdown()


def test_other_weights_have_their_own_fingerprint_and_are_not_called_fid(tmp_path):
    marks = set()
    for number in range(2):
        path = tmp_path / f"{number}.pth"
        digest = small(path, x=torch.full((3,), float(number)))
        extract = Inception(context(tmp_path), weights=str(path), sha256=digest[:8].upper())
        assert extract.called == {}
        assert extract.weights.sha256 == digest
        marks.add(extract.fingerprint())
    assert len(marks) == 2


def test_a_file_that_is_not_the_one_named_is_refused(tmp_path):
    path = tmp_path / "other.pth"
    small(path)
    with pytest.raises(DataError, match=r"other\.pth is not the expected file: .* and not 01234567\.\.\."):
        Inception(context(tmp_path), weights=str(path), sha256="01234567").fingerprint()
    with pytest.raises(DataError, match=r"there is no file .*nothing\.pth"):
        Inception(context(tmp_path), weights=str(tmp_path / "nothing.pth"))
    with pytest.raises(DataError, match="other weights than the published ones"):
        Inception(context(tmp_path), sha256="01234567")


class Trap:
    """Unpickling it leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.filterwarnings("ignore:.*(torch.jit|TorchScript)")
def test_nothing_in_a_file_is_executed(tmp_path):
    """Neither a pickle nor TorchScript."""
    path, sprung = tmp_path / "trap.pth", tmp_path / "sprung"
    torch.save({"fc.bias": Trap(sprung)}, path)
    with pytest.raises(DataError, match="without executing"):
        Inception(context(tmp_path), weights=str(path))(torch.zeros(1, 3, 8, 8))
    assert not sprung.exists()
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), path)
    with pytest.raises(DataError, match="without executing"):
        Inception(context(tmp_path), weights=str(path))(torch.zeros(1, 3, 8, 8))


def test_a_file_of_something_else_is_named(tmp_path):
    path = tmp_path / "some.pth"
    for content, said in [
        (b"", "holds no weights"),
        (b"<html>not found</html>", "holds no weights"),
        ({"state_dict": {"fc.bias": torch.zeros(1008)}}, "holds state_dict; save the state dict alone"),
        (torch.zeros(3), "holds Tensor"),
        (
            {"fc.bias": torch.zeros(1000), "AuxLogits.weight": torch.zeros(1)},
            r"it lacks Conv2d_1a_3x3\.conv\.weight.*besides AuxLogits.*shape have fc\.bias",
        ),
    ]:
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            torch.save(content, path)
        with pytest.raises(DataError, match=rf"some\.pth.*{said}"):
            Inception(context(tmp_path), weights=str(path))(torch.zeros(1, 3, 8, 8))


def test_the_file_may_be_of_an_old_torch_and_lack_counts(tmp_path):
    """The published file was written before torch's files were archives; BatchNorm's counts decide nothing."""
    state = {
        name: value
        for name, value in torch.nn.Sequential(torch.nn.BatchNorm2d(2)).state_dict().items()
        if "num_batches" not in name
    }
    torch.save(
        {name: value.double() + 2 for name, value in state.items()},
        tmp_path / "old.pth",
        _use_new_zipfile_serialization=False,
    )
    weights = files.own("test", tmp_path / "old.pth", None)
    network = files.filled(torch.nn.Sequential(torch.nn.BatchNorm2d(2, device="meta")), weights, weights.read())
    assert network[0].weight.tolist() == [3, 3]
    assert network[0].weight.dtype == torch.float32
    assert not network.training
    assert not network[0].weight.requires_grad
    assert network(torch.full((1, 2, 1, 1), 2.0)).flatten().tolist() == [2, 2]  # mean 2, so its bias, 2

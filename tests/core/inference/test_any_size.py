"""Translations of pictures of any size: alone, in company, and in tiles."""

import pytest
import torch

import ganrun
from ganrun.errors import UserError
from ganrun.inference.any_size import Tiles, mirrored, own_size, statistics_of, tiling_error, translated

SMALL = {"train": {"steps": 2, "batch_size": 2, "device": "cpu", "threads": 1}, "observers": ["checkpoints"]}
CYCLE = {
    "variant": "cyclegan",
    "dataset": {"restyled-digits": {"size": 8}},
    "generator": {"resnet-translator": {"blocks": 0, "width": 16, "norm": "batch"}},
    "discriminator": {"patchgan": {"layers": 1, "width": 2}},
}
PAIRS = {
    "variant": "pix2pix",
    "dataset": {"paired-digits": {"size": 16}},
    "generator": {"unet": {"width": 2}},
    "discriminator": {"patchgan": {"layers": 1, "width": 2}},
}
LARGER = {
    "variant": {"srgan": {"pretraining": 1}},
    "dataset": {"super-resolution-digits": {"size": 16, "factor": 4}},
    "generator": {"srresnet": {"blocks": 1, "width": 2}},
    "discriminator": {"srgan": {"width": 2, "dense": 4}},
}
FIXED = {**CYCLE, "generator": {"discogan": {"width": 2, "bottleneck": 4}}}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    recipes = {"cycle": CYCLE, "pairs": PAIRS, "larger": LARGER, "fixed": FIXED}
    recipes["single"] = {**PAIRS, "train": {**SMALL["train"], "batch_size": 1}}
    return {
        name: ganrun.load(ganrun.run({**SMALL, **recipe}, output=folder / name).folder)
        for name, recipe in recipes.items()
    }


def of(run, image, **options):
    multiple = own_size(run)
    return translated(
        run, image, run.direction(), **{"ask": {}, "statistics": None, "seed": 0, "multiple": multiple, **options}
    )


def picture(channels=1, height=21, width=30, seed=0):
    return torch.rand(channels, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_networks_say_what_sides_have_to_be_multiples_of(runs):
    assert [own_size(runs[name]) for name in ("cycle", "pairs", "larger", "fixed")] == [4, 1, 1, None]


@pytest.mark.parametrize("name", ["cycle", "pairs"])
def test_a_picture_keeps_its_size(runs, name):
    assert of(runs[name], picture()).shape == (1, 21, 30)


def test_padding_is_a_mirror_image_and_is_cut_off(runs):
    """21 x 30 is padded to 24 x 32: one row above and two below, one column on each side."""
    run = runs["cycle"]
    padded = torch.nn.functional.pad(picture()[None], (1, 1, 1, 2), mode="reflect")
    assert torch.equal(of(run, picture()), run.translate(padded)[0, :, 1:22, 1:31])


def test_python_translates_batches_of_any_size_and_says_which_it_cannot(runs):
    batch = picture()[None].expand(2, -1, -1, -1)
    assert torch.allclose(runs["cycle"].translate(batch)[1], of(runs["cycle"], picture()), atol=1e-5)
    with pytest.raises(UserError, match="built for 8 x 8 pixels alone, and these images have 21 x 30; scale them"):
        runs["fixed"].translate(batch)
    with pytest.raises(UserError, match=r"translates images \(n, 1, height, width\), and these are \(2, 3, 8, 8\)"):
        runs["fixed"].translate(torch.zeros(2, 3, 8, 8))


@pytest.mark.parametrize(
    ("name", "size"), [("cycle", (1, 1)), ("cycle", (2, 9)), ("pairs", (1, 3)), ("larger", (1, 1))]
)
def test_pictures_of_few_pixels_are_translated(runs, name, size):
    run = runs[name]
    space = run.experiment.dataset.spaces[run.direction()[1]]
    factor = 4 if name == "larger" else 1
    made = of(run, picture(space.shape[0], *size))
    assert tuple(made.shape[1:]) == (factor * size[0], factor * size[1])
    assert made.isfinite().all()


def test_mirror_images_are_repeated_where_one_is_too_small():
    row = torch.tensor([1.0, 2.0, 3.0]).view(1, 1, 1, 3)
    assert mirrored(row, (3, 4, 0, 1))[0, 0].tolist() == [[2, 3, 2, 1, 2, 3, 2, 1, 2, 3]] * 2


def test_what_does_not_fit_in_memory_names_the_cure(runs, monkeypatch):
    def full(*args, **options):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(runs["cycle"], "translate", full)
    with pytest.raises(UserError, match="30 x 21 pixels do not fit in memory at once; add --tile 512"):
        of(runs["cycle"], picture())


def test_a_photograph_of_any_size_is_enlarged(runs):
    channels = runs["larger"].experiment.dataset.spaces["low"].shape[0]
    assert of(runs["larger"], picture(channels, 12, 19)).shape == (channels, 48, 76)


@pytest.mark.parametrize("name", ["cycle", "pairs"])
def test_noise_depends_on_the_picture_and_the_seed_alone(runs, name):
    run = runs[name]
    first, other = of(run, picture()), of(run, picture(seed=1))
    assert torch.equal(of(run, picture()), first)
    assert not torch.equal(other, first)
    changed = not torch.equal(of(run, picture(), seed=1), first)
    assert changed == (name == "pairs"), "dropout is the noise of pix2pix; CycleGAN has none"


def test_statistics_are_running_ones_but_for_batches_of_one(runs):
    assert statistics_of(runs["pairs"], None) == (
        "running",
        "BatchNorm by running statistics, as it was trained in batches of 2",
    )
    assert statistics_of(runs["single"], None) == (
        "batch",
        "BatchNorm by those of each picture, as it was trained in batches of 1",
    )
    assert statistics_of(runs["cycle"], None)[0] == "running"
    assert statistics_of(runs["pairs"], "batch") == ("batch", "BatchNorm by those of each picture")


def test_statistics_of_the_picture_leave_running_ones_as_they_are(runs):
    run = runs["cycle"]
    network = run.experiment.modules["generator_ab"]
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    by_running, by_picture = (of(run, picture(), statistics=which) for which in ("running", "batch"))
    assert not torch.allclose(by_running, by_picture)
    assert all(torch.equal(before[name], buffer) for name, buffer in network.named_buffers())
    network.train()
    padded = torch.nn.functional.pad(picture()[None], (1, 1, 1, 2), mode="reflect")
    with torch.no_grad():
        assert torch.allclose(by_picture, network(padded)[0, :, 1:22, 1:31], atol=1e-6)
    network.load_state_dict(before, strict=False)


def test_without_batch_norm_there_is_nothing_to_choose(tmp_path):
    recipe = {**CYCLE, "generator": {"resnet-translator": {"blocks": 0, "width": 2}}, **SMALL}
    run = ganrun.load(ganrun.run(recipe, output=tmp_path / "run").folder)
    assert statistics_of(run, None) == (None, "")
    with pytest.raises(UserError, match="no generator has BatchNorm"):
        statistics_of(run, "running")


@pytest.mark.parametrize(("length", "starts"), [(10, [0]), (16, [0]), (17, [0, 1]), (28, [0, 12]), (40, [0, 12, 24])])
def test_tiles_lie_evenly_and_overlap_at_least_as_asked(length, starts):
    assert Tiles(16, 4).starts(length) == starts


def test_tiles_begin_at_multiples_that_the_network_asks_for():
    assert Tiles(16, 4).starts(40, 4) == [0, 12, 24]
    assert Tiles(18, 4).aligned(4) == Tiles(20, 4)
    assert Tiles(16, 2).starts(48, 4) == [0, 12, 20, 32]
    assert Tiles(8, 3).aligned(8) == Tiles(16, 3)


def test_tiles_of_a_network_that_sees_a_few_pixels_are_the_whole_picture(runs):
    """BatchNorm by running statistics and 17 pixels of sight: with more overlap than that, only borders differ."""
    run = runs["cycle"]
    whole = of(run, picture(1, 64, 96))
    assert whole.std() > 1e-4, "it is no constant"
    tiled = of(run, picture(1, 64, 96), tiles=Tiles(48, 24))
    assert tiled.shape == whole.shape
    assert (tiled - whole).abs().mean() < 0.05 * whole.std()
    assert torch.allclose(tiled[:, :12, :12], whole[:, :12, :12], atol=1e-6)
    assert tiling_error(whole, tiled).startswith("mean ")


def test_a_picture_of_one_tile_is_translated_whole(runs):
    run = runs["pairs"]
    assert torch.equal(of(run, picture(), tiles=Tiles(32, 4)), of(run, picture()))


def test_tiles_of_an_enlargement_lie_in_its_pixels(runs):
    run = runs["larger"]
    channels = run.experiment.dataset.spaces["low"].shape[0]
    image = picture(channels, 40, 24)
    whole, tiled = of(run, image), of(run, image, tiles=Tiles(24, 12))
    assert tiled.shape == whole.shape == (channels, 160, 96)
    assert (tiled - whole).abs().mean() < 0.05

"""``ganrun translate``: names, sizes and folders; ``--ask``: the domain, by number or name, of one set or several."""

import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from ganrun import api
from ganrun.data import image_grid
from ganrun.data.image_writing import ORIENTATION, write_image
from ganrun.errors import UserError

TONES = {"styled-digits": {"size": 8, "styles": ["plain", "bold", "slanted"], "scans": "odd"}}
STROKES = {"styled-digits": {"size": 8, "styles": ["bold", "slanted"], "attributes": True, "scans": "even"}}
DATA = {"domains": TONES, "attributes": STROKES, "sets": {"multi": {"sets": {"strokes": STROKES, "tones": TONES}}}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """StarGANs of one step: ``domains`` of one label, ``attributes``, and ``sets`` of both."""
    base = tmp_path_factory.mktemp("runs")
    for name, data in DATA.items():
        recipe = {
            "variant": "stargan",
            "dataset": data,
            "generator": {"stargan": {"blocks": 1, "width": 2}},
            "discriminator": {"stargan": {"width": 2}},
            "loss": "non-saturating",
            "without": ["progress", "samples", "metrics-log", "gradient-penalty"],
            "train": {"steps": 1, "batch_size": 2, "device": "cpu"},
        }
        api.run(recipe, output=base / name)
    return base


@pytest.fixture
def given(folder):
    """A function: what the generator of a run was given for two images, (2, D)."""

    def of(name, **ask):
        run = api.load(folder / name)
        heard = []
        run.experiment.modules["generator"].register_forward_pre_hook(
            lambda module, args: heard.append(args[1].clone())
        )
        run.translate(torch.zeros(2, 1, 8, 8), ask=ask)
        return heard[0].tolist()

    return of


@pytest.mark.parametrize("label", [2, "2", "slanted"])
def test_a_domain_is_asked_for_by_number_or_by_name(given, label):
    assert given("domains", label=label) == [[0, 0, 1]] * 2


@pytest.mark.parametrize("wanted", [[1, 0], "1,0", "yes,no"])
def test_attributes_are_asked_for_one_by_one(given, wanted):
    assert given("attributes", attributes=wanted) == [[1, 0]] * 2


def test_of_several_sets_the_mask_follows_from_the_labels_asked_for(given):
    """strokes: bold, slanted | tones: plain, bold, slanted | mask"""
    assert given("sets", attributes_strokes="0,1") == [[0, 1, 0, 0, 0, 1, 0]] * 2
    assert given("sets", label_tones="bold") == [[0, 0, 0, 1, 0, 0, 1]] * 2


@pytest.mark.parametrize(
    ("name", "ask", "why"),
    [
        ("domains", {"style": "bold"}, "the generator takes no label 'style'; there is label"),
        ("domains", {"label": "italic"}, "label: there is no 'italic'; its values are 0 to 2, or plain, bold, slanted"),
        ("domains", {"label": 3}, "label: there is no '3'; its values are 0 to 2"),
        ("domains", {"label": -1}, "label: there is no '-1'"),
        ("attributes", {"attributes": "1"}, "attributes needs 2 values, one for each of bold, slanted; '1' has 1"),
        ("attributes", {"attributes": "1,2"}, "attributes: there is no '2'; its values are 0 to 1, or no, yes"),
        (
            "sets",
            {"attributes_strokes": "1,1", "label_tones": 0},
            "are labels of two sets, and a translation is given those of one; ask for one",
        ),
    ],
)
def test_what_cannot_be_asked_for_is_said(given, name, ask, why):
    with pytest.raises(UserError, match=why):
        given(name, **ask)


def test_the_command_asks_for_what_it_is_told_and_needs_no_data_for_names(ganrun, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "ganrun.training.opened.datasets", lambda recipe: lambda split: pytest.fail("the data were opened")
    )
    picture = image_grid.single(torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1)
    image_grid.save(picture, tmp_path / "in/a.png")
    code, _, err = ganrun("translate", folder / "domains", tmp_path / "in", tmp_path / "out", "--ask", "label=bold")
    assert (code, err) == (0, "")
    expected = api.load(folder / "domains").translate(image_grid.to_tensor(picture)[None], ask={"label": 1})
    with Image.open(tmp_path / "out/a.png") as made:
        assert np.array_equal(np.asarray(made), np.asarray(image_grid.single(expected[0])))


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["label"], "--ask label: write NAME=VALUE, such as label=3"),
        (["label=0", "label=1"], "label is given twice"),
        (["label=italic"], "there is no 'italic'"),
    ],
)
def test_the_command_names_what_is_wrong_before_it_writes_anything(ganrun, folder, tmp_path, words, why):
    image_grid.save(image_grid.single(torch.zeros(1, 8, 8)), tmp_path / "in/a.png")
    code, _, err = ganrun(
        "translate",
        folder / "domains",
        tmp_path / "in",
        tmp_path / "out",
        *(w for word in words for w in ("--ask", word)),
    )
    assert code == 2
    assert why in err
    assert not (tmp_path / "out").exists()


def test_runs_from_before_names_were_kept_are_asked_by_number(folder, tmp_path):
    shutil.copytree(folder / "domains", tmp_path / "run")
    versions = tmp_path / "run" / "versions.json"
    versions.write_text(versions.read_text().replace('"label_names"', '"something"'))
    run = api.load(tmp_path / "run")
    x = torch.zeros(1, 1, 8, 8)
    assert torch.equal(
        run.translate(x, ask={"label": 1}), api.load(folder / "domains").translate(x, ask={"label": "bold"})
    )
    with pytest.raises(UserError, match=r"there is no 'bold'; its values are 0 to 2$"):
        run.translate(x, ask={"label": "bold"})


def test_a_variant_without_labels_has_none_to_ask_for(tmp_path):
    recipe = {
        "variant": "cyclegan",
        "dataset": {"restyled-digits": {"size": 8}},
        "generator": {"resnet-translator": {"blocks": 0, "width": 2}},
        "discriminator": {"patchgan": {"layers": 1, "width": 2}},
        "without": ["progress", "samples", "metrics-log"],
        "train": {"steps": 1, "batch_size": 1, "device": "cpu"},
    }
    run = api.load(api.run(recipe, output=tmp_path / "run").folder)
    with pytest.raises(UserError, match="the generator takes no label 'label'; there are none"):
        run.translate(torch.zeros(1, 1, 8, 8), ask={"label": 1})


def test_translate_keeps_names_and_subfolders(ganrun, runs, inputs, tmp_path):
    code, out, err = ganrun("translate", runs / "translation", inputs, tmp_path / "out")
    assert (code, err) == (0, "")
    assert out == f"2 images from a to b in {tmp_path / 'out'} (step 1)\n"
    found = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert found == {"a.jpg", "sub/b.png"}
    with Image.open(inputs / "sub/b.png") as before, Image.open(tmp_path / "out/sub/b.png") as after:
        made = api.load(runs / "translation").translate(image_grid.to_tensor(before)[None])
        assert np.array_equal(np.asarray(after), np.asarray(image_grid.single(made[0])))


def test_translate_overwrites_nothing_unless_told(ganrun, runs, inputs, tmp_path):
    assert ganrun("translate", runs / "translation", inputs, tmp_path / "out")[0] == 0
    code, _, err = ganrun("translate", runs / "translation", inputs, tmp_path / "out")
    assert code == 2
    assert "exists already, and 1 more; give another OUT, or add --overwrite" in err
    assert ganrun("translate", runs / "translation", inputs, tmp_path / "out", "--overwrite")[0] == 0


def test_translate_goes_the_other_way_and_keeps_sizes_if_asked(ganrun, runs, inputs, tmp_path):
    code, out, _ = ganrun("translate", runs / "translation", inputs, inputs / "out", "--to", "a", "--keep-size")
    assert code == 0
    assert "from b to a" in out
    for name, size in (("a.jpg", (20, 10)), ("sub/b.png", (8, 8))):
        with Image.open(inputs / "out" / name) as picture:
            assert picture.size == size
    ganrun("translate", runs / "translation", inputs, inputs / "out", "--overwrite")
    assert not (inputs / "out/out").exists(), "what was translated before is not translated again"


def test_translate_names_what_it_cannot_read_and_goes_on(ganrun, runs, inputs, tmp_path):
    (inputs / "broken.png").write_bytes((inputs / "sub/b.png").read_bytes()[:40])
    code, out, err = ganrun("translate", runs / "translation", inputs, tmp_path / "out")
    assert code == 2
    assert "2 images from a to b" in out
    assert str(inputs / "broken.png") in err
    assert "1 of 3" in err


def test_translate_goes_on_past_a_loop_of_links_and_a_pipe(ganrun, runs, inputs, tmp_path):
    (inputs / "loop.png").symlink_to("loop.png")
    os.mkfifo(inputs / "pipe.png")
    with pytest.warns(UserWarning, match=r"pipe\.png: left out"):
        code, out, err = ganrun("translate", runs / "translation", inputs, tmp_path / "out")
    assert code == 2
    assert "2 images from a to b" in out
    assert "loop.png" in err


def test_translate_replaces_a_link_and_does_not_write_through_it(ganrun, runs, inputs, tmp_path):
    other, out = tmp_path / "other.png", tmp_path / "out"
    other.write_text("mine")
    (out / "sub").mkdir(parents=True)
    (out / "sub/b.png").symlink_to(other)
    (out / "a.jpg").symlink_to(tmp_path / "nothing.jpg")
    assert "exists already, and 1 more" in ganrun("translate", runs / "translation", inputs, out)[2]
    assert ganrun("translate", runs / "translation", inputs, out, "--overwrite")[0] == 0
    assert other.read_text() == "mine"
    assert not (tmp_path / "nothing.jpg").exists()
    assert not (out / "sub/b.png").is_symlink()
    assert sorted(path.name for path in out.rglob("*") if path.is_file()) == ["a.jpg", "b.png"]


def test_translate_writes_into_no_folder_that_a_link_below_out_leads_to(ganrun, runs, inputs, tmp_path):
    elsewhere, out = tmp_path / "elsewhere", tmp_path / "out"
    elsewhere.mkdir()
    out.mkdir()
    (out / "sub").symlink_to(elsewhere)
    code, _, err = ganrun("translate", runs / "translation", inputs, out, "--overwrite")
    assert code == 2
    assert "sub: a link leads out of OUT here" in err
    assert list(elsewhere.iterdir()) == []
    (tmp_path / "linked").symlink_to(elsewhere)
    assert ganrun("translate", runs / "translation", inputs, tmp_path / "linked")[0] == 0, "OUT may be a link"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["translate", "RUNS/images", "IN", "out"], "makes samples from latents"),
        (["translate", "RUNS/translation", "IN", "out", "--to", "c"], "does not make 'c'"),
        (["translate", "RUNS/translation", "IN", "IN"], "OUT is IN"),
        (["translate", "RUNS/translation", "IN/nowhere", "out"], "no such folder"),
    ],
)
def test_what_cannot_be_translated_is_plain_and_ends_with_2(
    ganrun, runs, inputs, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    code, _, err = ganrun(*(word.replace("RUNS", str(runs)).replace("IN", str(inputs)) for word in arguments))
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_images_keep_their_own_size_if_the_networks_can(ganrun, runs, inputs, tmp_path):
    assert ganrun("translate", runs / "translation", inputs, tmp_path / "own")[0] == 0
    code, out, _ = ganrun("translate", runs / "translation", inputs, tmp_path / "fixed", "--size", "training")
    assert code == 0
    assert out.startswith("each image is scaled to 8 x 8 pixels\n2 images")
    for folder, size in (("own", (20, 10)), ("fixed", (8, 8))):
        with Image.open(tmp_path / folder / "a.jpg") as picture:
            assert picture.size == size


def test_an_image_translated_alone_equals_itself_in_its_folder(ganrun, runs, inputs, tmp_path):
    for number in range(3):
        image_grid.save(image_grid.single(torch.rand(1, 9, 11) * 2 - 1), inputs / f"sub/{number}.png")
    assert ganrun("translate", runs / "translation", inputs, tmp_path / "all")[0] == 0
    alone = tmp_path / "alone.png"
    code, out, _ = ganrun("translate", runs / "translation", inputs / "sub/1.png", alone)
    assert code == 0
    assert out == f"1 image from a to b in {alone} (step 1)\n"
    assert alone.read_bytes() == (tmp_path / "all/sub/1.png").read_bytes()
    assert ganrun("translate", runs / "translation", inputs / "sub/1.png", tmp_path / "folder")[0] == 0
    assert (tmp_path / "folder/1.png").read_bytes() == alone.read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--overlap", 4], "--overlap is of tiles; add --tile PIXELS"),
        (["--tile", 16, "--overlap", 12], "--overlap 12: at most half of a tile of 16"),
        (["--tile", 16, "--size", "training"], "--tile is for images of their own size"),
        (["--statistics", "running"], "no generator has BatchNorm"),
    ],
)
def test_options_of_translate_without_effect_are_refused(ganrun, runs, inputs, tmp_path, options, message):
    code, _, err = ganrun("translate", runs / "translation", inputs, tmp_path / "out", *options)
    assert code == 2
    assert message in err
    assert not (tmp_path / "out").exists()


def test_tiles_are_taken_where_asked_for(ganrun, runs, tmp_path):
    image_grid.save(image_grid.single(torch.rand(1, 40, 64) * 2 - 1), tmp_path / "in/a.png")
    code, out, err = ganrun("translate", runs / "translation", tmp_path / "in", tmp_path / "out", "--tile", 32)
    assert (code, err) == (0, "")
    assert "tiles against the whole, in 60 x 32 pixels of a.png: mean " in out
    with Image.open(tmp_path / "out/a.png") as picture:
        assert picture.size == (64, 40)


def test_networks_for_one_size_have_images_scaled(ganrun, folder, tmp_path):
    recipe = {
        "variant": "discogan",
        "dataset": {"restyled-digits": {"size": 8}},
        "generator": {"discogan": {"width": 2, "bottleneck": 4}},
        "discriminator": {"dcgan": {"width": 2}},
        "without": ["progress", "samples", "metrics-log"],
        "train": {"steps": 1, "batch_size": 2, "device": "cpu"},
    }
    run = api.run(recipe, output=tmp_path / "run").folder
    image_grid.save(image_grid.single(torch.rand(1, 20, 30) * 2 - 1), tmp_path / "in/a.png")
    code, out, _ = ganrun("translate", run, tmp_path / "in", tmp_path / "out")
    assert code == 0
    assert "scaled to 8 x 8 pixels, as the networks are built for no other size\n" in out
    code, _, err = ganrun("translate", run, tmp_path / "in", tmp_path / "out2", "--size", "own")
    assert code == 2
    assert "its networks are built for 8 x 8 pixels alone; leave out --size own" in err


def test_a_file_keeps_how_it_is_turned(ganrun, runs, tmp_path):
    write_image(torch.rand(3, 10, 20) * 2 - 1, tmp_path / "in/a.jpg", orientation=6)
    assert ganrun("translate", runs / "translation", tmp_path / "in", tmp_path / "out")[0] == 0
    with Image.open(tmp_path / "out/a.jpg") as picture:
        assert (picture.size, picture.getexif()[ORIENTATION]) == ((20, 10), 6)


def test_two_images_that_would_become_one_file_are_named(ganrun, folder, tmp_path):
    bands = {"variant": "cyclegan", "dataset": {"unpaired-folders": {"root": str(tmp_path / "data"), "size": 8}}}
    for side in ("trainA", "trainB", "testA", "testB"):
        for number in range(2):
            write_image(torch.rand(4, 8, 8) * 2 - 1, tmp_path / f"data/{side}/{number}.png")
    bands["dataset"]["unpaired-folders"]["channels"] = 4
    recipe = {
        **bands,
        "generator": {"resnet-translator": {"blocks": 0, "width": 2}},
        "discriminator": {"patchgan": {"layers": 1, "width": 2}},
        "without": ["progress", "samples", "metrics-log"],
        "train": {"steps": 1, "batch_size": 2, "device": "cpu"},
    }
    run = api.run(recipe, output=tmp_path / "run").folder
    for name in ("in/a.png", "in/a.jpg"):
        write_image(torch.rand(3, 9, 11) * 2 - 1, tmp_path / name)
    code, _, err = ganrun("translate", run, tmp_path / "in", tmp_path / "out")
    assert code == 2
    assert "a.png would both become" in err
    code, out, _ = ganrun("translate", run, tmp_path / "in/a.jpg", tmp_path / "out/a.jpg")
    assert code == 0
    assert "written: RGB and alpha of 8 bits, as PNG, since .jpg does not hold them\n" in out
    with Image.open(tmp_path / "out/a.png") as picture:
        assert (picture.mode, picture.size) == ("RGBA", (11, 9))

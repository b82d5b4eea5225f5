"""``ganrun project``: files of images in, latents and pictures of the way out."""

import pytest
from PIL import Image
from safetensors.torch import load_file

from ganrun import api


@pytest.fixture
def pictures(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.new("RGB", (30, 20), 200).save(tmp_path / "in" / f"{name}.png")
    return tmp_path / "in"


def test_what_is_found_is_written_beside_a_picture_of_the_way(ganrun, runs, pictures, tmp_path):
    code, out, err = ganrun("project", runs / "images", pictures, "--steps", 7, "-o", tmp_path / "out")
    assert (code, err) == (0, "")
    assert out.count("mean difference of pixels") == 2
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "a.png",
        "a.safetensors",
        "b.png",
        "b.safetensors",
    ]
    latents = load_file(tmp_path / "out/a.safetensors")
    assert latents["z"].shape[0] == 1
    assert api.load(runs / "images").from_latents(latents).shape == (1, 1, 8, 8)
    with Image.open(tmp_path / "out/a.png") as picture:
        assert picture.width > 8 * picture.height / 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["RUNS/images", "nowhere.png"], "there is no such file"),
        (["RUNS/images", "PICTURES", "PICTURES/a.png"], "would both be written as a"),
        (["RUNS/points", "PICTURES"], "only images are looked for"),
        (["RUNS/translation", "PICTURES"], "makes samples of real items, so there is no latent"),
        (["RUNS/images", "PICTURES", "--features", "pixels"], "have no maps"),
        (["RUNS/images", "PICTURES", "--features", "nothing"], "no features is called"),
    ],
)
def test_what_cannot_be_projected_ends_with_2(ganrun, runs, pictures, arguments, message):
    words = [word.replace("RUNS", str(runs)).replace("PICTURES", str(pictures)) for word in arguments]
    code, _, err = ganrun("project", *words)
    assert code == 2
    assert message in err
    assert "Traceback" not in err

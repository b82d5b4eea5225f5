"""``import-weights``: a run made of files of weights."""

import pytest
import torch

from ganrun import api
from ganrun.words.spaces import Interface, Space
from ganrun_plugins.networks.dcgan import DCGANGenerator
from ganrun_plugins.networks.resnet_translator import ResnetTranslator


def translator():
    """A small generator with the names of the authors' code, and with random weights."""
    torch.manual_seed(0)
    image = Space("image", (3, 32, 32))
    return ResnetTranslator(Interface(takes=image, makes=image), width=2, blocks=1)


def test_the_command_makes_a_run_that_translates_without_the_data(ganrun, tmp_path):
    """CycleGAN's recipe on horses and zebras, which are not downloaded: its data set says of itself what the networks
    need.
    """
    torch.save({f"module.{name}": tensor for name, tensor in translator().state_dict().items()}, tmp_path / "G_A.pth")
    small = [
        "--set",
        "generator={resnet-translator: {width: 2, blocks: 1}}",
        "--set",
        "discriminator={patchgan: {width: 2}}",
        "--set",
        "dataset={horse2zebra: {size: 32, load_size: 32}}",
    ]
    arguments = [
        "import-weights",
        "cyclegan_horse2zebra",
        f"generator_ab={tmp_path / 'G_A.pth'}",
        "-o",
        tmp_path / "run",
        *small,
        "--set",
        "train.device=cpu",
    ]
    code, out, err = ganrun(*arguments)
    assert (code, err) == (0, "")
    others = "generator_ba, discriminator_a, discriminator_b"
    assert out == f"{tmp_path / 'run'}: generator_ab from files; {others} as initialised\n"
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        expected = translator()
        expected.load_state_dict(
            {
                name.removeprefix("module."): tensor
                for name, tensor in torch.load(tmp_path / "G_A.pth", weights_only=True).items()
            }
        )
        assert torch.allclose(api.load(tmp_path / "run").translate(x, to="b"), expected.train()(x), atol=1e-5)
    code, _, err = ganrun(*arguments)
    assert code == 2
    assert "run" in err, "a run is not written over"
    code, _, err = ganrun("import-weights", "cyclegan_horse2zebra", "generator=x.pth", "-o", tmp_path / "other", *small)
    assert code == 2
    assert "cyclegan has no network 'generator'; it has generator_ab" in err
    assert not (tmp_path / "other").exists()
    code, _, err = ganrun("import-weights", "cyclegan_horse2zebra", "x.pth", "-o", tmp_path / "other")
    assert code == 2
    assert "expected NETWORK=FILE" in err
    code, _, err = ganrun(
        "import-weights", "cyclegan_horse2zebra", "generator_ab=x.pth", "generator_ab=y.pth", "-o", tmp_path / "other"
    )
    assert code == 2
    assert "generator_ab has a file already, x.pth" in err


def test_a_folder_of_images_is_not_needed_where_the_recipe_has_the_sizes(ganrun, tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "variant: dcgan\ndataset: {image-folder: {root: not-here, size: 16}}\n"
        "generator: {dcgan: {width: 4}}\ndiscriminator: {dcgan: {width: 4}}\ntrain: {steps: 5, device: cpu}\n"
    )
    latent, image = Space("latent", (100,)), Space("image", (3, 16, 16))
    theirs = DCGANGenerator(Interface(takes=latent, makes=image), width=4)
    torch.save(theirs.state_dict(), tmp_path / "g.pth")
    with pytest.warns(UserWarning, match="not-here: there is no such folder; the sizes in the recipe are used"):
        code, out, _ = ganrun("import-weights", recipe, f"generator={tmp_path / 'g.pth'}", "-o", tmp_path / "run")
    assert code == 0
    assert "generator from files; discriminator as initialised" in out
    assert api.load(tmp_path / "run").sample(2).shape == (2, 3, 16, 16)

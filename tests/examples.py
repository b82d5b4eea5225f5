"""What built-in plugins need in order to be tried where defaults do not do: parameters, and a recipe around them."""

import tarfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image

from ganrun.testing import Example
from ganrun_plugins.features.dinov2 import VisionTransformer

SMALL_TRANSLATION = {
    "generator": {"resnet-translator": {"blocks": 1, "width": 4}},
    "discriminator": {"patchgan": {"layers": 1, "width": 4}},
    "dataset": {"restyled-digits": {"size": 8}},
}

SMALL_ENLARGEMENT = {
    "generator": {"srresnet": {"blocks": 1, "width": 4}},
    "discriminator": {"srgan": {"width": 2, "dense": 8, "norm": "none"}},
    "dataset": {"super-resolution-digits": {"size": 8, "factor": 2}},
}
SMALL_PAIRS = {
    "variant": "pix2pix",
    "generator": {"unet": {"width": 4}},
    "discriminator": {"patchgan": {"layers": 1, "width": 4, "norm": "none"}},
    "dataset": {"paired-digits": {"size": 8}},
}
SMALL_DOMAINS = {
    "players": {"discriminator": {"updates": 1}},  # of five, for speed
    "dataset": {"styled-digits": {"size": 8}},
    "generator": {"stargan": {"blocks": 1, "width": 4}},
    "discriminator": {"stargan": {"width": 4}},
}
SMALL_DISCOVERY = {
    "generator": {"discogan": {"width": 4}},
    "discriminator": {"dcgan": {"width": 4, "norm": "none"}},
    "dataset": {"restyled-digits": {"size": 16}},
}

SMALL_TEXTS = {
    "generator": {"gan-cls": {"width": 4, "projection": 4}},
    "discriminator": {"gan-cls": {"width": 4, "projection": 4, "norm": "none"}},
    "encoder": {"joint-embedding": {"text_width": 4, "image_width": 2}},
    "dataset": {"caption-digits": {"size": 8}},
}
SMALL_GAN_CLS = {"gan-cls": {"latent": 4, "embedding": 6, "pretraining": 1}}


def pictures(folder: Path, *names: str, count: int = 12) -> None:
    """Folders of small pictures of noise, all different."""
    noise = np.random.default_rng(0)
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            Image.fromarray(noise.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(folder / name / f"{number}.png")


def image_folder(folder: Path) -> Example:
    pictures(folder, "one", "two")
    networks = {"mlp": {"widths": [16], "norm": "none"}}
    return Example({"root": str(folder), "size": 8}, {"generator": networks, "discriminator": networks})


def attributes(folder: Path) -> Example:
    pictures(folder, "faces")
    rows = [f"{number}.png {-1 if number % 2 else 1} {-1 if number % 3 else 1}" for number in range(12)]
    (folder / "list_attr_celeba.txt").write_text("\n".join(["12", "Smiling Male", *rows]) + "\n")
    networks = {"mlp": {"widths": [16], "norm": "none"}}
    return Example(
        {"root": str(folder / "faces"), "attributes": ["Male", "Smiling"], "held_out": 4, "size": 8, "crop": 10},
        {"generator": networks, "discriminator": networks},
    )


def array(folder: Path) -> Example:
    x = np.random.default_rng(0).integers(0, 4096, (40, 8, 8), dtype=np.uint16)
    np.savez(folder / "arrays.npz", x=x, y=np.arange(40) % 2)
    networks = {"mlp": {"widths": [16], "norm": "none"}}
    parameters = {"root": str(folder / "arrays.npz"), "range": [0.0, 4095.0], "test_fraction": 0.4}
    return Example(parameters, {"generator": networks, "discriminator": networks})


def webdataset(folder: Path) -> Example:
    pictures(folder, "one", count=24)
    for number in range(len(list((folder / "one").glob("*.png")))):
        (folder / "one" / f"{number}.cls").write_text(str(number % 2))
    with tarfile.open(folder / "one.tar", "w") as archive:
        for file in sorted((folder / "one").iterdir()):
            archive.add(file, file.name)
    networks = {"mlp": {"widths": [16], "norm": "none"}}
    parameters = {"shards": str(folder / "one.tar"), "label": "cls", "size": 8, "test_fraction": 0.4}
    return Example(parameters, {"generator": networks, "discriminator": networks})


def hf_dataset(folder: Path) -> Example:
    """A Parquet file of small pictures; nothing where the package that reads it is not installed."""
    if find_spec("datasets") is None:
        return Example()
    import datasets

    datasets.disable_progress_bars()
    pictures(folder, "one", count=24)
    found = [{"bytes": file.read_bytes()} for file in sorted((folder / "one").glob("*.png"))]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    rows = {"image": found, "label": [number % 2 for number in range(len(found))]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(folder / "one.parquet")
    networks = {"mlp": {"widths": [16], "norm": "none"}}
    parameters = {"path": str(folder / "one.parquet"), "size": 8, "test_fraction": 0.4}
    return Example(parameters, {"generator": networks, "discriminator": networks})


def lsun(folder: Path) -> Example:
    """Databases of small pictures; nothing where the package that reads them is not installed."""
    if find_spec("lmdb") is None:
        return Example()
    import lmdb

    pictures(folder, "train", "val")
    for split in ("train", "val"):
        with (
            lmdb.open(str(folder / f"tower_{split}_lmdb"), map_size=1 << 20) as database,
            database.begin(write=True) as transaction,
        ):
            for number, file in enumerate(sorted((folder / split).glob("*.png"))):
                transaction.put(f"{split}{number:02}".encode(), file.read_bytes())
    networks = {"mlp": {"widths": [16], "norm": "none"}}
    return Example(
        {"root": str(folder), "classes": ["tower"], "size": 8}, {"generator": networks, "discriminator": networks}
    )


def unpaired_folders(folder: Path) -> Example:
    pictures(folder, "trainA", "trainB", "testA", "testB")
    return Example(
        {"root": str(folder), "size": 8, "load_size": 10},
        {k: v for k, v in SMALL_TRANSLATION.items() if k != "dataset"},
    )


def super_resolution(folder: Path) -> Example:
    pictures(folder, "train", "test")
    networks = {key: SMALL_ENLARGEMENT[key] for key in ("generator", "discriminator")}
    return Example(
        {"root": str(folder), "size": 8, "factor": 2}, {"variant": {"srgan": {"pretraining": 1}}, **networks}
    )


def paired_folders(folder: Path) -> Example:
    pictures(folder, "trainA", "trainB", "testA", "testB")
    return Example(
        {"root": str(folder), "size": 8, "load_size": 10}, {k: v for k, v in SMALL_PAIRS.items() if k != "dataset"}
    )


def captions(folder: Path) -> Example:
    pictures(folder, "one", "two")
    lines = [f"{name}/{number}.png\tthe picture {number} of {name}" for name in ("one", "two") for number in range(12)]
    (folder / "captions.txt").write_text("\n".join(lines))
    networks = {key: SMALL_TEXTS[key] for key in ("generator", "discriminator", "encoder")}
    return Example(
        {"root": str(folder), "size": 8, "length": 6, "test_fraction": 0.4}, {"variant": SMALL_GAN_CLS, **networks}
    )


def torchvision_weights(folder: Path) -> Example:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(torchvision.models.shufflenet_v2_x0_5().state_dict(), folder / "weights.pth")
    return Example({"model": "shufflenet_v2_x0_5", "weights": str(folder / "weights.pth"), "resize": 72, "crop": 64})


def dinov2_weights(folder: Path) -> Example:
    """Two blocks of 128 numbers, with positions for 4 patches."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(VisionTransformer(128, 2, 14, 5, 256, False).state_dict(), folder / "weights.pth")
    return Example({"weights": str(folder / "weights.pth"), "side": 42})


BATCH_NORMS = {player: {"mlp": {"widths": [16, 16], "norm": "batch"}} for player in ("generator", "discriminator")}
SMALL_AUTOENCODER = {"width": 4, "widths": [16], "code": 8}
ENERGY = {"discriminator": {"autoencoder": SMALL_AUTOENCODER}}
SMALL_INFOGAN = {
    "dataset": {"digits": {"size": 8}},
    "generator": {"infogan": {"width": 4}},
    "discriminator": {"infogan": {"width": 4, "norm": "none"}},
}
SEMI_SUPERVISED = {
    "dataset": {"semi-supervised": {"dataset": {"digits": {"size": 8}}, "labels": 20}},
    "generator": {"dcgan": {"width": 4}},
    "discriminator": {"dcgan": {"width": 4, "norm": "none"}},
}
LABELLED = {"variant": {"sgan": {"latent": 4}}, **SEMI_SUPERVISED}
LABELLED_DIGITS = {
    "dataset": {"digits": {"size": 8}},
    "generator": {"dcgan": {"width": 4, "norm": "none"}},
    "discriminator": {"dcgan": {"width": 4, "norm": "none"}},
}

SMALL_ENCODING = {
    "dataset": {"digits": {"size": 8}},
    "generator": {"mlp": {"widths": [16], "norm": "none"}},
    "encoder": {"mlp": {"widths": [16], "norm": "none"}},
}
SMALL_JOINT = {**SMALL_ENCODING, "discriminator": {"mlp": {"widths": [16]}}}

NARROW = {"base": 64, "widest": 8}
GROWING = {"dataset": {"digits": {"size": 8}}, "generator": {"progan": NARROW}, "discriminator": {"progan": NARROW}}
COUPLED = {
    "dataset": {"restyled-digits": {"size": 16}},
    "generator": {"cogan": {"width": 4}},
    "discriminator": {"cogan": {"widths": [4, 8, 16]}},
}

SMALL_DIGITS = {
    "dataset": {"digits": {"size": 8}},
    "generator": {"dcgan": {"width": 4}},
    "discriminator": {"dcgan": {"width": 4}},
}
UNNORMALISED_DIGITS = {**SMALL_DIGITS, "discriminator": {"dcgan": {"width": 4, "norm": "none"}}}
ENERGY_DIGITS = {**SMALL_DIGITS, "discriminator": {"autoencoder": SMALL_AUTOENCODER}}
SMALL_BEGAN = {
    "dataset": {"digits": {"size": 8}},
    "generator": {"began": {"width": 4}},
    "discriminator": {"began": {"width": 4, "code": 8}},
}
SMALL_RESIDUAL = {
    "dataset": {"digits": {"size": 8}},
    "generator": {"sngan-resnet": {"width": 4}},
    "discriminator": {"sngan-resnet": {"width": 4}},
}
NARROW_R3GAN = {"width": 8, "cardinality": 2, "blocks": 1}
SMALL_R3GAN = {
    "dataset": {"digits": {"size": 8}},
    "generator": {"r3gan": NARROW_R3GAN},
    "discriminator": {"r3gan": NARROW_R3GAN},
}
TANH = {"mlp": {"widths": [8, 8], "norm": "none", "activation": "tanh"}}

EXAMPLES = {
    "dataset.caption-digits": Example(
        {"size": 8}, {"variant": SMALL_GAN_CLS, **{k: v for k, v in SMALL_TEXTS.items() if k != "dataset"}}
    ),
    "dataset.captions": captions,
    "dataset.apple2orange": unpaired_folders,
    "dataset.array": array,
    "dataset.attributes": attributes,
    "dataset.cezanne2photo": unpaired_folders,
    "dataset.facades": unpaired_folders,
    "dataset.glyphs": Example({"size": 8, "classes": 12, "items": 4}),
    "dataset.hf-dataset": hf_dataset,
    "dataset.horse2zebra": unpaired_folders,
    "dataset.image-folder": image_folder,
    "dataset.iphone2dslr-flower": unpaired_folders,
    "dataset.lsun": lsun,
    "dataset.maps": unpaired_folders,
    "dataset.monet2photo": unpaired_folders,
    "dataset.multi": Example(
        {
            "sets": {
                "shapes": {
                    "styled-digits": {"size": 8, "styles": ["bold", "slanted"], "attributes": True, "scans": "even"}
                },
                "tones": {"styled-digits": {"size": 8, "styles": ["plain", "inverted"], "scans": "odd"}},
            }
        }
    ),
    "dataset.paired-digits": Example({"size": 8}, {k: v for k, v in SMALL_PAIRS.items() if k != "dataset"}),
    "dataset.paired-folders": paired_folders,
    "dataset.photos": Example(
        {"size": 8, "source": "scikit-learn"},
        {"generator": {"mlp": {"widths": [16]}}, "discriminator": {"mlp": {"widths": [16]}}},
    ),
    "dataset.summer2winter-yosemite": unpaired_folders,
    "dataset.super-resolution": super_resolution,
    "dataset.super-resolution-digits": Example(
        {"size": 8},
        {"variant": {"srgan": {"pretraining": 1}}, **{k: v for k, v in SMALL_ENLARGEMENT.items() if k != "dataset"}},
    ),
    "dataset.super-resolution-photos": Example(
        {"size": 8, "factor": 2, "source": "scikit-learn", "count": 64},
        {"variant": {"srgan": {"pretraining": 1}}, **{k: v for k, v in SMALL_ENLARGEMENT.items() if k != "dataset"}},
    ),
    "dataset.ukiyoe2photo": unpaired_folders,
    "dataset.unpaired-folders": unpaired_folders,
    "dataset.vangogh2photo": unpaired_folders,
    "dataset.webdataset": webdataset,
    "discriminator.acgan": Example({"width": 2, "norm": "none"}),
    "discriminator.autoencoder": Example(SMALL_AUTOENCODER),
    "discriminator.began": Example({"width": 4, "code": 8}),
    "discriminator.cogan": Example({"widths": [4, 8, 16]}),
    "discriminator.infogan": Example({"width": 4}),
    "discriminator.maxpool": Example({"width": 4, "dense": 8}),
    "discriminator.patchgan": Example({"layers": 1, "width": 8}),
    "discriminator.progan": Example(NARROW),
    "discriminator.r3gan": Example(NARROW_R3GAN),
    "discriminator.sngan-resnet": Example({"width": 4}),
    "discriminator.srgan": Example({"width": 8, "dense": 8}),
    "discriminator.stargan": Example({"width": 4}),
    "evaluator.accuracy": Example({}, LABELLED),
    "evaluator.attribute-accuracy": Example(
        {"features": {"classifier": {"steps": 3}}}, {"variant": "stargan", **SMALL_DOMAINS}
    ),
    "evaluator.domain-adaptation": Example({"steps": 3}, {"variant": "cyclegan", **SMALL_TRANSLATION}),
    "evaluator.encoding-neighbours": Example({}, {"variant": {"bigan": {"latent": 4}}, **SMALL_JOINT}),
    "evaluator.pair-agreement": Example({}, {"variant": {"cogan": {"latent": 4}}, **COUPLED}),
    "evaluator.super-resolution": Example(
        {"border": 1}, {"variant": {"srgan": {"pretraining": 1}}, **SMALL_ENLARGEMENT}
    ),
    "discriminator.gan-cls": Example({"width": 4, "projection": 8}),
    "evaluator.caption-match": Example(
        {"features": {"classifier": {"steps": 10}}}, {"variant": SMALL_GAN_CLS, **SMALL_TEXTS}
    ),
    "features.dinov2": dinov2_weights,
    "features.torchvision": torchvision_weights,
    "generator.acgan": Example({"width": 4}),
    "generator.began": Example({"width": 4}),
    "generator.cogan": Example({"width": 4}),
    "generator.conv-encoder": Example({"width": 4}, {"variant": {"bigan": {"latent": 4}}, **SMALL_JOINT}),
    "generator.discogan": Example({"width": 4}),
    "generator.infogan": Example({"width": 4}),
    "generator.maxpool": Example({"width": 4, "dense": 8}),
    "generator.progan": Example(NARROW),
    "generator.r3gan": Example(NARROW_R3GAN),
    "generator.resnet-translator": Example({"blocks": 1, "width": 8}),
    "generator.sngan-resnet": Example({"width": 4}),
    "generator.srresnet": Example({"blocks": 1, "width": 4}),
    "generator.stargan": Example({"blocks": 1, "width": 8}),
    "generator.unet": Example({"width": 4}),
    "generator.gan-cls": Example({"width": 4, "projection": 8}),
    "generator.joint-embedding": Example({"text_width": 8, "image_width": 4}),
    "loss.began": Example({}, ENERGY),
    "loss.ebgan": Example({}, ENERGY),
    "loss.magan": Example({"pretrain": 1}, ENERGY),
    "observer.health": Example({"every": 2, "samples": 8}),
    "observer.strip": Example({"at": [1, "100%"], "rows": 2}),
    "observer.tracker": Example({"name": "tensorboard"}),
    "trick.ada": Example({"kimg": 0.1, "start": 0.5}),
    "trick.gradient-clipping": Example({"max_norm": 0.05}),
    "trick.lecam": Example({"start": 2}),
    "trick.loss-balance": Example({}, {"tricks": ["historical-averaging"]}),  # a second term
    "trick.norm-swap": Example({"of": "any"}, BATCH_NORMS),
    "trick.perceptual": Example({"features": {"classifier": {"steps": 2}}}),
    "trick.reduce-on-plateau": Example({"watch": "adversarial.real", "window": 3, "patience": 1, "margin": 0.9}),
    "trick.top-k": Example({"gamma": 0.7}, {"dataset": {"ring": {"count": 32}}}),  # an epoch of 4 steps
    "trick.virtual-batch-norm": Example({}, BATCH_NORMS),
    "variant.aae": Example(
        {"latent": 4},
        {
            **SMALL_JOINT,
            "players": {
                name: {"optimizer": {"sgd": {"lr": 0.01}}} for name in ("autoencoder", "discriminator", "encoder")
            },
        },
    ),
    "variant.acgan": Example({"latent": 4}, LABELLED_DIGITS),
    "variant.ali": Example({"latent": 4}, SMALL_JOINT),
    "variant.autoencoder": Example({"latent": 4}, SMALL_ENCODING),
    "variant.began": Example({"latent": 4}, SMALL_BEGAN),
    "variant.bigan": Example({"latent": 4}, SMALL_JOINT),
    "variant.cgan": Example({"latent": 4}, LABELLED_DIGITS),
    "variant.cogan": Example({"latent": 4}, COUPLED),
    "variant.cyclegan": Example({}, SMALL_TRANSLATION),
    "variant.discogan": Example({}, SMALL_DISCOVERY),
    "variant.dragan": Example({"latent": 4}, UNNORMALISED_DIGITS),
    "variant.ebgan": Example({"latent": 4}, ENERGY_DIGITS),
    "variant.infogan": Example({"latent": 4}, SMALL_INFOGAN),
    "variant.magan": Example({"latent": 4}, {**ENERGY_DIGITS, "loss": {"magan": {"pretrain": 1}}}),
    "variant.pacgan": Example({"latent": 4}, SMALL_DIGITS),
    "variant.pix2pix": Example({}, SMALL_PAIRS),
    "variant.progan": Example({"latent": 4, "stage": 1, "fade": 3}, GROWING),
    "variant.r3gan": Example({"latent": 4}, SMALL_R3GAN),
    "variant.ragan": Example({"latent": 4}, SMALL_DIGITS),
    "variant.sgan": Example({"latent": 4}, SEMI_SUPERVISED),
    "variant.sngan": Example({"latent": 4}, SMALL_RESIDUAL),
    "variant.gan-cls": Example(SMALL_GAN_CLS["gan-cls"], SMALL_TEXTS),
    "variant.srgan": Example({"pretraining": 1}, SMALL_ENLARGEMENT),
    "variant.stargan": Example({}, SMALL_DOMAINS),
    "variant.unrolled": Example({"latent": 4}, {"generator": TANH, "discriminator": TANH}),
    "variant.vae": Example({"latent": 4}, SMALL_ENCODING),
    "variant.vaegan": Example({"latent": 4}, SMALL_JOINT),
    "variant.veegan": Example({"latent": 4}, SMALL_JOINT),
    "variant.wgan": Example({"latent": 4, "warm_up": 7}, SMALL_DIGITS),
    "variant.wgan-gp": Example({"latent": 4}, SMALL_RESIDUAL),
}

# For all variants and losses together, of which some have no such term: with a window that ends after a small run
EXAMPLES_EVERYWHERE = EXAMPLES | {"trick.reduce-on-plateau": Example({"watch": "adversarial.real"})}

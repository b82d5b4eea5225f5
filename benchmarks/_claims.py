"""The claims of the variants: for each a sentence, the scores that show it, and the rows that are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One row: a shipped recipe and what is changed in it, as after ``--set``."""

    recipe: str
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim:
    """What is shown. scores: name -> digits to print; a row without a score leaves its cell empty."""

    sentence: str
    scores: Mapping[str, int]
    rows: Mapping[str, Row]


def semi_supervised(labels: int) -> dict[str, Row]:
    """SGAN with some labels, and the same network trained on the labels alone."""
    given = (f"dataset.semi-supervised.labels={labels}", "train.steps=1000")
    return {
        f"{labels} labels, SGAN": Row("sgan_digits", given),
        f"{labels} labels alone": Row("sgan_digits", (*given, "variant.sgan.unlabelled=0")),
    }


def presets(data: str, steps: Mapping[str, int] | None = None) -> dict[str, Row]:
    """The presets on one data set."""
    names = ("wgan", "wgan_gp", "sngan", "dragan", "ragan", "r3gan")
    return {
        name.replace("_", "-"): Row(
            f"{name}_{data}", (f"train.steps={steps[name]}",) if steps and name in steps else ()
        )
        for name in names
    }


ASKED = {
    "class-share[classifier].accuracy": 3,
    "class-share[classifier].accuracy-of-real": 3,
    "frechet-distance[classifier]": 1,
}
MODES = {
    "mode-coverage.modes": 1,
    "mode-coverage.modes-with-20": 1,
    "mode-coverage.percent-within": 1,
    "mode-coverage.reverse-kl": 3,
}
ENCODED = {
    "encoding-neighbours": 3,
    "encoding-neighbours.untrained": 3,
    "encoding-neighbours.pixels": 3,
    "psnr-ssim.rec.psnr.y": 1,
    "frechet-distance[classifier]": 1,
}
HIDDEN = {f"hidden-pairs.{way}.{of}": 3 for way in ("a-to-b", "b-to-a") for of in ("l1", "mean-image.l1", "accuracy")}
SHORT = "train.steps=500"
MH = ("tricks=[{metropolis-hastings: {proposals: 100}}]",)
CLAIMS = {
    "cgan": Claim(
        "Share of G(z, y) that the shipped classifier reads as y, on digits.",
        ASKED,
        {"cgan": Row("cgan_digits", ("train.steps=1500",)), "acgan": Row("acgan_digits", ("train.steps=1500",))},
    ),
    "glyphs": Claim(
        "The label map of 128 classes: share of G(z, y) that a classifier trained on the real figures reads as y.",
        ASKED,
        {"cgan, linear label map": Row("cgan_glyphs")},
    ),
    "sgan": Claim(
        "Test accuracy with few labels, beside the same network trained on the labels alone. "
        "Digits have 899 training pictures: 1000 labels are all of them.",
        {"accuracy": 3},
        {
            **{name: row for labels in (25, 50, 100, 1000) for name, row in semi_supervised(labels).items()},
            "100 labels, LSE form and feature matching": Row("sgan_digits_improved", ("train.steps=1000",)),
        },
    ),
    "infogan": Claim(
        "The best one-to-one matching of a code of ten values to the digits, no label seen.",
        {"accuracy.matched": 3},
        {"infogan": Row("infogan_digits")},
    ),
    "pix2pix": Claim(
        "Held-out pairs: L1 distance and PSNR to the true answer, and how like real answers the samples are.",
        {"hidden-pairs.a-to-b.l1": 3, "psnr-ssim.a-to-b.psnr.y": 1, "frechet-distance[classifier]": 1},
        {
            "L1 and GAN": Row("pix2pix_digits", ("train.steps=1500",)),
            "L1 alone": Row("pix2pix_digits", ("train.steps=1500", "variant.pix2pix.adversarial=0")),
        },
    ),
    "discogan": Claim(
        "Unpaired translation, scored on the true pairs.",
        HIDDEN,
        {"discogan": Row("discogan_restyled_digits", ("train.steps=1500",))},
    ),
    "cyclegan": Claim(
        "The lecture's ablation, scored on the true pairs; and a classifier trained on translated digits, "
        "tested on real ones of the target.",
        {
            **HIDDEN,
            "domain-adaptation.a-to-b.adapted": 3,
            "domain-adaptation.a-to-b.source-only": 3,
            "domain-adaptation.a-to-b.oracle": 3,
        },
        {
            "both cycles and GAN": Row("cyclegan_ablation", (SHORT,)),
            "cycle alone": Row("cyclegan_ablation", (SHORT, "variant.cyclegan.adversarial=0")),
            "GAN alone": Row("cyclegan_ablation", (SHORT, "variant.cyclegan.cycle=0")),
            "GAN and forward cycle": Row("cyclegan_ablation", (SHORT, "variant.cyclegan.directions=forward")),
            "GAN and backward cycle": Row("cyclegan_ablation", (SHORT, "variant.cyclegan.directions=backward")),
        },
    ),
    "stargan": Claim(
        "Share of translations recognised as the domain that was asked for.",
        {"attribute-accuracy[classifier].accuracy": 3, "psnr-ssim.rec.psnr.y": 1},
        {"four domains": Row("stargan_digits", (SHORT,)), "two sets of labels": Row("stargan_two_sets", (SHORT,))},
    ),
    "srgan": Claim(
        "PSNR on Y of the pretrained network beside the bicubic filter's, on held-out images.",
        {"psnr-ssim.x.psnr.y": 2, "super-resolution.bicubic.psnr.y": 2, "super-resolution.gain.y": 2},
        {
            "pretrained": Row("srgan_digits", ("variant.srgan.pretraining=100%", "train.steps=600")),
            "then adversarial": Row("srgan_digits"),
        },
    ),
    "gan-cls": Claim(
        "Share of samples that show the number and the style of the caption.",
        {f"caption-match.{of}": 3 for of in ("number", "style", "all")},
        {"gan-cls": Row("gan_cls_digits", ("train.steps=1200",))},
    ),
    "energies": Claim(
        "Discriminators that are energies.",
        {"frechet-distance[classifier]": 1},
        {name: Row(f"{name}_digits") for name in ("began", "ebgan", "magan")},
    ),
    "presets-ring": Claim("The presets on eight Gaussians on a ring, 2,500 samples.", MODES, presets("ring")),
    "presets-digits": Claim(
        "The presets on digits.",
        {"frechet-distance[classifier]": 1},
        {**presets("digits"), "convolutional vanilla GAN": Row("conv_gan_digits")},
    ),
    "collapse": Claim(
        "Remedies for missing modes, 2,500 samples.",
        MODES,
        {
            f"{name}, {data}": Row(f"{name}_{data}")
            for data in ("ring", "grid")
            for name in ("veegan", "unrolled", "pacgan")
        },
    ),
    "collapse-longer": Claim(
        "The same with 30,000 steps, run once (--seeds 0).",
        MODES,
        {
            f"{name}, {data}": Row(f"{name}_{data}", ("train.steps=30000",))
            for name, data in (("veegan", "ring"), ("veegan", "grid"), ("pacgan", "grid"))
        },
    ),
    "cogan": Claim(
        "Pairs made of one latent that a classifier reads as one digit.",
        {f"pair-agreement[classifier].{of}": 3 for of in ("agreement", "chance")},
        {"cogan": Row("cogan_digits", ("train.steps=2000",))},
    ),
    "encoders": Claim(
        "Accuracy of the nearest neighbour by encodings, beside an untrained encoder's and by pixels; "
        "the PSNR of reconstructions.",
        ENCODED,
        {name: Row(f"{name}_digits") for name in ("autoencoder", "vae", "aae", "bigan", "ali", "vaegan")},
    ),
    "metropolis-hastings": Claim(
        "Samples within 3 standard deviations of a mode, before and after.",
        MODES,
        {"before": Row("gan_ring", ("train.steps=4000",)), "after": Row("gan_ring", ("train.steps=4000", *MH))},
    ),
}

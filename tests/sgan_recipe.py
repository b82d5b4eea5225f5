"""The recipe of a small SGAN on digits of which some have labels."""

QUIET = ["progress", "samples", "metrics-log", "health", "checkpoints"]


def recipe_of(variant=None, tricks=(), labels=20, size=8, **around) -> dict:
    """Tiny networks without BatchNorm in the discriminator, on digits of 8 pixels a side."""
    return {
        "variant": {"sgan": {"latent": 4, **(variant or {})}},
        "dataset": {"semi-supervised": {"dataset": {"digits": {"size": size}}, "labels": labels}},
        "generator": {"dcgan": {"width": 4}},
        "discriminator": {"dcgan": {"width": 4, "norm": "none"}},
        "tricks": list(tricks),
        "without": QUIET,
        "train": {"steps": 3, "batch_size": 8, "device": "cpu"},
        **around,
    }

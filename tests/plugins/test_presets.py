"""Presets: what each variant is made of, against its paper, and what its schedule does."""

from pathlib import Path

import pytest

from ganrun.catalog.catalog import Catalog
from ganrun.recipe import load_recipe
from ganrun.schedule import Clock, Scheduled

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture(scope="module")
def catalog():
    return Catalog()


ADAM_GP = {"lr": Scheduled({"linear": [2e-4, 0.0]}), "betas": (0.0, 0.9)}
R3_ADAM = {"lr": Scheduled({"cosine": [2e-4, 5e-5]}), "betas": (0.0, {"cosine": [0.9, 0.99]})}
R3_GAMMA = {"gamma": {"cosine": [0.05, 0.005]}}
DCGAN_ADAM = {"lr": 2e-4, "betas": (0.5, 0.999)}
RMSPROP = {"lr": 5e-5, "momentum": 0.0}
NORMAL = ("normal", 0.02)
PRESETS = {  # variant: loss, sampler, tricks, networks, (optimisers D, G), updates of D, batch, latent, init
    "began": (
        {"began": {"gamma": 0.5, "lambda_k": 0.001, "k": 0.0}},
        "uniform",
        {},
        ("began", "began"),
        ({"lr": 1e-4, "betas": (0.9, 0.999)},) * 2,
        None,
        16,
        64,
        None,
    ),
    "ebgan": (
        {"ebgan": {}},
        "normal",
        {"pulling-away": {"weight": 0.1}},
        ("dcgan", "autoencoder"),
        (DCGAN_ADAM,) * 2,
        None,
        64,
        100,
        NORMAL,
    ),
    "magan": (
        {"magan": {}},
        "normal",
        {},
        ("dcgan", "autoencoder"),
        ({"lr": 5e-4, "betas": (0.9, 0.999)},) * 2,
        None,
        64,
        100,
        NORMAL,
    ),
    "wgan": (
        {"wasserstein": {"drift": 0.0}},
        "normal",
        {"weight-clipping": {"limit": 0.01, "when": "after"}},
        ("dcgan", "dcgan"),
        (RMSPROP,) * 2,
        5,
        64,
        100,
        NORMAL,
    ),
    "wgan-gp": (
        {"wasserstein": {"drift": 0.0}},
        "normal",
        {"gradient-penalty": {"weight": 10.0, "target": 1.0, "one_sided": False, "every": 1}},
        ("sngan-resnet", "sngan-resnet"),
        (ADAM_GP,) * 2,
        5,
        64,
        128,
        None,
    ),
    "sngan": (
        {"hinge": {}},
        "normal",
        {"spectral-norm": {"networks": "discriminators", "strength": 1.0, "iterations": 1}},
        ("sngan-resnet", "sngan-resnet"),
        (ADAM_GP,) * 2,
        5,
        64,
        128,
        None,
    ),
    "dragan": (
        {"non-saturating": {}},
        "normal",
        {"dragan-penalty": {"weight": 10.0, "scale": 0.5, "noise": "uniform", "target": 1.0}},
        ("dcgan", "dcgan"),
        ({"lr": 1e-4, "betas": (0.5, 0.9)},) * 2,
        None,
        64,
        100,
        NORMAL,
    ),
    "ragan": (
        {"relativistic-average": {"form": "standard"}},
        "normal",
        {},
        ("dcgan", "dcgan"),
        (DCGAN_ADAM,) * 2,
        None,
        32,
        100,
        NORMAL,
    ),
    "r3gan": (
        {"relativistic": {}},
        "normal",
        {
            "r1": {**R3_GAMMA, "every": 1, "augmented": True},
            "r2": {**R3_GAMMA, "every": 1},
            "ema": {"decay": 1.0, "half_life": {"cosine": [0.0, 5e6]}, "warmup": 0.3},
        },
        ("r3gan", "r3gan"),
        (R3_ADAM,) * 2,
        None,
        512,
        64,
        None,
    ),
    "unrolled": (
        {"minimax": {}},
        "normal",
        {"unrolling": {"steps": 5, "objective": "saddle", "through": True}},
        ("mlp", "mlp"),
        ({"lr": 1e-4, "betas": (0.5, 0.999)}, {"lr": 1e-3, "betas": (0.5, 0.999)}),
        None,
        512,
        256,
        ("orthogonal", 1.4),
    ),
    "pacgan": (
        {"non-saturating": {}},
        "uniform",
        {"packing": {"m": 2}},
        ("dcgan", "dcgan"),
        (DCGAN_ADAM,) * 2,
        None,
        128,
        100,
        NORMAL,
    ),
}


def held(part, wanted: dict) -> dict:
    """The parameters of a part that are asked about, schedules as they are written."""
    return {key: written(part.parameters[key]) for key in wanted}


def written(value):
    return (
        tuple(map(written, value))
        if isinstance(value, tuple)
        else value.spec
        if isinstance(value, Scheduled)
        else value
    )


@pytest.mark.parametrize("variant", PRESETS)
def test_defaults_are_the_papers(catalog, variant):
    loss, sampler, tricks, networks, optimizers, updates, batch, latent, init = PRESETS[variant]
    recipe = load_recipe({"variant": variant, "dataset": {"digits": {"size": 32}}}, catalog=catalog)
    ((name, wanted),) = loss.items()
    assert recipe.loss.name == name
    assert held(recipe.loss, wanted) == wanted
    assert recipe.sampler.name == sampler
    assert {trick.name: held(trick, tricks[trick.name]) for trick in recipe.tricks} == tricks
    assert (recipe.networks["generator"].name, recipe.networks["discriminator"].name) == networks
    for player, wanted in zip(("discriminator", "generator"), optimizers):
        settings = recipe.players[player]
        assert held(settings.optimizer, wanted) == {key: written(value) for key, value in wanted.items()}
        assert (settings.init.scheme, settings.init.gain) == init if init else settings.init is None
    assert recipe.players["discriminator"].updates == updates
    assert recipe.players["generator"].updates is None
    assert recipe.train.batch_size == batch
    assert recipe.variant.make().latent.shape == (latent,)


def test_the_networks_of_presets_are_the_papers(catalog):
    def networks(variant):
        recipe = load_recipe({"variant": variant, "dataset": {"digits": {"size": 32}}}, catalog=catalog)
        return recipe.networks["generator"].parameters, recipe.networks["discriminator"].parameters

    assert networks("wgan-gp") == ({"width": 128}, {"width": 128, "pool": "mean", "bias": True})
    assert networks("sngan") == ({"width": 256}, {"width": 128, "pool": "sum", "bias": False})
    assert networks("dragan")[1]["norm"] == "none"
    assert networks("wgan")[1]["norm"] == "batch"
    for network in networks("unrolled"):
        assert (network["widths"], network["norm"], network["activation"]) == ((128, 128), "none", "tanh")
    assert [networks(name)[1]["error"] for name in ("ebgan", "magan")] == ["squared", "squared"]
    assert networks("began")[0]["width"] == networks("began")[1]["width"] == 128


def test_the_schedules_of_r3gan_are_half_a_cosine_each(catalog):
    """In the middle a cosine is at the mean of its ends: rate 1.25e-4, beta 0.945, gamma 0.0275."""
    recipe = load_recipe({"variant": "r3gan", "dataset": {"digits": {"size": 32}}}, catalog=catalog)
    clock = Clock(total=1000, batch=512, dataset=1437)
    adam, (r1, r2, ema) = recipe.players["generator"].optimizer.make(), (part.parameters for part in recipe.tricks)
    middle = adam.options(lambda value: value.at(500, clock))
    assert middle["lr"] == pytest.approx(1.25e-4)
    assert middle["betas"] == pytest.approx((0, 0.945))
    for penalty in (r1, r2):
        assert [penalty["gamma"].at(step, clock) for step in (0, 500, 1000)] == pytest.approx([0.05, 0.0275, 0.005])
    assert [ema["half_life"].at(step, clock) for step in (0, 500, 1000)] == pytest.approx([0, 2.5e6, 5e6])


def test_the_recipe_of_r3gan_augments_as_its_authors_do(catalog):
    """p grows to 0.55 whatever the scores; colours at half of it, and cutout."""
    ada = load_recipe(RECIPES / "r3gan_cifar10.yaml", catalog=catalog).tricks[-1].parameters
    colours = ("brightness", "contrast", "luma", "hue", "saturation")
    assert ada["shares"] == dict.fromkeys(colours, 0.5) | {"cutout": 1.0}
    assert (ada["target"], ada["limit"].at(500, Clock(1000, 512, 50_000))) == (None, pytest.approx(0.275))


def test_in_a_run_of_20_million_images_the_average_of_r3gan_has_the_half_life_of_the_paper_alone(catalog):
    """In a run of 1,000 steps it would never forget the first weights; there the limit of 0.3 of the updates so far
    binds.
    """
    recipe = load_recipe({"variant": "r3gan", "dataset": {"digits": {"size": 32}}}, catalog=catalog)
    ema = recipe.tricks[2].parameters
    assert ema["decay"].values == (1.0,)

    def half_lives(total):  # in updates: the schedule's, and the limit
        clock = Clock(total=total, batch=512, dataset=1437)
        return [
            (ema["half_life"].at(step, clock) / 512, ema["warmup"].at(step, clock) * (step + 1))
            for step in range(0, total, total // 100)
        ]

    assert all(half_life <= limit for half_life, limit in half_lives(20_000_000 // 512))
    assert all(half_life > limit for half_life, limit in half_lives(1000)[2:])

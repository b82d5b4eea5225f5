"""The variants through the real engine: against hand-written loops, with every trick, and what they refuse."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ganrun.randomness import Draws
from ganrun.schedule import Clock, Scheduled
from ganrun.training.build import RefusedError
from ganrun.words.spaces import Refusal, Space
from ganrun_plugins.variants.cyclegan import RATE, CycleGAN
from ganrun_plugins.variants.gan import GAN

QUIET = ["progress", "samples", "metrics-log", "health", "checkpoints"]
IMAGE = Space("image", (1, 16, 16))


def recipe_of(variant: str, *, tricks=(), steps: int = 4, without=(), **train) -> dict:
    """A tiny recipe of each variant, without observers."""
    parts = {
        "gan": {
            "dataset": {"ring": {"count": 256}},
            "generator": {"mlp": {"widths": [8, 8]}},
            "discriminator": {"mlp": {"widths": [8]}},
        },
        "dcgan": {
            "dataset": {"digits": {"size": 8}},
            "generator": {"dcgan": {"width": 4}},
            "discriminator": {"dcgan": {"width": 4}},
        },
        "cyclegan": {
            "dataset": {"restyled-digits": {"size": 8}},
            "generator": {"resnet-translator": {"blocks": 1, "width": 2}},
            "discriminator": {"patchgan": {"width": 2, "layers": 1}},
        },
    }
    parts["lsgan"] = parts["dcgan"]
    settings = {"steps": steps, "batch_size": 4, "device": "cpu", **train}
    return {
        "variant": variant,
        **parts[variant],
        "tricks": list(tricks),
        "without": [*QUIET, *without],
        "train": settings,
    }


def weights(run) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": value.clone()
        for name, module in run.experiment.modules.items()
        for key, value in module.state_dict().items()
    }


def trained(make_run, recipe: dict):
    run = make_run(recipe)
    for step in range(recipe["train"]["steps"]):
        run.engine.step(step)
    return run


@pytest.fixture(scope="module")
def plain_weights():
    """Weights after training without tricks, by variant: trained once for all tests of this file."""
    return {}


def plain_of(make_run, variant: str, kept: dict) -> dict[str, torch.Tensor]:
    if variant not in kept:
        kept[variant] = weights(trained(make_run, recipe_of(variant, without=pool_of(variant))))
    return kept[variant]


def pool_of(variant: str, trick=()) -> list[str]:
    """What to leave out, so that only ``trick`` is in the recipe: CycleGAN comes with a pool."""
    return ["replay-buffer"] if variant == "cyclegan" and "replay-buffer" not in trick else []


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Compared in the order of tensors: dropout that is put in renames none of them here."""
    assert len(first) == len(second)
    return all(torch.equal(a, b) for a, b in zip(first.values(), second.values()))


# --- against loops written by hand ----------------------------------------------------------------------------


@pytest.mark.parametrize(("variant", "least_squares"), [("dcgan", False), ("lsgan", True)])
def test_dcgan_is_bit_identical_to_a_hand_written_loop(make_run, variant, least_squares):
    recipe = recipe_of(variant, steps=5)
    run, twin = trained(make_run, recipe), make_run(recipe)
    generator, discriminator = twin.experiment.modules["generator"], twin.experiment.modules["discriminator"]
    adam = {"lr": 2e-4, "betas": (0.5, 0.999), "fused": True}
    optimizers = [torch.optim.Adam(network.parameters(), **adam) for network in (discriminator, generator)]
    reader = twin.experiment.reader("discriminator", 4)
    zero, one = torch.zeros(4), torch.ones(4)

    def loss(logits, target):
        if least_squares:
            return 0.5 * F.mse_loss(logits, target)
        return F.binary_cross_entropy_with_logits(logits, target)

    for step in range(5):
        x = reader.get(4, 0, 1)["x"]
        reader.advance(4)
        z = Draws((0, 0, step, "discriminator", 0)).normal("z", 4, 100)
        fake = generator(z)
        optimizers[0].zero_grad()
        (loss(discriminator(x).logits, one) + loss(discriminator(fake.detach()).logits, zero)).backward()
        optimizers[0].step()
        optimizers[1].zero_grad()
        logits = discriminator(fake).logits
        (loss(logits, one) if least_squares else -F.logsigmoid(logits).mean()).backward()
        optimizers[1].step()
    expected = {f"{n}.{k}": v for n, m in twin.experiment.modules.items() for k, v in m.state_dict().items()}
    found = weights(run)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in found)


def test_cyclegan_follows_the_reference_step_by_step(make_run):
    """Both generators first, then both discriminators on the fakes made before; weights 10 and 5; half the
    discriminators' sum.
    """
    recipe = recipe_of("cyclegan", steps=4, without=["replay-buffer"], precision="float64")
    run = trained(make_run, recipe)
    twin = make_run(recipe)
    with twin.experiment.settings():
        by_hand_cyclegan(twin, 4)
    expected = {f"{n}.{k}": v for n, m in twin.experiment.modules.items() for k, v in m.state_dict().items()}
    found = weights(run)
    assert all(torch.allclose(found[key], expected[key], rtol=0, atol=1e-9) for key in expected)


def by_hand_cyclegan(twin, steps: int) -> None:
    m = twin.experiment.modules
    ab, ba, d_a, d_b = (m[name] for name in ("generator_ab", "generator_ba", "discriminator_a", "discriminator_b"))
    adam = {"lr": 2e-4, "betas": (0.5, 0.999)}
    generators = torch.optim.Adam([*ab.parameters(), *ba.parameters()], **adam)
    discriminators = torch.optim.Adam([*d_a.parameters(), *d_b.parameters()], **adam)
    reader = twin.experiment.reader("step", 4)

    def gan(logits, real):
        return F.mse_loss(logits, torch.full_like(logits, float(real)))

    for _ in range(steps):
        batch = reader.get(4, 0, 1)
        reader.advance(4)
        a, b = batch["a"], batch["b"]
        fake_b, fake_a = ab(a), ba(b)
        loss = gan(d_b(fake_b).logits, True) + gan(d_a(fake_a).logits, True)
        loss = loss + 10 * F.l1_loss(ba(fake_b), a) + 10 * F.l1_loss(ab(fake_a), b)
        loss = loss + 5 * F.l1_loss(ab(b), b) + 5 * F.l1_loss(ba(a), a)
        generators.zero_grad()
        loss.backward()
        generators.step()
        discriminators.zero_grad()
        (0.5 * (gan(d_b(b).logits, True) + gan(d_b(fake_b.detach()).logits, False))).backward()
        (0.5 * (gan(d_a(a).logits, True) + gan(d_a(fake_a.detach()).logits, False))).backward()
        discriminators.step()


def test_cyclegan_translates_six_times_a_step(make_run):
    """Two fakes, two ways back and two identities in the generators' turn; none in the discriminators'."""
    run, calls = make_run(recipe_of("cyclegan")), []
    for name in ("generator_ab", "generator_ba"):
        run.experiment.modules[name].register_forward_hook(lambda module, x, y, name=name: calls.append(name))
    run.engine.step(0)
    assert sorted(calls) == ["generator_ab"] * 3 + ["generator_ba"] * 3


def test_cyclegan_without_identity_makes_no_identity_forward(make_run):
    recipe = recipe_of("cyclegan") | {"variant": {"cyclegan": {"identity": 0}}}
    run = make_run(recipe)
    run.engine.step(0)
    assert set(run.engine.terms["generator"]) == {"b.fake", "a.fake", "cycle_a", "cycle_b"}


def test_cyclegan_terms_have_the_weights_of_the_paper(make_run):
    seen = {}
    run = make_run(recipe_of("cyclegan"))
    backward = run.engine.backward
    run.engine.backward = lambda turn: (
        seen.update({turn.player: {k: t.weight for k, t in turn.terms.items()}}),
        backward(turn),
    )
    run.engine.step(0)
    assert seen["generator"] == {
        "b.fake": 1,
        "a.fake": 1,
        "cycle_a": 10,
        "cycle_b": 10,
        "identity_a": 5,
        "identity_b": 5,
    }
    assert seen["discriminator"] == {"b.real": 0.5, "b.fake": 0.5, "a.real": 0.5, "a.fake": 0.5}


@pytest.mark.parametrize(
    ("epoch", "factor"), [(1, 1.0), (100, 1.0), (101, 1 - 1 / 101), (150, 1 - 50 / 101), (200, 1 - 100 / 101)]
)
def test_cyclegan_rate_at_the_epochs_of_the_reference(epoch, factor):
    clock = Clock(total=200 * 1334, batch=1, dataset=1334)
    rate = Scheduled(RATE)
    first, last = (epoch - 1) * 1334, epoch * 1334 - 1
    assert rate.at(first, clock) == pytest.approx(2e-4 * factor)
    assert rate.at(last, clock) == rate.at(first, clock)


def test_cyclegan_defaults_are_the_papers(make_run):
    run = make_run(
        {
            "variant": "cyclegan",
            "dataset": {"restyled-digits": {"size": 32}},
            "without": QUIET,
            "train": {"device": "cpu"},
        }
    )
    parameters = {name: sum(p.numel() for p in module.parameters()) for name, module in run.experiment.modules.items()}
    assert run.recipe.train.batch_size == 1
    assert str(run.recipe.train.steps) == "200 epochs"
    assert [trick.name for trick in run.recipe.tricks] == ["replay-buffer"]
    assert run.recipe.tricks[0].parameters["size"] == 50
    assert parameters["generator_ab"] == parameters["generator_ba"]
    assert parameters["discriminator_a"] == 2_764_737 - 2 * 64 * 16  # one channel instead of three
    assert run.experiment.modules["discriminator_a"].model[2].weight.std().item() == pytest.approx(0.02, rel=0.05)


# --- tricks on every variant ----------------------------------------------------------------------------------

ALL = [
    {"label-smoothing": {"real": [0.7, 1.0]}},
    {"instance-noise": {"sigma": 0.1}},
    {"replay-buffer": {"size": 6}},
    {"generator-dropout": {"p": 0.3}},
    {"ema": {"decay": 0.9}},
]
NEUTRAL = [
    {"label-smoothing": {"real": 1.0}},
    {"instance-noise": {"sigma": 0}},
    {"replay-buffer": {"size": 6, "p": 0}},
    {"generator-dropout": {"p": 0}},
    {"ema": {"decay": 0}},
]
VARIANTS = ["gan", "dcgan", "lsgan", "cyclegan"]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("trick", NEUTRAL, ids=lambda trick: next(iter(trick)))
def test_a_trick_at_its_neutral_strength_leaves_the_same_bits(make_run, plain_weights, variant, trick):
    found = weights(trained(make_run, recipe_of(variant, tricks=[trick], without=pool_of(variant, trick))))
    assert same(found, plain_of(make_run, variant, plain_weights))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("trick", ALL[:4], ids=lambda trick: next(iter(trick)))
def test_a_trick_at_its_strength_changes_training(make_run, plain_weights, variant, trick):
    found = weights(trained(make_run, recipe_of(variant, tricks=[trick], without=pool_of(variant, trick))))
    assert not same(found, plain_of(make_run, variant, plain_weights))


@pytest.mark.parametrize("variant", VARIANTS)
def test_all_tricks_twice_train_to_finite_weights(make_run, variant):
    """A recipe merges two tricks of one name into the variant's own by position, so each is listed twice."""
    run = trained(make_run, recipe_of(variant, tricks=[*ALL, *ALL]))
    assert len(run.recipe.tricks) == 10
    assert all(torch.isfinite(value).all() for value in weights(run).values())


@pytest.mark.parametrize(("variant", "channels_last"), [("gan", False), ("dcgan", True), ("cyclegan", False)])
def test_all_tricks_resume_to_the_same_bits(make_run, tmp_path, variant, channels_last):
    from ganrun.training import checkpoint

    recipe = recipe_of(variant, tricks=ALL, steps=6, channels_last=channels_last)
    whole = trained(make_run, recipe)
    half = make_run(recipe)
    for step in range(3):
        half.engine.step(step)
    half.step = 3
    checkpoint.write(tmp_path, 3, half.state_dict())
    resumed = make_run(recipe)
    resumed.load_state_dict(checkpoint.newest_intact(tmp_path)[2])
    for step in range(3, 6):
        resumed.engine.step(step)
    assert same(weights(resumed), weights(whole))
    for first, second in zip(resumed.experiment.tricks, whole.experiment.tricks):
        if hasattr(first, "state_dict"):
            assert same(flat(first.state_dict()), flat(second.state_dict()))


def flat(state: dict, path: str = "") -> dict[str, torch.Tensor]:
    """The numbers of a nested state as tensors."""
    found = {}
    for key, value in state.items():
        found |= flat(value, f"{path}.{key}") if isinstance(value, dict) else {f"{path}.{key}": torch.as_tensor(value)}
    return found


def test_smoothing_and_buffer_leave_the_generators_turn_alone(make_run):
    """With the discriminator's rate 0 the generator cannot notice what the discriminator is shown or told."""
    still = {"discriminator": {"optimizer": {"sgd": {"lr": 0}}}}
    plain = trained(make_run, recipe_of("gan") | {"players": still})
    changed = trained(make_run, recipe_of("gan", tricks=[ALL[0], ALL[2]]) | {"players": still})
    assert same(weights(plain), weights(changed))


def test_noise_reaches_the_generators_turn_too(make_run):
    still = {"discriminator": {"optimizer": {"sgd": {"lr": 0}}}}
    plain = trained(make_run, recipe_of("gan") | {"players": still})
    changed = trained(make_run, recipe_of("gan", tricks=[ALL[1]]) | {"players": still})
    assert not same(weights(plain), weights(changed))


def test_samples_come_from_the_average_with_ema_and_from_the_newest_weights_without_it(make_run):
    from ganrun.sampling.sampling import SampleMaker

    made = {}
    for decay in (None, 0.0, 0.9):
        run = trained(make_run, recipe_of("dcgan", tricks=[] if decay is None else [{"ema": {"decay": decay}}]))
        made[decay] = SampleMaker(run.engine).turn(5).made["x"]
    assert torch.equal(made[None], made[0.0])
    assert not torch.allclose(made[None], made[0.9], atol=1e-6)


def test_panels_show_samples_or_both_translations(make_run):
    from ganrun.sampling.sampling import SampleMaker

    run = make_run(recipe_of("gan"))
    assert {name: [tuple(c.shape) for c in columns] for name, columns in SampleMaker(run.engine).panels(3).items()} == {
        "samples": [(3, 2)]
    }
    run = make_run(recipe_of("cyclegan"))
    real = {name: torch.zeros(3, 1, 8, 8) for name in ("a", "b")}
    panels = SampleMaker(run.engine).panels(3, real=real)
    assert {name: len(columns) for name, columns in panels.items()} == {"a to b": 3, "b to a": 3}


# --- refusals -------------------------------------------------------------------------------------------------


def test_a_variant_refuses_data_of_another_kind():
    with pytest.raises(Refusal, match="entry 'x'"):
        GAN().describe({"a": IMAGE, "b": IMAGE})
    with pytest.raises(Refusal, match="'a' and 'b'"):
        CycleGAN().describe({"x": IMAGE})


def test_cyclegan_refuses_identity_between_unequal_domains_and_names_the_way_out():
    spaces = {"a": IMAGE, "b": Space("image", (3, 16, 16))}
    with pytest.raises(Refusal) as refused:
        CycleGAN().describe(spaces)
    assert "identity: 0" in refused.value.reason.instead
    assert CycleGAN(identity=0).describe(spaces).outputs == ("b", "a")


def test_label_smoothing_is_refused_for_a_loss_without_targets(make_run, plugin_module):
    class NoTargets:
        provides = frozenset({"per-sample-generator"})
        real_in_generator = False

        def targets(self, role):
            return None

        def discriminator(self, round):
            return {s: s.logits for s in round.streams}

        def generator(self, round):
            return {s: -s.logits for s in round.of("fake")}

    recipe = recipe_of("gan", tricks=[ALL[0]]) | {"loss": "no-targets"}
    with pytest.raises(RefusedError, match="no target that could be smoothed"):
        make_run(recipe, {"loss.no-targets": NoTargets})


def test_generator_dropout_serves_a_strangers_network(make_run):
    class Strange(nn.Module):
        takes = frozenset({"latent"})
        makes = frozenset({"points"})

        def __init__(self, interface) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(interface.takes.size, 8), nn.SiLU())
            self.last = nn.Linear(8, interface.makes.size)

        def forward(self, x):
            return self.last(self.body(x))

    recipe = recipe_of("gan", tricks=[ALL[3]]) | {"generator": "strange"}
    run = make_run(recipe, {"generator.strange": Strange})
    run.engine.step(0)
    assert sum(isinstance(layer, nn.Dropout) for layer in run.experiment.modules["generator"].modules()) == 1


def test_the_loss_at_the_start_of_a_gan_is_near_log_2(make_run):
    run = make_run(recipe_of("gan"))
    run.engine.step(0)
    assert run.engine.terms["discriminator"]["adversarial.fake"].item() == pytest.approx(math.log(2), abs=0.2)

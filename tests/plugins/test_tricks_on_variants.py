"""Every trick on the basic variants: neutral strengths, what changes training, resuming; and what is refused."""

import math

import pytest
import torch
from basic_variants import recipe_of, trained, weights
from torch import nn

from ganrun.data.reader import InMemory
from ganrun.sampling.sampling import SampleMaker
from ganrun.training.build import RefusedError
from ganrun.words.spaces import Refusal, Space
from ganrun_plugins.variants.cyclegan import CycleGAN
from ganrun_plugins.variants.gan import GAN

IMAGE = Space("image", (1, 16, 16))


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
    resumed.load_state_dict(checkpoint.load_newest(tmp_path, lambda state: None)[2])
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
    """With the discriminator's rate 0 the generator cannot notice what the discriminator is shown or asked for."""
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
    panels = SampleMaker(run.engine).panels(3)
    assert {name: [tuple(c.shape) for c in panel.columns] for name, panel in panels.items()} == {"samples": [(3, 2)]}
    run = make_run(recipe_of("cyclegan"))
    real = {name: torch.zeros(3, 1, 8, 8) for name in ("a", "b")}
    panels = SampleMaker(run.engine).panels(3, real=real)
    assert {name: panel.column_names for name, panel in panels.items()} == {
        "a to b": ["a", "to b", "back"],
        "b to a": ["b", "to a", "back"],
    }


# --- refusals -------------------------------------------------------------------------------------------------


def test_a_variant_refuses_data_of_another_kind():
    with pytest.raises(Refusal, match="entry 'x'"):
        GAN().describe({"a": IMAGE, "b": IMAGE})
    with pytest.raises(Refusal, match="'a' and 'b'"):
        CycleGAN().describe({"x": IMAGE})


@pytest.mark.parametrize(("identity", "warned"), [(0.5, ["variant cyclegan"]), (0.0, [])])
def test_cyclegan_goes_between_domains_of_other_channels_without_the_identity_term(make_run, identity, warned):
    """13 bands become RGB and come back; the term on images that are to be kept is off, and it is warned of it."""

    class Bands(InMemory):
        """Images of 13 bands and of 3 colours."""

        def __init__(self, files, split):
            images = torch.randint(0, 256, (8, 16, 8, 12), dtype=torch.uint8)
            spaces = {"a": Space("image", (13, 8, 12)), "b": Space("image", (3, 8, 12))}
            super().__init__({"a": images[:, :13], "b": images[:, 13:]}, spaces)

    recipe = recipe_of("cyclegan") | {"dataset": "bands", "variant": {"cyclegan": {"identity": identity}}}
    run = make_run(recipe, {"dataset.bands": Bands})
    found = [each.part for each in run.experiment.warnings if "identity" in each.why]
    assert found == warned
    run.engine.step(0)
    run.engine.step(1)
    real = {name: torch.zeros(2, channels, 8, 12) for name, channels in (("a", 13), ("b", 3))}
    forth = SampleMaker(run.engine).panels(2, real=real)["a to b"]
    assert [column.shape[1] for column in forth.columns] == [13, 3, 13]


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

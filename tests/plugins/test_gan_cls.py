"""GAN-CLS: counts of its networks, three kinds of pairs by hand, texts in between, encoders that stay fixed."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from ganrun.data.reader import InMemory
from ganrun.engine.rounds import play_round
from ganrun.training.build import RefusedError
from ganrun.words.spaces import Interface, Refusal, Space
from ganrun_plugins.networks.gan_cls import TextDiscriminator, TextGenerator
from ganrun_plugins.networks.text_encoder import TextEncoder
from ganrun_plugins.variants.gan_cls import GANCLS, alike, matching, next_unlike

TEXT = Space("latent", (1024,))


def image(channels: int, side: int) -> Space:
    return Space("image", (channels, side, side))


def recipe_of(steps: int = 4, tricks=(), without=(), **variant) -> dict:
    return {
        "variant": {"gan-cls": {"latent": 4, "embedding": 6, "pretraining": 2, **variant}},
        "dataset": {"caption-digits": {"size": 8}},
        "generator": {"gan-cls": {"width": 4, "projection": 4}},
        "discriminator": {"gan-cls": {"width": 4, "projection": 4}},
        "encoder": {"joint-embedding": {"text_width": 4, "image_width": 2}},
        "tricks": list(tricks),
        "without": ["progress", "samples", "metrics-log", "health", "checkpoints", *without],
        "train": {"steps": steps, "batch_size": 8, "device": "cpu"},
    }


def go(run, first: int, last: int):
    for step in range(first, last):
        run.engine.step(step)
    return run


def weights(run, name: str) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in run.experiment.modules[name].state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[key]) for key, value in one.items())


def watched(monkeypatch, run, first: int, last: int) -> list:
    """The rounds of some steps, as the losses leave them."""
    rounds = []

    def keeping(turn, round):
        play_round(turn, round)
        rounds.append((turn, round))

    monkeypatch.setattr("ganrun.engine.engine.play_round", keeping)
    go(run, first, last)
    return rounds


# --- networks -------------------------------------------------------------------------------------------------


def test_parameter_counts_are_the_authors():
    with torch.device("meta"):
        generator = TextGenerator(Interface(takes=Space("latent", (100,)), makes=image(3, 64), given=(TEXT,)))
        discriminator = TextDiscriminator(Interface(takes=image(3, 64), given=(TEXT,)))
    assert sum(p.numel() for p in generator.parameters()) == 18_909_699
    assert sum(p.numel() for p in discriminator.parameters()) == 4_032_321


def test_the_discriminator_has_no_activation_around_its_last_strided_layer():
    """Of four strided layers only the first two are followed by LeakyReLU; the residual block, the joint layer follow:
    four features.
    """
    network = TextDiscriminator(Interface(takes=image(3, 64), given=(TEXT,)), width=2).eval()
    kinds = [type(layer).__name__ for layer in network.image]
    assert kinds == [
        "Conv2d",
        "LeakyReLU",
        "Conv2d",
        "BatchNorm2d",
        "LeakyReLU",
        "Conv2d",
        "BatchNorm2d",
        "Conv2d",
        "BatchNorm2d",
        "ResidualBlock",
    ]
    shapes = [tuple(layer.shape[1:]) for layer in network(torch.zeros(1, 3, 64, 64), torch.zeros(1, 1024)).features]
    assert shapes == [(2, 32, 32), (4, 16, 16), (16, 4, 4), (16, 4, 4)]


def test_the_generator_has_residual_blocks_behind_the_first_two_layers():
    network = TextGenerator(Interface(takes=Space("latent", (100,)), makes=image(3, 64), given=(TEXT,)), width=4)
    ends = [type(layer).__name__ for layer in network.main][2::3]
    assert ends == ["ResidualBlock", "ResidualBlock", "ReLU", "ReLU"]


def test_both_networks_heed_the_text():
    z, text = Space("latent", (4,)), Space("latent", (6,))
    torch.manual_seed(0)
    generator = TextGenerator(Interface(takes=z, makes=image(1, 8), given=(text,)), width=4, projection=4).eval()
    discriminator = TextDiscriminator(Interface(takes=image(1, 8), given=(text,)), width=4, projection=4).eval()
    one, other, x = torch.randn(3, 6), torch.randn(3, 6), torch.randn(3, 1, 8, 8)
    assert not torch.equal(generator(torch.zeros(3, 4), one), generator(torch.zeros(3, 4), other))
    assert not torch.equal(discriminator(x, one).logits, discriminator(x, other).logits)


def test_a_given_image_is_refused():
    with pytest.raises(Refusal, match="no place for a given image"):
        TextDiscriminator(Interface(takes=image(1, 8), given=(image(1, 8),)))


# --- encoders -------------------------------------------------------------------------------------------------


def test_the_mean_is_over_words_and_not_over_what_fills_up_a_text():
    """Words 1 and 2 have the vectors (2, 0) and (0, 4): their mean is (1, 2), however much follows; 0 has a vector,
    which counts nowhere.
    """
    encoder = TextEncoder(3, 2, width=2, recurrent=False)
    with torch.no_grad():
        encoder.words.weight.copy_(torch.tensor([[100.0, 100.0], [2.0, 0.0], [0.0, 4.0]]))
        encoder.output.weight.copy_(torch.eye(2))
        encoder.output.bias.zero_()
    assert encoder(torch.tensor([[1, 2, 0, 0], [2, 1, 0, 0], [2, 0, 0, 0], [0, 0, 0, 0]])).tolist() == [
        [1, 2],
        [1, 2],
        [0, 4],
        [0, 0],
    ]


def test_a_recurrent_encoder_tells_orders_apart_and_ignores_what_fills_up_a_text():
    torch.manual_seed(0)
    encoder = TextEncoder(5, 3, width=4, recurrent=True)
    one, turned, longer = (
        encoder(torch.tensor([[1, 2, 3, 0]])),
        encoder(torch.tensor([[3, 2, 1, 0]])),
        encoder(torch.tensor([[1, 2, 3, 0, 0, 0]])),
    )
    assert not torch.allclose(one, turned)
    torch.testing.assert_close(one, longer)


def test_matching_by_hand():
    """Scores s(i, j): rows (2, 1), (0, 3). Off the diagonal: s01: 1 + 1 - 2 = 0 and 1 + 1 - 3 < 0; s10: 1 + 0 - 3 < 0
    and 1 + 0 - 2 < 0.

    With the second image (0, 1): s11 = 1, so 1 + 1 - 1 = 1 for the text of s01 and 1 + 0 - 1 = 0; the sum 1 over two
    pairs.
    """
    texts, none = torch.eye(2), torch.eye(2, dtype=torch.bool)
    assert matching(torch.tensor([[2.0, 1.0], [0.0, 3.0]]), texts, none) == 0
    images = torch.tensor([[2.0, 1.0], [0.0, 1.0]], requires_grad=True)
    value = matching(images, texts, none)
    assert value.item() == pytest.approx(0.5)
    assert matching(images, texts, torch.ones(2, 2, dtype=torch.bool)) == 0, "equal texts are no mismatch"


def test_the_matching_loss_is_symmetric_in_images_and_texts():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(5, 3, generator=generator), torch.randn(5, 3, generator=generator)
    none = torch.eye(5, dtype=torch.bool)
    torch.testing.assert_close(matching(a, b, none), matching(b, a, none))


def test_encoders_learn_until_the_game_begins_and_then_stay_as_they_are(make_run):
    run = make_run(recipe_of())
    start = {name: weights(run, name) for name in run.experiment.modules}
    go(run, 0, 2)
    assert set(run.engine.terms) == {"pretraining"}
    assert set(run.engine.terms["pretraining"]) == {"matching"}
    for name in ("generator", "discriminator"):
        assert same(start[name], weights(run, name)), f"{name} has not moved"
    learned = {name: weights(run, name) for name in ("text_encoder", "image_encoder")}
    assert not any(same(learned[name], start[name]) for name in learned)
    go(run, 2, 4)
    assert all(same(learned[name], weights(run, name)) for name in learned), "frozen"
    assert not any(same(start[name], weights(run, name)) for name in ("generator", "discriminator"))


def test_pretraining_brings_texts_to_their_images(make_run):
    run = make_run(
        recipe_of(steps=60, pretraining="100%") | {"players": {"encoder": {"optimizer": {"adam": {"lr": 0.01}}}}}
    )
    go(run, 0, 1)
    before = run.engine.terms["pretraining"]["matching"].item()
    go(run, 1, 60)
    assert run.engine.terms["pretraining"]["matching"].item() < 0.7 * before


# --- the three kinds of pairs ---------------------------------------------------------------------------------


def test_wrong_images_are_of_the_next_item_with_another_text():
    """Texts a a b a c: row 0 goes to 2 (1 is alike), 1 to 2, 2 to 3, 3 to 4, 4 round to 0."""
    text = torch.tensor([[1, 5], [1, 5], [2, 5], [1, 5], [3, 5]])
    other, found = next_unlike(alike(text))
    assert other.tolist() == [2, 2, 3, 4, 0]
    assert found.all()
    assert not next_unlike(alike(text[:2]))[1].any()


@pytest.mark.parametrize("wrong", [0.5, 0.25])
def test_the_discriminators_side_is_real_wrong_and_fake(make_run, monkeypatch, wrong):
    run = make_run(recipe_of(wrong=wrong))
    rounds = watched(monkeypatch, run, 0, 3)
    turn, round = next((turn, round) for turn, round in rounds if turn.phase.name == "discriminator")
    real, fake, mixed = round.streams
    assert [stream.role for stream in round.streams] == ["real", "fake", "fake"]
    assert [stream.weight for stream in round.streams] == [1.0, 1 - wrong, wrong]
    texts = turn.real["text"]
    assert torch.equal(real.x, turn.real["x"])
    assert torch.equal(fake.x, turn.made["x"])
    for row in range(8):
        (source,) = [other for other in range(8) if torch.equal(mixed.x[row], turn.real["x"][other])]
        assert not torch.equal(texts[source], texts[row]), "a wrong image with its own caption"
    assert all(torch.equal(stream.given[0], real.given[0]) for stream in round.streams), (
        "all three are judged with the same texts"
    )
    total = sum(term.value * term.weight for term in turn.terms.values())
    logits = [F.softplus(sign * stream.logits).mean() for sign, stream in ((-1, real), (1, fake), (1, mixed))]
    torch.testing.assert_close(total, logits[0] + (1 - wrong) * logits[1] + wrong * logits[2])


def test_an_item_without_a_neighbour_of_another_text_shows_its_fake(make_run):
    variant = make_run(recipe_of()).engine.variant
    real = {"x": torch.zeros(3, 1, 8, 8), "text": torch.tensor([[1, 2, 3, 4]] * 3)}
    made = {"x": torch.ones(3, 1, 8, 8)}
    assert torch.equal(variant._wrong_images(SimpleNamespace(real=real, made=made)), made["x"])


def test_without_wrong_images_it_is_a_conditional_gan(make_run, monkeypatch):
    rounds = watched(monkeypatch, make_run(recipe_of(wrong=0.0, interpolation=0.0)), 0, 3)
    assert {turn.phase.name: [(s.role, s.weight) for s in round.streams] for turn, round in rounds} == {
        "discriminator": [("real", 1.0), ("fake", 1.0)],
        "generator": [("fake", 1.0)],
    }


@pytest.mark.parametrize("interpolation", [1.0, 0.5])
def test_the_generators_side_is_the_mean_over_fakes_and_half_as_many_in_between(make_run, monkeypatch, interpolation):
    """With 8 of each: (8 mean of fakes + 4 w mean of those in between) / 12."""
    run = make_run(recipe_of(interpolation=interpolation))
    turn, round = next(
        (turn, round) for turn, round in watched(monkeypatch, run, 0, 3) if turn.phase.name == "generator"
    )
    fake, between = round.streams
    assert [(s.role, s.name) for s in round.streams] == [("fake", ""), ("fake", "between")]
    text = turn.made["text"]
    torch.testing.assert_close(between.given[0], torch.stack([(text[i] + text[(i + 4) % 8]) / 2 for i in range(8)]))
    assert not torch.equal(turn.latents["z"], turn.latents["z_between"]), "fresh noise"
    values = [F.softplus(-stream.logits).mean() for stream in (fake, between)]
    total = sum(term.value * term.weight for term in turn.terms.values())
    torch.testing.assert_close(total, (8 * values[0] + 4 * interpolation * values[1]) / 12)


def test_outside_the_generators_turn_nothing_is_made_in_between(make_run, monkeypatch):
    run = make_run(recipe_of())
    turns = {turn.phase.name: turn for turn, _ in watched(monkeypatch, run, 0, 3)}
    assert set(turns["discriminator"].made) == {"x", "text"}
    with run.experiment.settings():
        real = {name: run.evaluation.real(name, n=4) for name in run.experiment.dataset.spaces}
        assert set(run.sample_maker.turn(4, real=real).latents) == {"z", "text"}


def test_samples_are_of_the_texts_that_they_are_made_of(make_run):
    """The same latents with other texts give other images; the same texts the same."""
    run = go(make_run(recipe_of()), 0, 4)
    real = {name: run.evaluation.real(name, n=6) for name in run.experiment.dataset.spaces}
    with run.experiment.settings():
        one, again = (run.sample_maker.turn(6, real=real).made["x"] for _ in range(2))
        other = run.sample_maker.turn(6, real=real | {"text": real["text"].roll(1, 0)}).made["x"]
    assert torch.equal(one, again)
    assert not torch.allclose(one, other)


@pytest.mark.parametrize(
    "tricks",
    [
        ["mode-seeking", "latent-consistency", "ema"],
        [{"replay-buffer": {"size": 5}}, "label-smoothing", "instance-noise"],
        ["diff-augment", "feature-matching"],
        [{"top-k": {"gamma": 0.7}}, {"lecam": {"start": 0}}],
        [{"packing": {"m": 2}}, "spectral-norm"],
        [{"unrolling": {"steps": 1}}],
    ],
)
def test_gan_cls_goes_with_tricks_that_count_on_one_kind_of_fakes(make_run, tricks):
    try:
        run = go(make_run(recipe_of(tricks=tricks)), 0, 4)
    except RefusedError as refused:
        pytest.fail(str(refused))
    assert all(bool(value.isfinite()) for terms in run.engine.terms.values() for value in terms.values())


@pytest.mark.parametrize("loss", ["relativistic", "relativistic-average", "hinge", "wasserstein", "softmax"])
def test_gan_cls_goes_with_losses_that_compare_real_with_fake(make_run, loss):
    run = go(make_run(recipe_of() | {"loss": loss}), 0, 4)
    assert all(bool(value.isfinite()) for terms in run.engine.terms.values() for value in terms.values())


# --- ready embeddings -----------------------------------------------------------------------------------------


class Embedded(InMemory):
    """Images with ready embeddings of their texts."""

    def __init__(self, files, split: str) -> None:
        generator = torch.Generator().manual_seed(int(split == "train"))
        x = torch.randint(256, (32, 1, 8, 8), generator=generator).to(torch.uint8)
        super().__init__(
            {"x": x, "text": torch.randn(32, 5, generator=generator)}, {"x": image(1, 8), "text": Space("latent", (5,))}
        )


def test_ready_embeddings_need_no_encoder_and_no_pretraining(make_run, monkeypatch):
    recipe = {key: value for key, value in recipe_of().items() if key != "encoder"} | {"dataset": "embedded"}
    run = make_run(recipe, {"dataset.embedded": Embedded})
    assert set(run.experiment.modules) == {"generator", "discriminator"}
    turn, round = watched(monkeypatch, run, 0, 1)[0]
    assert turn.phase.name == "discriminator"
    assert torch.equal(round.streams[0].given[0], turn.real["text"])
    assert round.streams[0].given[0].shape == (8, 5)


def test_settings_of_a_player_that_nobody_knows_are_still_refused(make_run):
    with pytest.raises(RefusedError, match="has no such player"):
        make_run(recipe_of() | {"players": {"encoders": {"optimizer": "adam"}}})


def test_other_data_are_refused():
    for spaces in ({"x": image(1, 8)}, {"x": image(1, 8), "text": Space("labels", (), 10)}):
        with pytest.raises(Refusal, match="word numbers or an embedding"):
            GANCLS().describe(spaces)

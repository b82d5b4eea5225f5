"""InfoGAN: the information worked out by hand, whose Q it is, and codes that stay with their samples."""

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from tried_runs import problems_of_run

from ganrun.catalog.catalog import Catalog
from ganrun.schedule import first_value
from ganrun.testing import probe
from ganrun.training.build import RefusedError
from ganrun.words.game import DiscriminatorOutput, Stream
from ganrun.words.spaces import Interface, Refusal, Space
from ganrun_plugins.networks.infogan import InfoGANDiscriminator
from ganrun_plugins.variants.infogan import InfoGAN

QUIET = ["progress", "samples", "metrics-log", "health", "checkpoints"]
THIRD = {"players": {"information": {"optimizer": {"adam": {"lr": 1e-3}}}}}


def recipe_of(tricks=(), around=None, **parameters) -> dict:
    """Tiny networks on digits of 8 pixels."""
    return {
        "variant": {"infogan": {"latent": 4, **parameters}},
        "dataset": {"digits": {"size": 8}},
        "generator": {"infogan": {"width": 2}},
        "discriminator": {"infogan": {"width": 2}},
        "tricks": list(tricks),
        "without": QUIET,
        "train": {"steps": 4, "batch_size": 8, "device": "cpu"},
        **(around or {}),
    }


# --- the information, by hand ---------------------------------------------------------------------------------


def information(variant: InfoGAN, heads: dict, metadata: dict, player="generator") -> dict[str, float]:
    """The variant's terms on given outputs of Q."""
    rows = len(next(iter(heads.values())))
    stream = Stream(torch.zeros(rows, 1), "fake", metadata=metadata)
    stream.output = DiscriminatorOutput(torch.zeros(rows), heads=heads)
    round = SimpleNamespace(of=lambda role: [stream] if role == "fake" else [])
    turn = SimpleNamespace(player=player, rounds=[round], now=first_value)
    return {name: (float(term.value), term.weight) for name, term in variant.terms(turn).items()}


def test_categorical_information_by_hand():
    """Q says (1/4, 3/4) of both samples, whose codes are 1 and 0: L = log 2 + (log 3/4 + log 1/4) / 2, and the term is
    -L.
    """
    variant = InfoGAN(categorical=(2,), continuous=0)
    logits = torch.tensor([[1.0, 3.0], [1.0, 3.0]]).log() + 5  # a constant changes nothing
    found = information(variant, {"code": logits}, {"code": torch.tensor([1, 0])})
    assert found == {"information": (pytest.approx(-(math.log(2) + (math.log(0.75) + math.log(0.25)) / 2)), 1.0)}


def test_information_is_0_if_q_knows_nothing_and_log_k_if_it_knows_all():
    variant, code = InfoGAN(categorical=(10,), continuous=0), torch.arange(10)
    assert information(variant, {"code": torch.zeros(10, 10)}, {"code": code})["information"][0] == pytest.approx(
        0, abs=1e-6
    )
    sure = 1000 * F.one_hot(code, 10).float()
    assert information(variant, {"code": sure}, {"code": code})["information"][0] == pytest.approx(-math.log(10))


def test_two_categorical_codes_add_up():
    variant = InfoGAN(categorical=(2, 4), continuous=0, weight=0.5)
    heads = {"code": torch.zeros(3, 2), "code2": 1000 * F.one_hot(torch.tensor([0, 3, 2]), 4).float()}
    found = information(variant, heads, {"code": torch.tensor([0, 1, 1]), "code2": torch.tensor([0, 3, 2])})
    assert found == {"information": (pytest.approx(-math.log(4)), 0.5)}


def test_continuous_information_by_hand():
    """-log N(1.5; 0.5, 1) = 1/2 + log(2 pi) / 2, and of the second code, -1 at its mean, log(2 pi) / 2."""
    variant = InfoGAN(categorical=(), continuous=2, continuous_weight=0.1)
    found = information(
        variant, {"continuous": torch.tensor([[0.5, -1.0]])}, {"continuous": torch.tensor([[1.5, -1.0]])}
    )
    assert found == {"information_continuous": (pytest.approx(0.5 + math.log(2 * math.pi)), 0.1)}


def test_learned_deviation_by_hand():
    """s = 2: -log N(1.5; 0.5, 2) = 1/8 + log 2 + log(2 pi) / 2. Means come first, then log s."""
    variant = InfoGAN(categorical=(), continuous=1, deviation="learned")
    found = information(
        variant, {"continuous": torch.tensor([[0.5, math.log(2.0)]])}, {"continuous": torch.tensor([[1.5]])}
    )
    assert found["information_continuous"][0] == pytest.approx(0.125 + math.log(2) + math.log(2 * math.pi) / 2)


def test_bfloat16_outputs_do_not_make_the_information_coarse():
    variant, code = InfoGAN(categorical=(3,), continuous=0), torch.tensor([0, 1])
    logits = torch.tensor([[0.5, 0.25, 1.0], [0.5, 0.25, 1.0]])  # exact in bfloat16
    one, other = (
        information(variant, {"code": x}, {"code": code})["information"][0] for x in (logits, logits.bfloat16())
    )
    assert one == other


# --- whose Q --------------------------------------------------------------------------------------------------

OWNERS = [  # owner, information, player -> what its turns move
    ("discriminator", "both", {"discriminator": {"trunk", "heads"}, "generator": {"generator"}}),
    ("discriminator", "owner", {"discriminator": {"trunk", "heads"}, "generator": {"generator"}}),
    ("generator", "both", {"discriminator": {"trunk"}, "generator": {"generator", "heads"}}),
    ("generator", "generator", {"discriminator": {"trunk"}, "generator": {"generator", "heads"}}),
    (
        "third",
        "owner",
        {"discriminator": {"trunk"}, "generator": {"generator"}, "information": {"generator", "trunk", "heads"}},
    ),
]
INFORMED = {
    ("discriminator", "both"): {"discriminator", "generator"},
    ("discriminator", "owner"): {"discriminator"},
    ("generator", "both"): {"discriminator", "generator"},
    ("generator", "generator"): {"generator"},
    ("third", "owner"): {"information"},
}


def pieces(run) -> dict[str, list[torch.Tensor]]:
    """Parameters by piece; ``trunk`` holds what the logits depend on, their layer included."""
    networks = run.experiment.modules
    heads = list(networks["discriminator"].heads.parameters())
    own = {id(p) for p in heads}
    return {
        "generator": list(networks["generator"].parameters()),
        "heads": heads,
        "trunk": [p for p in networks["discriminator"].parameters() if id(p) not in own],
    }


@pytest.mark.parametrize(("owner", "where", "moves"), OWNERS)
def test_the_owner_alone_moves_q(make_run, owner, where, moves):
    run = make_run(recipe_of(owner=owner, information=where, around=THIRD if owner == "third" else {}))
    update, moved, held = run.engine.update, {}, pieces(run)

    def watched(turn):
        before = {name: [p.detach().clone() for p in some] for name, some in held.items()}
        update(turn)
        moved[turn.player] = {
            name for name, some in held.items() if any(not torch.equal(a, b) for a, b in zip(before[name], some))
        }

    run.engine.update = watched
    run.engine.step(0)
    assert moved == moves
    q = {id(p) for p in held["heads"]}
    has_q = {player for player, parameters in run.engine.parameters.items() if q <= {id(p) for p in parameters}}
    assert has_q == {player for player, names in moves.items() if "heads" in names}
    terms = {
        phase: {name for name in terms if name.startswith("information")} for phase, terms in run.engine.terms.items()
    }
    assert {phase for phase, names in terms.items() if names} == INFORMED[owner, where]
    assert all(names in (set(), {"information", "information_continuous"}) for names in terms.values())


def test_a_third_player_plays_no_side_of_the_game(make_run):
    run = make_run(recipe_of(owner="third", information="owner", around=THIRD))
    run.engine.step(0)
    assert set(run.engine.terms["information"]) == {"information", "information_continuous"}


def test_the_information_reaches_the_generator_through_the_frozen_q(make_run):
    """In the generator's turn, where Q and trunk are the discriminator's, the term still has a gradient at the
    generator.
    """
    run, found = make_run(recipe_of()), {}
    backward, held = run.engine.backward, pieces(run)

    def watched(turn):
        for name in ("information", "information_continuous"):
            wanted = [p for some in held.values() for p in some if p.requires_grad]
            grads = torch.autograd.grad(turn.terms[name].value, wanted, retain_graph=True, allow_unused=True)
            reached = {id(p) for p, g in zip(wanted, grads) if g is not None and bool((g != 0).any())}
            found[turn.player, name] = {piece for piece, some in held.items() if any(id(p) in reached for p in some)}
        backward(turn)

    run.engine.backward = watched
    run.engine.step(0)
    for name in ("information", "information_continuous"):
        assert found["discriminator", name] == {"trunk", "heads"}
        assert found["generator", name] == {"generator"}


@pytest.mark.parametrize(
    ("owner", "where"), [("discriminator", "generator"), ("third", "both"), ("third", "generator")]
)
def test_an_owner_without_the_term_is_refused(make_run, owner, where):
    with pytest.raises(RefusedError, match="nothing depends on Q's parameters"):
        make_run(recipe_of(owner=owner, information=where, around=THIRD if owner == "third" else {}))


def test_what_that_refusal_prevents_is_a_q_that_never_learns(make_run):
    run = make_run(recipe_of())
    run.engine.variant.informed = {"generator"}
    before = [p.detach().clone() for p in pieces(run)["heads"]]
    for step in range(3):
        run.engine.step(step)
    assert all(torch.equal(a, b) for a, b in zip(before, pieces(run)["heads"]))


def test_no_code_at_all_is_refused():
    with pytest.raises(Refusal, match="without any code"):
        InfoGAN(categorical=(), continuous=0)


def test_packing_is_refused_for_a_pack_has_one_row_of_heads(make_run):
    packed = InfoGANDiscriminator(Interface(takes=Space("image", (1, 8, 8)), heads={"code": 10}, pack=2), width=2)
    assert packed(torch.rand(3, 2, 8, 8)).heads["code"].shape == (3, 10)  # for six codes
    with pytest.raises(RefusedError, match="one row of heads"):
        make_run(recipe_of([{"packing": {"m": 2}}]))


@pytest.mark.parametrize(("parameters", "around"), [({}, {}), ({"owner": "third", "information": "owner"}, THIRD)])
def test_resumes_bit_for_bit(parameters, around):
    assert (
        problems_of_run(
            Catalog(modules=[probe]), recipe_of([{"replay-buffer": {"size": 6}}, "ema"], around, **parameters)
        )
        == []
    )


# --- codes ----------------------------------------------------------------------------------------------------


def test_codes_stay_with_their_samples_in_a_replay_buffer(make_run):
    """A fake that comes back from the pool is read against the code it was made for, not against this step's."""
    run = make_run(recipe_of([{"replay-buffer": {"size": 12, "p": 1.0}}]))
    variant, made, old = run.engine.variant, {}, 0
    make, terms = variant.make, variant.terms

    def keep(turn):
        make(turn)
        for x, code, at in zip(turn.made["x"], turn.latents["code"], turn.latents["continuous"]):
            made[x.detach().numpy().tobytes()] = (turn.step, int(code), at.clone())

    def look(turn):
        nonlocal old
        (stream,) = turn.rounds[0].of("fake")
        for x, code, at in zip(stream.x, stream.metadata["code"], stream.metadata["continuous"]):
            step, wanted, where = made[x.detach().numpy().tobytes()]
            old += step < turn.step
            assert (int(code), True) == (wanted, torch.equal(at, where))
        return terms(turn)

    variant.make, variant.terms = keep, look
    for step in range(4):
        run.engine.step(step)
    assert old > 0


def test_the_generator_sees_noise_label_and_continuous_codes(make_run):
    run = make_run(recipe_of(categorical=[3, 5], continuous=1))
    latents = run.sample_maker.latents(200)
    assert {name: (tuple(z.shape), z.dtype) for name, z in latents.items()} == {
        "z": ((200, 4), torch.float32),
        "code": ((200,), torch.int64),
        "code2": ((200,), torch.int64),
        "continuous": ((200, 1), torch.float32),
    }
    assert sorted(latents["code"].unique().tolist()) == [0, 1, 2]
    generator = run.experiment.modules["generator"].eval()
    assert generator.vector[0].in_features == 4 + 3 + 5 + 1
    x = run.sample_maker.turn(200).made["x"]
    expected = generator(latents["z"], latents["code"], latents["code2"], latents["continuous"])
    assert torch.allclose(x, expected, atol=1e-6)


def test_infers_class_logits_and_means_of_real_items(make_run):
    run = make_run(recipe_of(deviation="learned"))
    with run.experiment.settings():
        code, means = run.evaluation.inferred("code", n=5), run.evaluation.inferred("continuous", n=5)
        x = run.evaluation.real(n=5)
    heads = run.experiment.modules["discriminator"].eval()(x).heads
    assert torch.allclose(code, heads["code"], atol=1e-6)
    assert heads["continuous"].shape == (5, 4)
    assert torch.allclose(means, heads["continuous"][:, :2], atol=1e-6)


def test_defaults_are_the_authors(make_run):
    run = make_run(
        {
            "variant": "infogan",
            "dataset": {"digits": {"size": 8}},
            "without": QUIET,
            "train": {"device": "cpu", "steps": 1},
        }
    )
    rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in run.engine.optimizers.items()}
    assert (rates, run.recipe.train.batch_size) == ({"discriminator": 2e-4, "generator": 1e-3}, 128)
    latents = run.sample_maker.latents(300)
    assert latents["z"].shape == (300, 62)
    assert all(
        -1 <= float(latents[name].min()) < -0.9 and 0.9 < float(latents[name].max()) < 1 for name in ("z", "continuous")
    )


def test_infogan_codes_draws_noise_and_codes_from_samplers_of_their_own(make_run):
    sampler = {"infogan-codes": {"noise": "normal", "codes": {"uniform": {"low": 2, "high": 3}}}}
    latents = make_run(recipe_of(around={"sampler": sampler})).sample_maker.latents(500)
    assert float(latents["z"].std()) == pytest.approx(1, abs=0.1)
    assert float(latents["z"].min()) < -2
    assert float(latents["continuous"].min()) >= 2
    assert float(latents["continuous"].max()) < 3


def test_infogan_codes_promises_of_latents_what_both_samplers_promise(make_run):
    both = {"infogan-codes": {"noise": "normal", "codes": "normal"}}
    assert make_run(recipe_of(around={"sampler": both})).engine.sampler.provides == {"latent:normal"}
    assert make_run(recipe_of(around={"sampler": "infogan-codes"})).engine.sampler.provides == frozenset()


def test_infogan_codes_know_the_codes_inside_another_sampler(make_run):
    """Codes stay in [-1, 1] while noise is normal; and the shares of the label still hold."""
    sampler = {"labels": {"shares": [1] * 9 + [0], "latents": "infogan-codes"}}
    latents = make_run(recipe_of(categorical=[10], around={"sampler": sampler})).sample_maker.latents(500)
    assert float(latents["z"].abs().max()) > 2
    assert float(latents["continuous"].abs().max()) < 1
    assert int(latents["code"].max()) == 8


def test_a_sampler_of_labels_inside_infogan_codes_is_refused_for_nobody_would_ask_it(make_run):
    sampler = {"infogan-codes": {"noise": {"labels": {"shares": [1] * 10}}}}
    with pytest.raises(RefusedError, match="would never be used"):
        make_run(recipe_of(categorical=[10], around={"sampler": sampler}))

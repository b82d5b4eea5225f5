"""Any trick meets any loss and any variant: in small runs that train and resume, or with a reason why not."""

import time

import pytest
from covering import Cover
from examples import EXAMPLES_EVERYWHERE
from tried_runs import problems_of_run

from ganrun.catalog.catalog import Catalog
from ganrun.testing import probe

ENERGIES = ("began", "ebgan", "magan")
WITH_LOSSES = {  # trick -> the losses it cannot meet
    "label-smoothing": (*ENERGIES, "cramer", "hinge", "relativistic", "softmax", "wasserstein"),  # they have no targets
    "label-flipping": (*ENERGIES, "cramer", "hinge", "relativistic", "softmax", "wasserstein"),
    "ada": (*ENERGIES, "cramer", "wasserstein"),  # no score of theirs means undecided
    # their scores have no origin
    "lecam": (*ENERGIES, "cramer", "relativistic", "relativistic-average", "softmax", "wasserstein"),
    "roth-penalty": (
        *ENERGIES,
        "cramer",
        "hinge",
        "least-squares",
        "relativistic",
        "relativistic-average",
        "softmax",
        "wasserstein",
    ),
    "top-k": ("cramer", "relativistic-average", "softmax"),  # a sample has no value of its own
    # nothing is undecided
    "metropolis-hastings": (*ENERGIES, "cramer", "relativistic", "relativistic-average", "softmax", "wasserstein"),
}
WITH_TRICKS = [
    ("balanced-consistency", "consistency"),  # one holds the other
    ("weight-clipping", "gradient-penalty"),
    ("weight-clipping", "dragan-penalty"),
    ("weight-clipping", "spectral-norm"),
    ("norm-swap", "virtual-batch-norm"),  # both replace what the other would
    ("perceptual", "latent-consistency"),
    ("perceptual", "mode-seeking"),
    ("perceptual", "truncation"),
    ("perceptual", "metropolis-hastings"),  # of these four variants the one with pairs has no latent
    ("packing", "metropolis-hastings"),  # packs have no single scores
]
NO_LATENT = ("latent-consistency", "metropolis-hastings", "mode-seeking", "truncation")
NO_PAIRS = ("perceptual",)  # nothing they make ought to equal something
NO_NORMS = ("norm-swap", "virtual-batch-norm")  # their networks have no normalisation to be replaced
NO_GAME = (  # there is no discriminator
    "ada",
    "balanced-consistency",
    "consistency",
    "dequantisation",
    "diff-augment",
    "dragan-penalty",
    "feature-matching",
    "gradient-penalty",
    "instance-noise",
    "latent-consistency",
    "lecam",
    "minibatch-discrimination",
    "minibatch-stddev",
    "mode-seeking",
    "packing",
    "pulling-away",
    "r1",
    "r2",
    "replay-buffer",
    "roth-penalty",
    "spectral-norm",
    "top-k",
    "unrolling",
    "weight-clipping",
    "weight-norm",
    "zero-centred-penalty",
    "label-flipping",
    "label-smoothing",
    "metropolis-hastings",
)
WITH_VARIANTS = {
    "gan": NO_PAIRS,
    "dcgan": NO_PAIRS,
    "lsgan": NO_PAIRS,
    "ebgan": NO_PAIRS,
    "magan": NO_PAIRS,
    "ragan": NO_PAIRS,
    "unrolled": NO_PAIRS,
    "cgan": NO_PAIRS,
    "cogan": NO_PAIRS,
    "gan-cls": NO_PAIRS,
    "acgan": (*NO_PAIRS, "packing"),
    "infogan": (*NO_PAIRS, "packing", "truncation"),  # a pack has several classes; latents are uniform
    "sgan": (*NO_PAIRS, "packing", "cramer", "two-class", *ENERGIES),  # its logit is a number made of class logits
    "cyclegan": NO_LATENT,
    "discogan": NO_LATENT,
    "pix2pix": NO_LATENT,
    "srgan": NO_LATENT,
    # it has a gradient penalty, which the clipping would fight
    "stargan": (*NO_LATENT, "packing", "virtual-batch-norm", "weight-clipping"),
    "began": (*NO_PAIRS, *NO_NORMS, "truncation"),
    "r3gan": (*NO_PAIRS, *NO_NORMS),
    "progan": (*NO_PAIRS, *NO_NORMS, "weight-clipping"),
    "pacgan": (*NO_PAIRS, "metropolis-hastings", "truncation"),  # packs have no single scores; latents are uniform
    "dragan": (*NO_PAIRS, "weight-clipping"),
    "wgan-gp": (*NO_PAIRS, "weight-clipping"),
    "sngan": (*NO_PAIRS, "weight-clipping"),
    "wgan": (*NO_PAIRS, "dragan-penalty", "gradient-penalty", "spectral-norm"),  # its weights are clipped
    # what is judged are latents
    "aae": ("ada", "dequantisation", "diff-augment", "latent-consistency", "metropolis-hastings", "mode-seeking"),
    "ali": ("replay-buffer",),
    "bigan": ("replay-buffer", "truncation"),
    "veegan": ("replay-buffer",),  # the discriminator sees latents
    "vaegan": (),
    "vae": NO_GAME,
    "autoencoder": (*NO_GAME, "truncation"),
}
# with these every pair is tried; with the others, all pairs that hold the variant
FIRST = ("gan", "dcgan", "lsgan", "cyclegan")
EXPECTED = [
    *(frozenset({("trick", trick), ("loss", loss)}) for trick, losses in WITH_LOSSES.items() for loss in losses),
    *(frozenset({("trick", one), ("trick", other)}) for one, other in WITH_TRICKS),
    *(frozenset({("trick", trick), ("variant", variant)}) for variant in FIRST for trick in WITH_VARIANTS[variant]),
]


def tried(cover):
    """Member -> what went wrong, for those where something did; an exception is a failure after the refusals."""
    failed = {}
    for member in cover.members:
        try:
            problems = problems_of_run(cover.catalog, member.recipe)
        except Exception as error:
            problems = [f"{type(error).__name__}: {error}"]
        if problems:
            failed[str(member)] = problems
    return failed


def new_cover(*variants):
    """Of some variants, and all losses and tricks; the probe watches, and is no trick to be covered."""
    return Cover(
        Catalog(modules=[probe], disabled=()),
        EXAMPLES_EVERYWHERE,
        tricks=sorted(Catalog(disabled=()).names("trick")),
        variants=variants,
    )


@pytest.fixture(scope="module")
def cover():
    return new_cover(*FIRST)


@pytest.mark.slow
def test_each_trick_and_each_loss_trains_and_resumes_in_a_combination(cover, capsys):
    started = time.perf_counter()
    chosen = cover.find(cover.each_once())
    held = {name for member in chosen.members for name in member.tricks}
    assert held == set(cover.tricks), "every trick goes with some loss"
    assert {member.base.loss for member in chosen.members} == set(cover.losses)
    assert not tried(chosen)
    with capsys.disabled():
        print(
            f"\n{len(chosen.members)} runs hold all {len(held)} tricks and {len(cover.losses)} losses; "
            f"{time.perf_counter() - started:.0f} s"
        )


def test_every_loss_trains_on_at_least_two_variants(cover):
    served = {loss: {base.variant for base in cover.bases if base.loss == loss} for loss in cover.losses}
    assert {loss for loss, variants in served.items() if len(variants) < 2} == set()


@pytest.mark.slow
def test_every_pair_trains_and_resumes_or_is_refused_for_a_declared_reason(capsys):
    started = time.perf_counter()
    cover = new_cover(*FIRST).find()
    built = time.perf_counter() - started
    covered = {pair for member in cover.members for pair in member.pairs}
    assert set(cover.wanted()) <= covered | cover.refused.keys()
    assert not covered & cover.refused.keys()
    assert set(cover.refused) == set(EXPECTED), (
        "another list of refusals: each needs mathematics that fails, and a test that shows it"
    )
    for pair, reasons in cover.refused.items():
        assert reasons, f"{sorted(pair)} is refused without a reason"
        assert all("instead: " in reason for reason in reasons), f"{sorted(pair)}: {reasons} lack a way out"
    failed = tried(cover)
    share = len(cover.refused) / len(cover.wanted())
    with capsys.disabled():
        print(
            f"\n{len(cover.wanted())} pairs in {len(cover.members)} runs; "
            f"{len(cover.refused)} pairs refused ({share:.1%}); ",
            end="",
        )
        print(f"built in {built:.0f} s, run in {time.perf_counter() - started - built:.0f} s")
        for pair in sorted(map(sorted, cover.refused)):
            print(f"  refused: {' and '.join(f'{kind} {name}' for kind, name in pair)}")
    assert not failed


@pytest.mark.slow
@pytest.mark.parametrize("variant", sorted(set(Catalog(disabled=()).names("variant")) - set(FIRST)))
def test_a_variant_meets_every_loss_and_every_trick(variant):
    cover = new_cover(variant)
    cover.find([pair for pair in cover.wanted() if ("variant", variant) in pair])
    refused = {name for pair in cover.refused for kind, name in pair if kind != "variant"}
    assert refused == set(WITH_VARIANTS[variant]), (
        "another list of refusals: each needs mathematics that fails, and a test that shows it"
    )
    for pair, reasons in cover.refused.items():
        assert reasons, f"{sorted(pair)} is refused without a reason"
        assert all("instead: " in reason for reason in reasons), f"{sorted(pair)}: {reasons} lack a way out"
    assert not tried(cover)

"""Combinations and their cover: what counts as refused, and that every pair is met."""

import pytest
from covering import Cover, pairs_of
from tried_runs import problems_of_run

from ganrun.catalog.catalog import Catalog
from ganrun.errors import UserError
from ganrun.preflight.combinations import REFUSED, WARNS, WORKS, Judge, combinations, pairs, shares, start
from ganrun.words.spaces import Reason


class Careful:
    """Wants slopes that are bounded."""

    strength = ""
    wants = {"slope-bounded": Reason("it is better with", "r1")}


def test_a_refusal_names_its_reason_and_a_missing_wish_warns(plugin_module, tiny):
    judge = Judge(Catalog(modules=[plugin_module({"trick.careful": Careful})]))
    assert judge.check(tiny()).result == WORKS
    assert judge.check(tiny(tricks=["careful", "r1"])).result == WORKS
    warned = judge.check(tiny(tricks=["careful"]))
    assert (warned.result, len(warned.reasons)) == (WARNS, 1)
    refused = judge.check(tiny(loss="hinge", tricks=["label-smoothing"]))
    assert refused.result == REFUSED
    assert "instead: a loss with targets" in refused.reasons[0]


def test_another_discriminator_is_taken_only_if_the_own_one_is_refused(tiny):
    judge = Judge(Catalog())
    recipe, verdict = judge.best(tiny(), ["autoencoder"])
    assert (recipe, verdict.discriminator) == (tiny(), "mlp")
    recipe, verdict = judge.best(tiny(loss="began"), ["patchgan", "autoencoder"])
    assert (recipe["discriminator"], verdict.result) == ("autoencoder", WORKS)
    assert judge.best(tiny(loss="began"), ["patchgan"])[1].result == REFUSED


def test_a_pair_counts_as_refused_only_if_every_variant_refuses_it():
    found = list(combinations(Catalog(), ["gan", "cyclegan"], ["minimax"], ["truncation", "roth-penalty", "lecam"]))
    assert shares(found) == {WORKS: 7, WARNS: 0, REFUSED: 1}
    assert set(pairs(found).values()) == {WORKS}
    assert pairs([c for c in found if c.variant == "cyclegan"])["truncation", "minimax"] == REFUSED


def test_a_variant_that_no_data_fits_is_an_error(plugin_module):
    from ganrun.words.spaces import Refusal
    from ganrun_plugins.variants.gan import GAN

    class Picky(GAN):
        """Takes nothing."""

        def describe(self, spaces):
            raise Refusal("no data is good enough", "none")

    judge = Judge(Catalog(modules=[plugin_module({"variant.picky": Picky})]))
    with pytest.raises(UserError, match=r"variant picky: no data set .* no data is good enough"):
        start(judge, "picky")


def test_a_cover_meets_every_pair_or_keeps_the_reason():
    tricks = ["ema", "label-smoothing", "truncation", "weight-clipping", "spectral-norm"]
    others = [
        name
        for name in Catalog().names("loss")
        if name not in ("hinge", "non-saturating", "least-squares", "wasserstein")
    ]
    cover = Cover(
        Catalog(disabled=[f"loss.{name}" for name in others]),
        {},
        tricks=tricks,
        variants=["gan", "dcgan", "lsgan", "cyclegan"],
    ).find()
    met = {pair for member in cover.members for pair in member.pairs}
    assert met | cover.refused.keys() >= set(cover.wanted())
    assert frozenset({("trick", "spectral-norm"), ("trick", "weight-clipping")}) in cover.refused
    assert frozenset({("trick", "label-smoothing"), ("loss", "hinge")}) in cover.refused
    assert frozenset({("trick", "ema"), ("variant", "cyclegan")}) in met
    for member in cover.members:
        assert not cover.why_not(member.base, member.tricks)


def test_pairs_of_three_items_are_three():
    assert pairs_of(frozenset({("a", "1"), ("b", "2"), ("c", "3")})) == {
        frozenset({("a", "1"), ("b", "2")}),
        frozenset({("a", "1"), ("c", "3")}),
        frozenset({("b", "2"), ("c", "3")}),
    }


def test_a_member_that_is_not_as_it_should_be_is_found(plugin_module, tiny):
    from ganrun.testing import probe
    from ganrun.words.hooks import hookimpl

    class Silent:
        """Hears an event that does not come under a loss without targets."""

        strength = ""

        @hookimpl
        def evaluate(self, run, scores):
            pass

        @hookimpl
        def targets(self, turn, round):
            pass

    class Forgetful:
        """Its state is not saved."""

        strength = ""

        def __init__(self):
            self.turns = 0

        @hookimpl
        def losses(self, turn):
            self.turns += 1
            for term in turn.terms.values():
                term.weight = term.weight * self.turns

    catalog = Catalog(modules=[probe, plugin_module({"trick.silent": Silent, "trick.forgetful": Forgetful})])
    assert problems_of_run(catalog, tiny()) == []
    assert problems_of_run(catalog, tiny(loss="hinge", tricks=["silent"])) == [
        "silent: the event targets was never called"
    ]
    assert any(problem.startswith("resumed, ") for problem in problems_of_run(catalog, tiny(tricks=["forgetful"])))

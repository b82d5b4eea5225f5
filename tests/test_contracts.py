"""Every installed built-in plugin keeps the contract of its kind: it is tested the moment it is listed."""

import pytest
from examples import EXAMPLES

from ganrun.catalog.catalog import Catalog
from ganrun.testing import Plugin, checks_of, parametrize_with_checks

BUILT_IN = [entry.qualified for entry in Catalog(disabled=()).entries() if entry.distribution == "ganrun"]


@parametrize_with_checks(BUILT_IN, examples=EXAMPLES)
def test_contract(plugin, check):
    check(plugin)


def test_an_expected_failure_that_names_no_check_is_an_error():
    with pytest.raises(ValueError, match="did you mean 'check_source'"):
        parametrize_with_checks(["loss.minimax"], expected_failures={"check_sources": "a slip"})


def test_an_expected_failure_is_strict_and_belongs_to_the_plugins_it_names():
    reasons = {"check_source": "unpublished", "loss.minimax:check_summary": "too long"}
    (cases,) = parametrize_with_checks(["loss.minimax", "trick.ema"], expected_failures=reasons).mark.args[1:]
    marked = {case.id: case.marks[0] for case in cases if case.marks}
    assert set(marked) == {"loss.minimax-check_source", "trick.ema-check_source", "loss.minimax-check_summary"}
    assert all(mark.name == "xfail" and mark.kwargs["strict"] for mark in marked.values())
    assert marked["loss.minimax-check_summary"].kwargs["reason"] == "too long"


def test_what_needs_a_download_is_left_out_and_nothing_else():
    published, held = (
        {check.__name__ for check in checks_of(Plugin(name))} for name in ("dataset.mnist", "dataset.digits")
    )
    assert {"check_entry_point", "check_parameters_and_hooks"} <= published
    assert {"check_batch_agrees_with_spaces", "check_resumes"} <= held - published

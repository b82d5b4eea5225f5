"""``ganrun combinations``: what goes together, with reasons, for people and as JSON."""

import json

ONLY = (
    "--variant",
    "gan",
    "--variant",
    "cyclegan",
    "--loss",
    "hinge",
    "--loss",
    "began",
    "--trick",
    "r1",
    "--trick",
    "truncation",
    "--trick",
    "label-smoothing",
)


def test_each_trick_has_a_line_and_each_reason_a_number(ganrun):
    code, out, err = ganrun("combinations", *ONLY)
    assert code == 0
    assert not err
    gan, cyclegan, reasons, counts = out.split("\n\n")
    assert gan.splitlines()[0] == "gan (on digits)"
    assert "  r1: works with every loss" in gan.splitlines()
    assert "  label-smoothing: refused with every loss [1]" in gan.splitlines()
    assert "  truncation: refused with every loss [2]" in cyclegan.splitlines()
    assert reasons.startswith("[1] trick label-smoothing: this loss compares the logits with nothing")
    assert "instead: " in reasons
    assert "16 combinations: 10 work, 0 warn, 6 are refused" in counts
    assert "2 of 6 pairs of trick and loss are refused with every variant (33.3%)" in counts


def test_json_holds_every_combination_with_the_discriminator_it_took(ganrun):
    code, out, _ = ganrun(
        "combinations",
        "--json",
        "--variant",
        "gan",
        "--loss",
        "hinge",
        "--loss",
        "began",
        "--trick",
        "r1",
        "--trick",
        "label-smoothing",
    )
    found = json.loads(out)
    assert code == 0
    assert len(found) == 2 * 3
    by_names = {(c["variant"], c["loss"], c["trick"]): c for c in found}
    assert by_names["gan", "hinge", "r1"]["result"] == "works"
    assert by_names["gan", "hinge", "r1"]["discriminator"] == "mlp"
    assert by_names["gan", "began", None]["discriminator"] == "autoencoder", (
        "a loss on energies brings a discriminator that gives them"
    )
    assert by_names["gan", "hinge", "label-smoothing"]["result"] == "refused"
    assert "no target that could be smoothed" in by_names["gan", "hinge", "label-smoothing"]["reasons"][0]


def test_what_is_doubtful_warns(ganrun):
    code, out, _ = ganrun(
        "combinations", "--variant", "gan", "--loss", "wasserstein", "--trick", "gradient-penalty", "--trick", "ema"
    )
    assert code == 0
    assert "  (no trick): warns with every loss [1]" in out
    assert "  gradient-penalty: works with every loss" in out
    assert "[1] loss wasserstein: " in out


def test_a_name_that_is_not_installed_is_an_error(ganrun):
    code, _, err = ganrun("combinations", "--loss", "hnge")
    assert code == 2
    assert "--loss hnge: no such loss; there are " in err


def test_a_trick_without_defaults_is_left_out_and_said(ganrun):
    code, out, err = ganrun("combinations", "--variant", "gan", "--loss", "hinge")
    assert code == 0
    assert "  r1: works with every loss" in out.splitlines()
    assert "reduce-on-plateau" not in out
    assert err == "left out: trick reduce-on-plateau, whose watch has no default\n"


def test_an_uninstalled_trick_takes_part(ganrun, tmp_path):
    (tmp_path / "mine.py").write_text('''"""A trick of mine."""
from ganrun.plugin import Component, hookimpl
from ganrun.plugin import Reason


class Mine:
    """Only with targets."""

    strength = ""
    needs = {"targets": Reason("it needs targets", "a loss with targets")}


@hookimpl
def ganrun_components():
    yield Component("trick", "mine", Mine)
''')
    code, out, _ = ganrun(
        "combinations",
        "--plugin",
        tmp_path / "mine.py",
        "--variant",
        "gan",
        "--trick",
        "mine",
        "--loss",
        "hinge",
        "--loss",
        "minimax",
    )
    assert code == 0
    assert "  mine: works with 1 of 2 losses; refused with hinge [1]" in out

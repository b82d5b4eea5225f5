"""``ganrun show``: what is known of one plugin."""

from __future__ import annotations

from pathlib import Path


def test_show_prints_docstring_parameters_and_origin(ganrun) -> None:
    done = ganrun("show", "optimizer.adam")
    assert done.code == 0
    for text in (
        "optimizer.adam: ",
        "Kingma",
        "lr: number or schedule = 0.0002  (>= 0)",
        "learning rate",
        "from: ganrun ",
        "adam.py",
    ):
        assert text in done.out


def test_show_prints_capabilities(ganrun) -> None:
    assert (
        "provides: logit:probability, logit:signed, per-sample-generator, targets" in ganrun("show", "loss.minimax").out
    )
    assert "wants:\n  slope-bounded: " in ganrun("show", "loss.wasserstein").out
    shown = ganrun("show", "trick.mode-seeking").out
    assert "strength: weight (off at 0)\nrestructures: " in shown
    assert "helps against: missing-diversity, mode-collapse\n" in shown
    assert "strength: real (off at 1)" in ganrun("show", "trick.label-smoothing").out


def test_show_takes_a_name_and_shows_all_plugins_that_have_it(ganrun) -> None:
    assert ganrun("show", "adam").out == ganrun("show", "optimizer.adam").out
    done = ganrun("show", "acgan")
    assert (done.code, done.err) == (0, "")
    for name in ("variant.acgan: ", "generator.acgan: ", "discriminator.acgan: "):
        assert done.out.count(f"\n{name}") == 1 or done.out.startswith(name)
    alone = ganrun("show", "generator.acgan").out
    paper = next(line for line in alone.splitlines() if line.startswith("Paper"))
    assert done.out.count(paper) == ganrun("show", "variant.acgan").out.count(paper) + 1, "one file is described once"


def test_show_tells_the_hash_of_an_uninstalled_file(ganrun, my_loss: Path) -> None:
    done = ganrun("show", "loss.my-own", "--plugin", my_loss)
    assert "weight: number = 1.0" in done.out
    assert f"from: {my_loss} (not installed, sha256 " in done.out


def test_show_says_of_a_disabled_plugin_that_it_is_disabled(ganrun, monkeypatch):
    monkeypatch.setenv("GANRUN_DISABLE_PLUGINS", "trick.ema")
    done = ganrun("show", "ema")
    assert done.code == 2
    assert "trick.ema (ganrun 0.1.0) is disabled by GANRUN_DISABLE_PLUGINS" in done.err

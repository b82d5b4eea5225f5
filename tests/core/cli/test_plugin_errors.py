"""How errors of plugins are reported: with --debug, in Python, in the backward pass, under --json; and by a check."""

import json

import pytest
from plugin_sources import TRICK, event


def test_debug_prints_the_whole_traceback_and_then_the_message(ganrun, write_recipe, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(TRICK.format(body=event("losses", "raise KeyError('lost')")))
    command = ["recipe", write_recipe(tricks=["mine"]), "--plugin", "mine.py"]
    code, _, err = ganrun(*command, "--debug")
    assert code == 1
    assert "Traceback (most recent call last)" in err
    assert "engine.py" in err, "the core's own frames are there"
    assert err.splitlines()[-3].startswith("trick.mine (")
    monkeypatch.setenv("GANRUN_DEBUG", "1")
    assert "Traceback" in ganrun(*command, "--resume")[2]


def test_debug_shows_where_an_error_of_the_user_was_raised(ganrun, tmp_path):
    code, _, err = ganrun("recipe", tmp_path / "nowhere.yaml", "--debug")
    assert code == 2
    assert "Traceback" in err


def test_an_error_of_the_core_keeps_its_traceback(ganrun, write_recipe, monkeypatch):
    def fails(self, step):
        raise RuntimeError("the core's own")

    monkeypatch.setattr("ganrun.engine.engine.Engine.step", fails)
    with pytest.raises(RuntimeError, match="the core's own"):
        ganrun("recipe", write_recipe())


def test_errors_of_a_user_that_a_plugin_raises_keep_their_exit_code(ganrun, write_recipe, tmp_path):
    text = TRICK.format(body=event("losses", "from ganrun.plugin import UserError; raise UserError('no such file')"))
    (tmp_path / "mine.py").write_text(text)
    assert ganrun("recipe", write_recipe(tricks=["mine"]), "--plugin", "mine.py")[::2] == (2, "no such file\n")


def test_a_plugin_that_calls_another_one_is_named_beside_it(ganrun, write_recipe, tmp_path):
    call = "turn.discriminate(turn.rounds[0], torch.zeros(3, 7), role='fake', tag='penalty')"
    (tmp_path / "mine.py").write_text(TRICK.format(body=event("losses", call)))
    code, _, err = ganrun("recipe", write_recipe(tricks=["mine"]), "--plugin", "mine.py")
    assert code == 1
    assert "discriminator.mlp (ganrun" in err.splitlines()[0]
    assert "  called by trick.mine (" in err
    assert "mine.py:9 in losses" in err


def test_what_fails_in_the_backward_pass_names_the_terms_and_the_plugin(ganrun, write_recipe, tmp_path):
    """The function's own backward raises; it is entered by torch, not by the core."""
    text = TRICK.format(body=event("losses", "turn.add('odd', Odd.apply(turn.made['x']).mean())"))
    odd = (
        "class Odd(torch.autograd.Function):\n"
        "    @staticmethod\n    def forward(ctx, x): return x + 0\n"
        "    @staticmethod\n    def backward(ctx, g): raise ValueError('odd gradient')\n"
    )
    (tmp_path / "mine.py").write_text(text.replace("class Mine:", odd + "class Mine:"))
    code, _, err = ganrun("recipe", write_recipe(tricks=["mine"]), "--plugin", "mine.py")
    assert code == 1
    assert err.startswith("phase generator: the gradients of its terms (adversarial.fake, odd) cannot be computed")
    assert "trick.mine (" in err
    assert "in backward: ValueError: odd gradient" in err


def test_terms_that_torch_cannot_differentiate_are_named(ganrun, write_recipe, tmp_path):
    """A tensor that a gradient needs is changed in place."""
    (tmp_path / "mine.py").write_text(
        TRICK.format(body=event("losses", "y = turn.made['x'].exp(); turn.add('odd', y.sum()); y.mul_(2)"))
    )
    code, _, err = ganrun("recipe", write_recipe(tricks=["mine"]), "--plugin", "mine.py")
    assert code == 1
    assert "the gradients of its terms (adversarial.fake, odd) cannot be computed; odd alone fails, too" in err
    assert "modified by an inplace operation" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("ending", ["os._exit(0)", "sys.exit(0)"])
def test_a_process_that_an_evaluator_ends_is_told(ganrun, write_recipe, tmp_path, ending):
    text = TRICK.format(body=f"    def evaluate(self, evaluation):\n        import os, sys; {ending}")
    (tmp_path / "mine.py").write_text(text.replace('"trick"', '"evaluator"'))
    code, _, err = ganrun("recipe", write_recipe(evaluators=["mine"]), "--plugin", "mine.py")
    assert code == 1
    assert f"in evaluate: it calls {ending}" in err


@pytest.mark.parametrize(
    ("value", "said"), [("[1]", "a mapping key -> number"), ("{'a': 'b'}", "a number or a Score as 'a'")]
)
def test_scores_that_are_no_numbers_are_told(ganrun, write_recipe, tmp_path, value, said):
    text = TRICK.format(body=f"    def evaluate(self, evaluation): return {value}")
    (tmp_path / "mine.py").write_text(text.replace('"trick"', '"evaluator"'))
    code, _, err = ganrun("recipe", write_recipe(evaluators=["mine"]), "--plugin", "mine.py")
    assert code == 1
    assert f"in evaluate: expected {said}" in err


@pytest.mark.parametrize(
    "command", [["list-plugins", "--json", "--check", "--kind", "trick"], ["schema"], ["list-plugins", "--json"]]
)
def test_what_a_plugin_prints_does_not_end_up_in_json(ganrun, tmp_path, monkeypatch, command):
    monkeypatch.setenv("GANRUN_DISABLE_PLUGINS", "")
    (tmp_path / "mine.py").write_text(
        TRICK.format(body="    def __init__(self): print('made')") + "print('imported')\n"
    )
    code, out, err = ganrun(*command, "--plugin", tmp_path / "mine.py")
    assert json.loads(out)
    assert "imported" in err
    assert code == 0


def test_one_plugin_is_checked_by_its_name(ganrun, tmp_path, monkeypatch):
    monkeypatch.setenv("GANRUN_DISABLE_PLUGINS", "")
    (tmp_path / "mine.py").write_text(TRICK.format(body="    def __init__(self): raise RuntimeError('no luck')"))
    code, out, _ = ganrun("list-plugins", "--check", "loss.minimax")
    assert (code, out.split()) == (0, ["loss.minimax", "ok"])
    code, out, _ = ganrun("list-plugins", "--check", "trick.mine", "--plugin", tmp_path / "mine.py")
    assert code == 1
    assert "check_default_construction: trick.mine (" in out
    assert "in __init__: RuntimeError: no luck" in out
    assert "loss.minimax" not in out


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("loss.minimacks", 'no loss is called "minimacks"; did you mean "minimax"?'),
        ("minimax", "minimax is not the full name of a plugin; write KIND.NAME, such as loss.minimax"),
    ],
)
def test_a_name_that_no_plugin_has_is_refused(ganrun, name, said):
    code, _, err = ganrun("list-plugins", "--check", name)
    assert code == 2
    assert said in err


def test_in_python_an_error_keeps_its_type_and_has_a_note(tiny, tmp_path):
    import ganrun

    (tmp_path / "mine.py").write_text(TRICK.format(body=event("losses", "raise KeyError('lost')")))
    with pytest.raises(KeyError) as caught:
        ganrun.run(tiny(tricks=["mine"]), output=tmp_path / "run", plugins=[tmp_path / "mine.py"])
    (note,) = caught.value.__notes__
    assert note.startswith("trick.mine (")
    assert "mine.py:9 in losses: raise KeyError('lost')" in note
    assert "--debug" not in note


def test_in_python_a_plugin_does_not_end_the_process(tiny, tmp_path):
    import ganrun

    (tmp_path / "mine.py").write_text(TRICK.format(body=event("losses", "import sys; sys.exit(0)")))
    with pytest.raises(ganrun.errors.BrokenPlugin, match=r"it calls sys\.exit\(0\)"):
        ganrun.run(tiny(tricks=["mine"]), output=tmp_path / "run", plugins=[tmp_path / "mine.py"])


def test_a_data_set_that_fails_in_a_worker_process_is_named(ganrun, write_recipe, tmp_path):
    body = """\
    in_memory = False
    def __init__(self, files, split):
        from ganrun.plugin import Space
        self.spaces, self.classes = {"x": Space("points", (2,))}, ()
    def __len__(self): return 64
    def batch(self, indices, draws):
        if torch.utils.data.get_worker_info() is not None: raise ValueError("unreadable")
        return {"x": torch.zeros(len(indices), 2)}
"""
    (tmp_path / "mine.py").write_text(TRICK.format(body=body).replace('"trick"', '"dataset"'))
    name = write_recipe(dataset="mine", train={"steps": 3, "workers": 1})
    code, _, err = ganrun("recipe", name, "--plugin", "mine.py")
    assert code == 1
    assert "dataset.mine (" in err
    assert "in batch: ValueError: unreadable" in err
    assert "mine.py:13 in batch" in err

"""``list-plugins --check``: what it finds wrong with a plugin, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganrun.catalog.catalog import Catalog
from ganrun.contracts.mistakes import methods_of
from ganrun.contracts.protocols import PROTOCOLS
from ganrun.preflight.plugin_check import check_plugins

CHECKED = '''\
"""Something to check."""
from ganrun.plugin import Component, hookimpl


class Base:
{methods}


class Checked(Base):
    def __init__(self, *, a: float = 1.0) -> None: ...
{method}


@hookimpl
def ganrun_components():
    yield Component("{kind}", "checked", Checked)
'''


def problems(tmp_path: Path, kind: str, method: str = "", change: tuple[str, str] = ("", "")) -> list[str]:
    """What the check finds in a class of this kind with this method."""
    file = tmp_path / "checked.py"
    methods = "\n".join(["    a = 1", *(f"    def {name}(self): ..." for name in methods_of(PROTOCOLS[kind][0]))])
    file.write_text(CHECKED.format(kind=kind, method=method, methods=methods).replace(*change))
    catalog = Catalog(modules=[file])
    ((_, found),) = check_plugins(catalog, [catalog.entry(kind, "checked")])
    assert all(problem.startswith(f"{file}:") for problem in found), "each names file and line"
    return [problem.removeprefix(f"{file}:").partition(": ")[2] for problem in found]


def test_check_finds_nothing_wrong_with_a_right_plugin(tmp_path: Path) -> None:
    assert problems(tmp_path, "trick", "    @hookimpl\n    def losses(self, turn): ...") == []


def test_check_finds_a_hook_without_its_mark(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "trick", "    def losses(self, turn): ...")
    assert (
        problem
        == "Checked.losses: named like an event but not marked @hookimpl, so it is never called; mark or rename it"
    )


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        ("variant", "def sample(self, turn)"),
        ("loss", "def targets(self, role)"),
        ("evaluator", "def evaluate(self, e)"),
    ],
)
def test_check_lets_methods_of_the_protocol_be_named_like_events(tmp_path: Path, kind: str, method: str) -> None:
    assert problems(tmp_path, kind, f"    {method}: ...") == []
    (problem,) = problems(tmp_path, kind, f"    @hookimpl\n    {method}: ...")
    assert "take @hookimpl away" in problem


def test_check_finds_a_mark_on_an_unknown_event(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "trick", "    @hookimpl\n    def gradient(self, turn): ...")
    assert 'no event is called gradient; did you mean "gradients"?' in problem


def test_check_finds_a_parameter_that_the_event_does_not_have(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "trick", "    @hookimpl\n    def corrupt(self, turn, image): ...")
    assert problem == "Checked.corrupt: the event has no parameter image; it has (turn, call)"
    (problem,) = problems(tmp_path, "trick", "    @hookimpl\n    def losses(self, trun): ...")
    assert problem == 'Checked.losses: the event has no parameter trun; it has (turn); did you mean "turn"?'


def test_check_finds_parameters_that_no_recipe_could_set(tmp_path: Path) -> None:
    assert "parameter a has no type" in problems(tmp_path, "loss", change=("a: float = 1.0", "a=1.0"))[0]
    assert "put a * before" in problems(tmp_path, "loss", change=("*, a", "a"))[0]
    assert "name each" in problems(tmp_path, "loss", change=("*, a: float = 1.0", "**rest: float"))[0]
    assert "cannot be read" in problems(tmp_path, "loss", change=("a: float", "a: 'Flaot'"))[0]


def test_check_knows_what_the_core_hands_in(tmp_path: Path) -> None:
    assert "is given 1 positional arguments" in problems(tmp_path, "generator")[0]
    assert problems(tmp_path, "generator", change=("self, *,", "self, interface, *,")) == []
    assert problems(tmp_path, "dataset", change=("self, *,", "self, files, split, *,")) == []


def test_check_finds_the_methods_that_a_kind_needs(tmp_path: Path) -> None:
    found = problems(tmp_path, "loss", change=("    def generator(self): ...", ""))
    assert found == ["Checked lacks generator(self, round: Round) -> Mapping[Stream, Tensor], which the core calls"]
    (problem,) = problems(tmp_path, "trick", "    def state_dict(self): ...")
    assert problem == "Checked has state_dict, but no load_state_dict(self, state)"


@pytest.mark.parametrize("kind", [kind for kind, offered in PROTOCOLS.items() if len(offered) > 1])
def test_what_only_some_plugins_of_a_kind_have_is_not_asked_for(kind: str, tmp_path: Path) -> None:
    assert problems(tmp_path, kind) == []


@pytest.mark.parametrize(("kind", "method"), [("loss", "targets"), ("variant", "sample")])
def test_a_method_of_the_kind_may_be_called_as_an_event_is(kind: str, method: str, tmp_path: Path) -> None:
    assert problems(tmp_path, kind, f"    def {method}(self, *given): ...") == []


def test_check_wants_a_summary(tmp_path: Path) -> None:
    assert "no docstring" in problems(tmp_path, "loss", change=('"""Something to check."""', ""))[0]


def test_the_quick_checks_find_a_wrong_loss_and_do_not_ask_for_a_paper(plugin_module):
    from ganrun.testing import Plugin, quick_problems

    class Flat:
        """Every value is 0."""

        provides = frozenset()
        real_in_generator = False

        def discriminator(self, round):
            return {s: 0 * s.logits for s in round.streams}

        def generator(self, round):
            return {s: -s.logits for s in round.of("fake")}

    class Right(Flat):
        """A loss of one's own, unpublished."""

        def discriminator(self, round):
            return {s: s.logits if s.role == "fake" else -s.logits for s in round.streams}

    module = plugin_module({"loss.flat": Flat, "loss.right": Right})
    found = quick_problems(Plugin("loss.flat", modules=[module]))
    assert any(line.startswith("check_gradient_reaches_the_logits: ") for line in found)
    problems = quick_problems(Plugin("loss.right", modules=[module]))
    assert not [line for line in problems if line.startswith("check_source")]

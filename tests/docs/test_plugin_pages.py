"""The pages on plugins are true: signatures are the code's, examples run, tables are complete."""

import importlib
import inspect
import re
import tomllib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from ganrun.catalog.catalog import Catalog
from ganrun.cli.new import TEMPLATES
from ganrun.contracts.events import Events
from ganrun.experiment.capabilities import provided_by
from ganrun.recipe import load_recipe
from ganrun.testing import Plugin, checks_of
from ganrun.testing.runs import build_run
from ganrun.testing.tricks import recorded
from ganrun.training.start import train
from ganrun.words.hooks import KINDS, ComponentHooks

ROOT = Path(__file__).parents[2]
PAGES = ("index", "events", "kinds", "capabilities", "testing")
TEXT = "\n".join((ROOT / f"docs/plugins/{name}.md").read_text() for name in PAGES)
BLOCK = re.compile(r"^```(\w+)(?: (\w+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECTION = re.compile(r"^##+ (\w+)\n(.*?)(?=^#)", re.MULTILINE | re.DOTALL)
HOOKS = {
    name: spec for owner in (ComponentHooks, Events) for name, spec in vars(owner).items() if inspect.isfunction(spec)
}
RUN_LEVEL = ("run_start", "step_end", "checkpoint", "evaluate", "finding", "rolled_back", "run_end", "run_closed")
EXPLODES = {"players": {"generator": {"optimizer": {"sgd": {"lr": 1e38}}}}}


def blocks(text: str, use: str) -> list[str]:
    """The code blocks of one use, such as ``event``."""
    return [code for language, found, code in BLOCK.findall(text) if use in (language, found)]


SECTIONS = {name: body for name, body in SECTION.findall(TEXT) if name in HOOKS}
(PREAMBLE,) = blocks(TEXT, "preamble")
PLUGINS = {code.split("\n", 1)[0].strip('"'): code for code in blocks(TEXT, "plugin")}


def test_every_hook_has_its_section():
    assert list(SECTIONS) == list(HOOKS), "one section a hook, in the order of contracts/events.py"


@pytest.mark.parametrize("name", list(HOOKS))
def test_the_signature_is_exact(name):
    (written,) = blocks(SECTIONS[name], "signature")
    assert written.strip() == f"def {name}{inspect.signature(HOOKS[name])}".replace("'", "")


@pytest.mark.parametrize("name", [name for name in HOOKS if name != "ganrun_components"])
def test_the_example_of_an_event_runs_and_is_called(name, tmp_path, tiny):
    (code,) = blocks(SECTIONS[name], "event")
    example = re.search(r"^class (\w+)", code, re.MULTILINE).group(1)
    kind = "observer" if name in RUN_LEVEL else "trick"
    ending = f'\n\n@hookimpl\ndef ganrun_components():\n    yield Component("{kind}", "my-example", {example})\n'
    (tmp_path / "example.py").write_text(f"{PREAMBLE}\n\n{code}{ending}")
    catalog = Catalog(modules=[tmp_path / "example.py"])
    without = ["progress", "samples", "metrics-log"]
    parts = {f"{kind}s": ["my-example"], "evaluators": [{"mode-coverage": {"samples": 64}}], "without": without}
    parts |= EXPLODES if name == "finding" else {}  # so that health finds something
    recipe = load_recipe(tiny(train={"steps": 4}, **parts), catalog=catalog)
    fired = Counter()
    for part in recipe.tricks + recipe.observers:
        if part.name == "my-example":
            part.component = replace(part.component, factory=recorded(part.component.factory, fired))
    run = train(recipe, catalog, tmp_path / "run")
    assert run.step == (1 if name == "finding" else 4)
    assert fired[name] > 0


def test_the_example_of_ganrun_components_runs(tmp_path, tiny):
    (code,) = blocks(SECTIONS["ganrun_components"], "hook")
    (tmp_path / "zeros.py").write_text(code)
    catalog = Catalog(modules=[tmp_path / "zeros.py"])
    assert "my-zeros" in catalog.names("sampler")
    recipe = load_recipe(tiny(sampler="my-zeros", train={"steps": 2}), catalog=catalog)
    assert train(recipe, catalog, tmp_path / "run").step == 2


# --- an example of each kind ------------------------------------------------------------------------------------


def example_components():
    """``kind.name`` -> the source it is in."""
    yielded = re.compile(r'yield Component\("(\w+)", "([\w-]+)"')
    return {f"{kind}.{name}": code for code in PLUGINS.values() for kind, name in yielded.findall(code)}


def test_there_is_an_example_of_every_kind():
    assert {name.partition(".")[0] for name in example_components()} == set(KINDS)


@pytest.mark.parametrize("qualified", list(example_components()))
def test_the_example_of_a_kind_keeps_its_contract_and_is_used(qualified, tmp_path):
    (tmp_path / "example.py").write_text(example_components()[qualified])
    plugin = Plugin(qualified, modules=[tmp_path / "example.py"])
    for check in checks_of(plugin):
        check(plugin)
    recipe = {**plugin.recipe, "train": {**plugin.recipe["train"], "steps": 2}}
    assert train(plugin.load(recipe), plugin.catalog, tmp_path / "run").step == 2


def test_the_example_of_a_loss_for_each_game_is_built(make_run, small_cyclegan):
    (code,) = blocks(TEXT, "losses")
    run = make_run(small_cyclegan(**yaml.safe_load(code)))
    assert type(run.experiment.loss("a")).__name__ == "Hinge"
    assert run.experiment.loss("b").targets("fake").values == (-1.0,)


def test_the_example_of_checks_is_a_test():
    (code,) = [code for code in blocks(TEXT, "python") if "parametrize_with_checks([" in code]
    scope = {}
    exec(code, scope)
    (mark,) = scope["test_contract"].pytestmark
    assert mark.name == "parametrize"
    assert len(mark.args[1]) > 10


# --- tables -----------------------------------------------------------------------------------------------------


def rows(page):
    """The rows of the tables of a page, as lists of cells."""
    lines = [line for line in (ROOT / page).read_text().splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("module", ["ganrun.plugin", "ganrun.plugin.data", "ganrun.plugin.evaluation"])
def test_the_front_door_is_documented_name_by_name(module):
    page = (ROOT / "docs/plugins/index.md").read_text()
    body = re.split(rf"^## {re.escape(module)}$", page, flags=re.MULTILINE)[1].split("\n## ")[0]
    written = re.findall(r"^\| `(\w+)` \| \S", body, re.MULTILINE)
    promised = importlib.import_module(module).__all__
    assert sorted(written) == sorted(promised)
    assert all(hasattr(importlib.import_module(module), name) for name in promised)


@pytest.mark.parametrize("kind", KINDS)
def test_what_ganrun_new_writes_is_the_example_of_its_kind(kind):
    assert (TEMPLATES / f"{kind}.txt").read_text() in PLUGINS.values()


def test_links_between_pages_lead_somewhere():
    for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")):
        prose = re.sub(r"^```.*?^```$|`[^`\n]*`", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\(([^)#:\s]+\.(?:md|png))(?:#[^)]*)?\)", prose):
            assert (page.parent / target).exists(), f"{page}: {target}"


def test_the_table_of_dependencies_is_that_of_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {}
    for extra, requirements in {"": project["dependencies"], **project["optional-dependencies"]}.items():
        for requirement in requirements:
            asked.setdefault(re.match(r"[\w-]+", requirement).group(), []).append(extra)
    written = {cells[0].strip("`"): cells[1] for cells in rows("docs/dependencies.md")}
    assert written == {name: ", ".join(filter(None, extras)) for name, extras in asked.items()}


def test_the_table_of_capabilities_names_all_that_plugins_and_the_core_use():
    written = {name for cells in rows("docs/plugins/capabilities.md") for name in re.findall(r"`([\w:-]+)`", cells[0])}
    used = set()
    catalog = Catalog(disabled=())
    for entry in catalog.entries():
        if entry.distribution == "ganrun":
            factory = catalog.load(entry.kind, entry.name).factory
            used |= set(getattr(factory, "provides", ()))
            for attribute in ("needs", "wants", "refuses", "warns"):
                used |= {name for names in getattr(factory, attribute, {}) for name in names.split("|")}
    assert used - written == set(), "capabilities without a line in docs/plugins/capabilities.md"


@pytest.mark.parametrize("name", ["dataset.ring", "variant.dcgan"])
def test_what_the_core_reads_off_networks_and_games_is_in_the_table(name):
    written = {name for cells in rows("docs/plugins/capabilities.md") for name in re.findall(r"`([\w:-]+)`", cells[0])}
    plugin = Plugin(name)
    recipe = {key: value for key, value in plugin.recipe.items() if key not in ("generator", "discriminator")}
    assert set(provided_by(build_run(plugin, recipe).experiment)) - written == set()


def test_contributing_is_short_and_its_commands_are_those_of_the_readme():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    assert len(text.splitlines()) <= 150
    commands = re.findall(r"^    (python3 -m venv .*)$", text, re.MULTILINE)
    readme = (ROOT / "README.md").read_text()
    assert len(commands) == 2
    assert all(command in readme for command in commands)


def test_the_floors_of_contributing_are_those_that_are_held():
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]["layers"]
    held = {name.strip().removeprefix("ganrun.") for layer in layers for name in layer.split("|")} - {"__main__"}
    text = (ROOT / "CONTRIBUTING.md").read_text().split("## Floors")[1].split("\n## ")[0]
    rows = [line.split("|")[2] for line in text.splitlines() if re.match(r"\| \d", line)]
    assert {name.strip("/") for row in rows for name in re.findall(r"`([\w/]+)`", row)} == held

"""The commands that tell what is installed: their output, their errors, and how fast they start."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ganrun.catalog.catalog import Catalog
from ganrun.cli import COMMANDS, main
from ganrun.cli.list_recipes import data_of, describe
from ganrun.cli.output import print_table

MINE = '''\
"""My own loss.

Paper: Me, "A loss of my own" (2026).
"""
from typing import Annotated

from pydantic import Field

from ganrun.plugin import Component, hookimpl


class Mine:
    """Differences of weighted logits."""

    provides = frozenset({"per-sample-generator", "logit:unbounded"})
    real_in_generator = False

    def __init__(self, *, weight: Annotated[float, Field(gt=0, description="factor of the logits")] = 1.0) -> None:
        self.weight = weight

    def discriminator(self, round):
        """Stream -> minus the weighted logits of real samples, and those of fakes, (B, ...)."""
        return {s: (-self.weight if s.role == "real" else self.weight) * s.logits for s in round.streams}

    def generator(self, round):
        """Fake stream -> minus its weighted logits, (B, ...)."""
        return {s: -self.weight * s.logits for s in round.of("fake")}


@hookimpl
def ganrun_components():
    yield Component("loss", "my-own", Mine)
'''

BROKEN = """\
[ganrun]
loss.gone-astray = nowhere_to_be_found
"""


@dataclass
class Done:
    """How a command ended, named as in subprocess."""

    returncode: int
    stdout: str
    stderr: str


Ganrun = Callable[..., Done]


@pytest.fixture
def ganrun(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ganrun:
    """Run the command line in this process, which saves the imports, with stdout and stderr caught."""
    monkeypatch.delenv("GANRUN_DISABLE_PLUGINS", raising=False)

    def call(*arguments: str | Path, **environment: str) -> Done:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        return Done(int(end.value.code or 0), *capsys.readouterr())

    return call


@pytest.fixture
def _broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution on the path whose plugin is not there."""
    metadata = tmp_path / "astray" / "astray-0.4.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: astray\nVersion: 0.4\n")
    (metadata / "entry_points.txt").write_text(BROKEN)
    monkeypatch.syspath_prepend(str(metadata.parent))
    importlib.invalidate_caches()


@pytest.fixture
def my_loss(tmp_path: Path) -> Path:
    """A plugin file that is not installed."""
    (tmp_path / "my_loss.py").write_text(MINE)
    return tmp_path / "my_loss.py"


# --- list-plugins -----------------------------------------------------------------------------------------------


def test_prints_one_line_a_plugin_when_stdout_is_no_terminal(ganrun: Ganrun) -> None:
    done = ganrun("list-plugins", COLUMNS="40")
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("loss.minimax ")]
    assert line.split()[1] == "ganrun"
    assert "log(1 - D(G(z)))" in line


def test_prints_json_for_one_kind(ganrun: Ganrun) -> None:
    listed = json.loads(ganrun("list-plugins", "--json", "--kind", "loss").stdout)
    assert {entry["kind"] for entry in listed} == {"loss"}
    minimax = next(entry for entry in listed if entry["name"] == "minimax")
    assert minimax["distribution"] == "ganrun"
    assert minimax["module"] == "ganrun_plugins.losses.minimax"
    assert minimax["problem"] is None


def test_requirements_name_the_distribution_and_what_it_requires(ganrun: Ganrun) -> None:
    done = ganrun("list-plugins", "--requirements")
    assert any(line.startswith("ganrun ") and "torch>=" in line for line in done.stdout.splitlines())
    listed = json.loads(ganrun("list-plugins", "--requirements", "--json", "--kind", "loss").stdout)
    assert any(requirement.startswith("pluggy") for requirement in listed[0]["requirements"])


@pytest.mark.usefixtures("_broken")
def test_a_broken_plugin_costs_one_line_below_the_table(ganrun: Ganrun) -> None:
    done = ganrun("list-plugins")
    assert done.returncode == 0
    assert "loss.minimax" in done.stdout
    assert done.stderr == "loss.gone-astray (astray 0.4): module nowhere_to_be_found is not there; reinstall astray\n"
    assert ganrun("list-plugins", "--check", "--kind", "loss").returncode == 1


def test_an_uninstalled_file_is_listed_and_checked(ganrun: Ganrun, my_loss: Path) -> None:
    done = ganrun("list-plugins", "--kind", "loss", "--plugin", my_loss)
    assert any(
        "loss.my-own" in line and "my_loss.py" in line and "My own loss." in line for line in done.stdout.splitlines()
    )
    done = ganrun("list-plugins", "--check", "--kind", "loss", "--plugin", my_loss)
    assert (done.returncode, done.stderr) == (0, "")
    assert any(line.split() == ["loss.my-own", "ok"] for line in done.stdout.splitlines())


@pytest.mark.slow
def test_every_plugin_of_ganrun_passes_the_checks(ganrun: Ganrun) -> None:
    done = ganrun("list-plugins", "--check", "--json")
    assert [(found["plugin"], found["problems"]) for found in json.loads(done.stdout) if found["problems"]] == []
    assert done.returncode == 0


def test_a_disabled_plugin_is_marked_and_a_misspelt_one_reported(ganrun: Ganrun) -> None:
    done = ganrun("list-plugins", "--kind", "loss", GANRUN_DISABLE_PLUGINS="loss.minimax,loss.minimacks")
    assert any(line.startswith("loss.minimax ") and "(disabled)" in line for line in done.stdout.splitlines())
    assert done.stderr == "GANRUN_DISABLE_PLUGINS names loss.minimacks, which is not installed\n"


def test_a_reader_that_stops_early_is_no_error() -> None:
    command = f"{sys.executable} -m ganrun list-plugins --json | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=120)
    assert (done.stdout, done.stderr) == ("[\n", "")


# --- show -------------------------------------------------------------------------------------------------------


def test_show_prints_docstring_parameters_and_origin(ganrun: Ganrun) -> None:
    done = ganrun("show", "optimizer.adam")
    assert done.returncode == 0
    for text in (
        "optimizer.adam: ",
        "Kingma",
        "lr: number or schedule = 0.0002  (>= 0)",
        "learning rate",
        "from: ganrun ",
        "adam.py",
    ):
        assert text in done.stdout


def test_show_prints_capabilities(ganrun: Ganrun) -> None:
    assert (
        "provides: logit:probability, logit:signed, per-sample-generator, targets"
        in ganrun("show", "loss.minimax").stdout
    )
    assert "wants:\n  slope-bounded: " in ganrun("show", "loss.wasserstein").stdout
    shown = ganrun("show", "trick.mode-seeking").stdout
    assert "strength: weight (off at 0)\nrestructures: " in shown
    assert "helps against: missing-diversity, mode-collapse\n" in shown
    assert "strength: real (off at 1)" in ganrun("show", "trick.label-smoothing").stdout


def test_show_takes_a_name_that_only_one_kind_has(ganrun: Ganrun) -> None:
    assert ganrun("show", "adam").stdout == ganrun("show", "optimizer.adam").stdout
    done = ganrun("show", "mlp")
    assert (done.returncode, done.stdout) == (2, "")
    assert "generator.mlp, discriminator.mlp" in done.stderr


def test_show_tells_the_hash_of_an_uninstalled_file(ganrun: Ganrun, my_loss: Path) -> None:
    done = ganrun("show", "loss.my-own", "--plugin", my_loss)
    assert "weight: number = 1.0" in done.stdout
    assert f"from: {my_loss} (not installed, sha256 " in done.stdout


# --- errors -----------------------------------------------------------------------------------------------------

ERRORS = {
    "unknown plugin": (["show", "loss.minimaks"], 'no loss is called "minimaks"; did you mean "minimax"'),
    "unknown name": (["show", "minimaks"], "did you mean loss.minimax?"),
    "unknown kind": (["list-plugins", "--kind", "los"], 'did you mean "loss"'),
    "missing file": (["list-plugins", "--plugin", "nowhere.py"], "nowhere.py: cannot read this plugin"),
    "unknown command": (["list-plugin"], "Did you mean 'list-plugins'"),
    "unknown option": (["list-plugins", "--jsn"], "No such option: --jsn"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_an_error_of_the_user_is_plain_and_ends_with_2(ganrun: Ganrun, case: str) -> None:
    arguments, message = ERRORS[case]
    done = ganrun(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_syntax_error_in_a_file_is_told_with_its_line(
    ganrun: Ganrun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad.py").write_text("x = 1\ny = = 2\n")
    monkeypatch.chdir(tmp_path)
    done = ganrun("list-plugins", "--plugin", "bad.py")
    assert done.returncode == 1
    assert done.stderr == "bad.py:2: invalid syntax; the plugin bad.py cannot be imported\n"


# --- the program itself -----------------------------------------------------------------------------------------


def test_version_and_help(ganrun: Ganrun) -> None:
    from importlib.metadata import version

    assert ganrun("--version").stdout == f"ganrun {version('ganrun')}\n"
    shown = ganrun("--help").stdout
    for command in ("list-plugins", "show", "list-recipes", "schema"):
        assert command in shown


def test_every_command_explains_itself(ganrun: Ganrun) -> None:
    for command in COMMANDS:
        done = ganrun(command, "--help")
        assert done.returncode == 0, done.stderr
        assert "Usage: ganrun " + command in done.stdout


HEAVY = (
    "[name for name in sys.modules"
    " if name.partition('.')[0] in ('torch', 'pydantic', 'numpy', 'accelerate', 'ganrun_plugins')]"
)


@pytest.mark.parametrize(
    "arguments",
    [["list-plugins"], ["list-plugins", "--json"], ["list-plugins", "--requirements"], ["--help"], ["--version"]],
)
def test_fast_commands_import_neither_torch_nor_pydantic_nor_a_plugin(arguments: list[str]) -> None:
    code = (
        f"import sys\nfrom ganrun.cli import main\ntry:\n    main({arguments!r})\nfinally:\n    print('HEAVY', {HEAVY})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.splitlines()[-1] == "HEAVY []", done.stderr


def test_importing_ganrun_imports_no_torch() -> None:
    code = f"import sys, ganrun\nganrun.__version__\nprint({HEAVY})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.slow
def test_list_plugins_starts_within_four_times_the_imports_it_cannot_do_without() -> None:
    def seconds(*arguments: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True, timeout=120)
        return time.perf_counter() - start

    pairs = [(seconds("-c", "import typer, rich, pluggy"), seconds("-m", "ganrun", "list-plugins")) for _ in range(12)]
    base, listing = (min(column) for column in zip(*pairs))
    print(f"list-plugins {listing:.3f} s, imports {base:.3f} s, ratio {listing / base:.2f}")
    assert listing <= 4 * base


# --- list-recipes, schema ---------------------------------------------------------------------------------------


def test_list_recipes_tells_variant_data_set_and_first_comment(ganrun: Ganrun) -> None:
    done = ganrun("list-recipes")
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("dcgan_digits ")]
    assert line.split()[1:3] == ["dcgan", "digits"]
    assert "handwritten digits" in line
    assert " offline " in line
    assert " CPU minutes" in line
    records = {record["name"]: record for record in json.loads(ganrun("list-recipes", "--json").stdout)}
    assert records["lsgan_ring"]["dataset"] == "ring", "the data set stands in the base that the recipe extends"
    assert all(record["variant"] and record["summary"] and record["time"] for record in records.values())
    assert records["cyclegan_horse2zebra"]["data"] == "download"
    assert records["gan_ring"]["data"] == "offline"


def test_a_recipe_on_files_of_ones_own_says_so_and_a_wrapped_data_set_counts(tmp_path: Path) -> None:
    catalog = Catalog()
    (tmp_path / "own.yaml").write_text("# Own.\nvariant: cyclegan\ndataset: {unpaired-folders: {root: here}}\n")
    assert data_of(tmp_path / "own.yaml", "unpaired-folders", catalog) == "your files"
    (tmp_path / "wrapped.yaml").write_text("# Wrapped.\nvariant: gan\ndataset: {ring: {of: {mnist: {}}}}\n")
    assert data_of(tmp_path / "wrapped.yaml", "ring", catalog) == "download"
    (tmp_path / "above.yaml").write_text("# Above.\nextends: wrapped.yaml\nvariant: lsgan\n")
    assert data_of(tmp_path / "above.yaml", "ring", catalog) == "download", (
        "the base's data set wraps one that is downloaded"
    )
    (tmp_path / "scenes.yaml").write_text("# Scenes.\nvariant: dcgan\ndataset: {lsun: {root: here}}\n")
    assert data_of(tmp_path / "scenes.yaml", "lsun", catalog) == "your files", (
        "it is not downloaded: the folder has to be given"
    )


def test_a_recipe_is_described_from_its_base_where_it_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("# Base.\nvariant: {gan: {latent: 4}}\ndataset: ring\n")
    (tmp_path / "top.yaml").write_text("#\n# Top.\nextends: base.yaml\ndataset: {grid: {}}\n")
    assert describe(tmp_path / "top.yaml") == {"summary": "Top.", "time": "", "variant": "gan", "dataset": "grid"}
    (tmp_path / "top.yaml").write_text("- a list\n")
    with pytest.raises(ValueError, match="no mapping"):
        describe(tmp_path / "top.yaml")


def test_schema_is_json_that_knows_the_plugins(ganrun: Ganrun, my_loss: Path, tmp_path: Path) -> None:
    done = ganrun("schema", "--plugin", my_loss)
    assert done.returncode == 0
    schema = json.loads(done.stdout)
    assert "variant" in schema["properties"]
    assert '"minimax"' in done.stdout
    assert '"my-own"' in done.stdout
    assert ganrun("schema", "--output", tmp_path / "schema.json").stdout == ""
    assert json.loads((tmp_path / "schema.json").read_text())["properties"].keys() == schema["properties"].keys()
    failed = ganrun("schema", "--output", tmp_path / "not" / "there.json")
    assert failed.returncode == 2
    assert "cannot write the schema: No such file or directory" in failed.stderr


# --- tables -----------------------------------------------------------------------------------------------------


def test_a_table_on_a_narrow_terminal_wraps_the_last_column_and_cuts_no_name(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    print_table(
        ("plugin", "summary"), [("loss.a-rather-long-name", "Uniform numbers in [-1, 1) and [red]more[/red] of them")]
    )
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert any("loss.a-rather-long-name" in line for line in lines)
    assert max(map(len, lines)) <= 50
    assert "[red]more[/red]" in " ".join(" ".join(lines).split())


def test_show_says_of_a_disabled_plugin_that_it_is_disabled(ganrun, monkeypatch):
    monkeypatch.setenv("GANRUN_DISABLE_PLUGINS", "trick.ema")
    done = ganrun("show", "ema")
    assert done.returncode == 2
    assert "trick.ema (ganrun 0.1.0) is disabled by GANRUN_DISABLE_PLUGINS" in done.stderr

"""What the tests of commands share: a recipe file, and the command line as a function."""

import json

import pytest

from ganrun.cli import main


@pytest.fixture
def ganrun(capsys):
    """Run the command line in this process: exit code, standard output, standard error."""

    def run(*arguments):
        capsys.readouterr()
        try:
            main([str(argument) for argument in arguments])
            code = 0
        except SystemExit as stopped:
            code = stopped.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def write_recipe(tmp_path, monkeypatch, tiny):
    """Write a tiny recipe into an empty working directory; JSON is YAML, too."""
    monkeypatch.chdir(tmp_path)

    def write(name="tiny.yaml", **changes):
        recipe = tiny(**{"observers": ["metrics-log", "checkpoints"], "train": {"steps": 3}, **changes})
        (tmp_path / name).write_text(json.dumps(recipe, indent=1))
        return name

    return write

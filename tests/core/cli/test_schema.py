"""``ganrun schema``: a JSON schema of recipes."""

from __future__ import annotations

import json
from pathlib import Path


def test_schema_is_json_that_knows_the_plugins(ganrun, my_loss: Path, tmp_path: Path) -> None:
    done = ganrun("schema", "--plugin", my_loss)
    assert done.code == 0
    schema = json.loads(done.out)
    assert "variant" in schema["properties"]
    assert '"minimax"' in done.out
    assert '"my-own"' in done.out
    assert ganrun("schema", "--output", tmp_path / "schema.json").out == ""
    assert json.loads((tmp_path / "schema.json").read_text())["properties"].keys() == schema["properties"].keys()
    failed = ganrun("schema", "--output", tmp_path / "not" / "there.json")
    assert failed.code == 2
    assert "cannot write the schema: No such file or directory" in failed.err

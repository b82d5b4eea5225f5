"""Files of caches: whole or not there, whatever is killed, and nothing of it stays for good."""

import os
import subprocess
import sys
import time

import pytest

from ganrun.data.locks import STALE, UNFINISHED, written_whole

BEGIN = """
import sys
from pathlib import Path
from ganrun.data.locks import written_whole
with written_whole(Path(sys.argv[1])) as unfinished:
    unfinished.write_text("half")
    unfinished.with_name(".tmpAb12Cd").write_text("what a library writes on the way")
    print("ready", flush=True)
    sys.stdin.read()
"""


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture
def writer(tmp_path):
    """A process that is in the middle of writing ``a``."""
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN, str(tmp_path / "a")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.communicate()


def test_a_file_takes_its_name_when_it_is_whole(tmp_path):
    with written_whole(tmp_path / "new" / "a") as unfinished:
        unfinished.write_text("whole")
        assert not (tmp_path / "new" / "a").exists()
    assert names(tmp_path / "new") == ["a"]
    assert (tmp_path / "new" / "a").read_text() == "whole"


def test_a_block_that_fails_leaves_the_file_as_it_was(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(ValueError, match="half"), written_whole(tmp_path / "a") as unfinished:
        unfinished.write_text("half")
        raise ValueError("half")
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_what_a_killed_process_left_is_removed_by_the_next_that_writes_there(tmp_path, writer):
    writer.kill()
    writer.wait()
    assert any(name.endswith(UNFINISHED) for name in names(tmp_path))
    with written_whole(tmp_path / "b") as unfinished:
        unfinished.write_text("whole")
    assert names(tmp_path) == ["b"]


def test_what_a_living_process_writes_is_left_to_it(tmp_path, writer):
    with written_whole(tmp_path / "a") as unfinished:
        unfinished.write_text("ours")
    assert (tmp_path / "a").read_text() == "ours"
    writer.communicate("")
    assert writer.returncode == 0
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "half"


def test_only_old_files_of_earlier_versions_are_removed(tmp_path):
    key = "0123456789abcdef" * 2
    gone = [f".{key}.featuresab12_xyz.part", f"{key}ab12_xyz.part"]
    kept = ["film.part", f"{key}.zip.part", f".{key}.statisticsab12_xyz.part"]
    for name in gone + kept:
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (time.time() - 2 * STALE,) * 2)
    os.utime(tmp_path / kept[-1])  # it may be written at this moment
    with written_whole(tmp_path / "a") as unfinished:
        unfinished.write_text("whole")
    assert names(tmp_path) == sorted(["a", *kept])

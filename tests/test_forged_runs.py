"""Run folders that were damaged, or made by somebody else: a plain message, nothing written outside, no older loss.

Each case takes a small whole run, damages one file, and opens it by a command. The damages: bytes lost, flipped or
replaced; another kind of file; JSON of another shape at each of its places, with the checksums made right again; and
headers of tensors that tell of others. A quick share of them runs always, all of them in the slow tier.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import random
import shutil
import signal
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ganrun
from ganrun.cli import main
from ganrun.errors import UserError

STEP = "checkpoints/step-0000004"  # the newest of two
FILES = (
    "recipe.yaml",
    "versions.json",
    "metrics.jsonl",
    "evaluations.jsonl",
    "checkpoints/best.json",
    f"{STEP}/manifest.json",
    f"{STEP}/state.json",
    f"{STEP}/tensors.safetensors",
    "samples/step-0000004.png",
    "strip/step-0000004.png",
)
COMMANDS = {
    "sample": ["sample", "RUN", "--count", "2"],
    "best": ["sample", "RUN", "--count", "2", "--checkpoint", "best"],
    "resume": ["recipe", "RUN", "--resume", "--set", "train.steps=5"],
    "overwrite": ["recipe", "RUN", "--overwrite"],
    "stored": ["evaluate", "RUN", "--stored"],
    "diff": ["diff", "RUN", "RUN"],
}
READ_BY = {  # the commands that read a file, and so can fall over it
    "recipe.yaml": ("sample", "resume", "diff"),
    "versions.json": ("sample", "resume", "overwrite", "stored"),
    "metrics.jsonl": ("resume",),
    "evaluations.jsonl": ("stored", "resume"),
    "checkpoints/best.json": ("best", "resume"),
    "samples/step-0000004.png": ("resume",),
    "strip/step-0000004.png": ("resume",),
}
Damage = Callable[[Path], None]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with everything that a run's folder may hold. It is for copies."""
    place = tmp_path_factory.mktemp("whole") / "run"
    small = {"mlp": {"widths": [4], "norm": "none"}}
    recipe = {
        "variant": {"gan": {"latent": 2}},
        "dataset": {"ring": {"count": 64}},
        "generator": small,
        "discriminator": small,
        "tricks": [{"replay-buffer": {"size": 4}}, "ema"],
        "evaluators": [{"mode-coverage": {"samples": 16, "every": 2}}],
        "observers": [{"strip": {"at": ["2 steps", "4 steps"], "rows": 2}}, {"metrics-log": {"every": 1}}],
        "without": ["progress"],
        "checkpoint": {"every": 2, "keep": 2, "best": {"evaluator": "mode-coverage", "mode": "max"}},
        "train": {"steps": 4, "batch_size": 4, "device": "cpu"},
    }
    with contextlib.redirect_stdout(io.StringIO()):
        ganrun.run(recipe, output=place)
    return place


# --- damages ----------------------------------------------------------------------------------------------------


def bytes_of(change: Callable[[bytes, random.Random], bytes]) -> Damage:
    """A damage that changes the content of a file."""

    def damage(path: Path) -> None:
        path.write_bytes(change(path.read_bytes(), random.Random(path.name)))

    return damage


def flipped(data: bytes, chance: random.Random) -> bytes:
    """Eight bits turned over."""
    changed = bytearray(data)
    for _ in range(8):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def replaced_by(make: Callable[[Path], object]) -> Damage:
    """A damage that puts something else in the place of a file."""

    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


TEXTS = {
    "nothing": b"",
    "null": b"null",
    "list": b"[]",
    "object": b"{}",
    "number": b"3",
    "text": b'"text"',
    "deep": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "long number": b"9" * 10_000,
    "no text": b"\xff\xfe\x00",
    "zeros": b"\0" * 64,
    "steps": b'{"step": null}\n{"step": 1e400}\n{"step": 1, "step": [2]}\n[1]\n',
}
CONTENT: dict[str, Damage] = {
    "half": bytes_of(lambda data, chance: data[: len(data) // 2]),
    "but the last byte": bytes_of(lambda data, chance: data[:-1]),
    "flipped": bytes_of(flipped),
    "shuffled": bytes_of(lambda data, chance: bytes(chance.sample(data, len(data)))),
    "twice": bytes_of(lambda data, chance: data + data),
    **{name: bytes_of(lambda data, chance, text=text: text) for name, text in TEXTS.items()},
}
KINDS: dict[str, Damage] = {
    "gone": replaced_by(lambda path: None),
    "folder": replaced_by(lambda path: path.mkdir()),
    "pipe": replaced_by(os.mkfifo),
    "link to itself": replaced_by(lambda path: path.symlink_to(path.name)),
    "link to nothing": replaced_by(lambda path: path.symlink_to("nothing")),
    "link outside": replaced_by(lambda path: path.symlink_to(outside(path) / "precious.txt")),
    "device": replaced_by(lambda path: path.symlink_to("/dev/zero")),
}


def outside(path: Path) -> Path:
    """The folder beside the run that holds ``path``."""
    return next(parent for parent in path.parents if (parent / "outside").is_dir()) / "outside"


VALUES: tuple[Any, ...] = (None, -1, 10**30, 1.5, "text", [], {}, [[]], True)


def mutants(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[str, Callable[[Any], None]]]:
    """Every place of a JSON value, with each way to spoil it: another value, its key gone, its key another one."""
    items = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    for key, inner in items:
        place = (*path, key)
        for number, other in enumerate(VALUES):
            if type(other) is not type(inner) or other in (-1, 10**30):
                yield f"{'.'.join(map(str, place))}={number}", _setting(place, other)
        yield f"{'.'.join(map(str, place))} gone", _removing(place)
        yield from mutants(inner, place)


def _at(value: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        value = value[key]
    return value


def _setting(place: tuple[Any, ...], other: Any) -> Callable[[Any], None]:
    return lambda whole: _at(whole, place[:-1]).__setitem__(place[-1], other)


def _removing(place: tuple[Any, ...]) -> Callable[[Any], None]:
    return lambda whole: _at(whole, place[:-1]).__delitem__(place[-1])


def signed(run: Path) -> None:
    """Make the manifest of the newest checkpoint right again, as somebody would who forges one."""
    path = run / STEP / "manifest.json"
    manifest = json.loads(path.read_text())
    for name in manifest["files"]:
        data = (run / STEP / name).read_bytes()
        manifest["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    path.write_text(json.dumps(manifest))


def headers(data: bytes) -> dict[str, bytes]:
    """Files of tensors whose header tells of others than there are."""
    (length,) = struct.unpack("<Q", data[:8])
    header, rest = json.loads(data[8 : 8 + length]), data[8 + length :]
    first = next(name for name in header if name != "__metadata__")

    def with_header(change: Callable[[dict[str, Any]], object]) -> bytes:
        changed = json.loads(json.dumps(header))
        change(changed)
        text = json.dumps(changed).encode()
        return struct.pack("<Q", len(text)) + text + rest

    def entry(**values: Any) -> bytes:
        return with_header(lambda h: h[first].update(values))

    return {
        "endless header": struct.pack("<Q", 2**63) + data[8:],
        "huge tensor": entry(shape=[10**10]),
        "huge product": entry(shape=[2**32, 2**32, 2**32]),
        "other shape": entry(shape=[1, *header[first]["shape"]]),
        "other type": entry(dtype="I8"),
        "unknown type": entry(dtype="X9"),
        "offsets behind the end": entry(data_offsets=[0, 10**12]),
        "offsets backwards": entry(data_offsets=[8, 0]),
        "shape of text": entry(shape="x"),
        "one gone": with_header(lambda h: h.pop(first)),
        "no tensors": struct.pack("<Q", 2) + b"{}",
        "deep header": struct.pack("<Q", 200_000) + b"[" * 200_000,
    }


# --- trying them ------------------------------------------------------------------------------------------------


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _late(*_: object) -> None:
    raise TimeoutError("it waits for something")


@pytest.fixture
def tried(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Damage a copy of the run, open it by a command, and see how that ends. Returns what was wrong, or nothing."""

    def attempt(damage: Callable[[Path], None], command: str) -> str:
        place = tmp_path / "place"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(whole, place / "run")
        (place / "outside").mkdir()
        (place / "outside/precious.txt").write_text("precious")
        damage(place / "run")
        capsys.readouterr()
        signal.signal(signal.SIGALRM, _late)
        signal.alarm(60)
        try:
            main([word.replace("RUN", str(place / "run")) for word in COMMANDS[command]])
            code: Any = 0
        except SystemExit as stopped:
            code = stopped.code or 0
        except BaseException as error:  # which a user would see as a traceback
            return f"{command}: {type(error).__name__}: {str(error)[:200]}"
        finally:
            signal.alarm(0)
        out, err = capsys.readouterr()
        said = out + err
        if content(place / "outside") != {"precious.txt": b"precious"}:
            return f"{command}: wrote outside the run"
        if "Traceback" in said or code not in (0, 2) or (code and not err.strip()):
            return f"{command}: ended with {code}: {said[-300:]}"
        if code and max(map(len, err.splitlines())) > 600:
            return f"{command}: a line of {max(map(len, err.splitlines()))} characters"
        return ""

    return attempt


def commands_of(name: str) -> tuple[str, ...]:
    return READ_BY.get(name, ("sample", "resume"))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["flipped", "deep", "pipe"])
def test_a_file_that_is_damaged_is_said_and_nothing_more(tried, name, damage):
    spoil = {**CONTENT, **KINDS}[damage]
    wrong = [tried(lambda run: spoil(run / name), command) for command in commands_of(name)[:1]]
    assert not any(wrong), wrong


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [*CONTENT, *KINDS])
@pytest.mark.parametrize("sign", [False, True], ids=["", "signed"])
def test_every_damage_of_every_file_is_said_and_nothing_more(tried, name, damage, sign):
    spoil = {**CONTENT, **KINDS}[damage]

    def damaged(run: Path) -> None:
        spoil(run / name)
        if sign and damage in CONTENT and name.startswith(STEP) and not name.endswith("manifest.json"):
            signed(run)

    wrong = [tried(damaged, command) for command in commands_of(name)]
    assert not any(wrong), wrong


JSON = ("versions.json", "checkpoints/best.json", "evaluations.jsonl", f"{STEP}/manifest.json", f"{STEP}/state.json")


def forged(name: str, change: Callable[[Any], None]) -> Callable[[Path], None]:
    """A damage of a run: one place of a JSON file changed, and the checksums right."""

    def damage(run: Path) -> None:
        lines = (run / name).read_text().splitlines() if name.endswith(".jsonl") else [(run / name).read_text()]
        value = json.loads(lines[-1])
        change(value)
        lines[-1] = json.dumps(value)
        (run / name).write_text("\n".join(lines) + "\n")
        if name.endswith("state.json"):
            signed(run)

    return damage


def all_mutants(whole: Path, name: str) -> list[tuple[str, Callable[[Path], None]]]:
    """Every change of every place of a JSON file."""
    text = (whole / name).read_text().splitlines()[-1] if name.endswith(".jsonl") else (whole / name).read_text()
    return [(label, forged(name, change)) for label, change in mutants(json.loads(text))]


def failures(tried: Callable[..., str], damages: list[tuple[str, Callable[[Path], None]]], commands: Any) -> list[str]:
    """What was wrong, after the name of each damage.

    What a component keeps of itself it alone knows: where that is forged, an error that names its plugin is right, too.
    """
    found = [(label, tried(damage, command)) for label, damage in damages for command in commands]
    named = "--debug prints the whole traceback"
    return [
        f"{label}: {wrong}" for label, wrong in found if wrong and not (label[:11] == "components." and named in wrong)
    ]


@pytest.mark.parametrize("name", JSON)
def test_json_of_another_shape_is_said_and_nothing_more(tried, whole, name):
    found = all_mutants(whole, name)
    some = random.Random(name).sample(found, 2)
    assert failures(tried, some, commands_of(name)[:1]) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", JSON)
def test_json_of_every_other_shape_is_said_and_nothing_more(tried, whole, name):
    found = all_mutants(whole, name)
    some = random.Random(name).sample(found, min(len(found), 250))
    assert "\n".join(failures(tried, some, commands_of(name))) == ""


@pytest.mark.slow
def test_headers_of_tensors_that_tell_of_others_are_said_and_nothing_more(tried, whole):
    forgeries = headers((whole / STEP / "tensors.safetensors").read_bytes())

    def put(data: bytes) -> Callable[[Path], None]:
        def damage(run: Path) -> None:
            (run / STEP / "tensors.safetensors").write_bytes(data)
            signed(run)

        return damage

    damages = [(label, put(data)) for label, data in forgeries.items()]
    assert failures(tried, damages, ["sample"]) == []


@pytest.mark.parametrize("damage", ["null", "folder"])
@pytest.mark.parametrize("name", ["manifest.json", "state.json", "tensors.safetensors"])
def test_a_damaged_newest_checkpoint_never_blocks_an_older_one(whole, tmp_path, name, damage):
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    {**CONTENT, **KINDS}[damage](run / STEP / name)
    with pytest.warns(UserWarning, match="step-0000004.*an older one is used"):
        assert ganrun.load(run, device="cpu").step == 2
    assert ganrun.run(run, {"train.steps": 5}, resume=True).resumed_from == 2


def test_what_is_said_of_data_does_not_decide_how_much_is_allocated(whole, tmp_path):
    """Networks for such data would take 25 GB, and the checkpoints hold a few numbers."""
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    kept = json.loads((run / "versions.json").read_text())
    kept["data"]["spaces"]["x"][1] = [1_600_000_000]
    (run / "versions.json").write_text(json.dumps(kept))
    with pytest.raises(UserError, match=r"versions\.json tells of data for which the networks would take"):
        ganrun.load(run, device="cpu")

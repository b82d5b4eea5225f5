"""The reader: positions, YAML 1.2 scalars, and everything a recipe file may be but should not."""

from __future__ import annotations

import math
import random

import pytest

from ganrun.recipe import RecipeError, dump
from ganrun.recipe.nodes import Origin
from ganrun.recipe.yaml import read_text

GOOD = "variant: toy\ndataset: digits\n"


def value(text: str):
    return read_text(f"a: {text}", Origin("f", 1, 1)).plain()["a"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2e-4", 2e-4),
        ("1e-3", 1e-3),
        ("1E3", 1000.0),
        ("-.5", -0.5),
        ("5.", 5.0),
        ("+1.5e+2", 150.0),
        ("3", 3),
        ("-7", -7),
        ("010", 10),
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
        (".inf", math.inf),
    ],
)
def test_plain_scalars_are_those_of_yaml_1_2(text, expected):
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    "text",
    ["yes", "no", "on", "off", "True", "NULL", "0o17", "0x1f", "1_000", "12:30", "2024-01-01", "1e", "e5", "50%", "="],
)
def test_what_yaml_1_1_would_convert_stays_text(text):
    assert value(text) == text


@pytest.mark.parametrize("text", ['"3"', "'true'", "'2e-4'", '"null"', "'<<'"])
def test_quoted_scalars_are_text(text):
    assert value(text) == text[1:-1]


def test_every_key_and_value_keeps_line_and_column():
    root = read_text("a:\n  b: [1,\n    {c: x}]\n", Origin("f", 1, 1))
    inner = root.value["a"].value["b"]
    assert (inner.key.line, inner.key.column, inner.origin.line, inner.origin.column) == (2, 3, 2, 6)
    c = inner.value[1].value["c"]
    assert (c.key.line, c.key.column, c.origin.line, c.origin.column) == (3, 6, 3, 9)
    assert c.path == ("a", "b", 1, "c")


FORM = [
    ("a: 1\na: 2\n", "a.yaml:2:1: a: duplicate key (first on line 1); remove one of the two"),
    (
        "loss: &x hinge\n",
        "a.yaml:1:7: loss: anchors and aliases (&x) are not part of recipes; write the value out, or use extends",
    ),
    (
        "loss: *x\n",
        "a.yaml:1:7: loss: anchors and aliases (*x) are not part of recipes; write the value out, or use extends",
    ),
    (
        "loss: !!python/object/apply:os.system [echo hacked]\n",
        'a.yaml:1:7: loss: tags ("tag:yaml.org,2002:python/object/apply:os.system") are not part of recipes; '
        "remove it, a recipe holds plain data only",
    ),
    (
        "loss: !!str 3\n",
        'a.yaml:1:7: loss: tags ("tag:yaml.org,2002:str") are not part of recipes; '
        "remove it, a recipe holds plain data only",
    ),
    ("<<: {a: 1}\n", "a.yaml:1:1: merge keys (<<) are not part of recipes; use extends"),
    ("a: 1\n---\nb: 2\n", "a.yaml:2:1: a second document; a recipe is one document, so remove the ---"),
    ("a:\n\tb: 1\n", "a.yaml:2:1: a tab in the indentation; use spaces"),
    (
        "a:\n  \tb: 1\n\tc: 2\n",
        "a.yaml:2:3: a tab in the indentation; use spaces\na.yaml:3:1: a tab in the indentation; use spaces",
    ),
    ("a: [1,\n", 'a.yaml:2:1: the text ends in the middle of a value; a "]" or "}" may be missing'),
    ("a: [1\n", 'a.yaml:1:4: a "," or "]" is missing in the list that was opened with "["'),
    ("a: {b: 1\nc: 2\n", 'a.yaml:1:4: a "," or "}" is missing in the mapping that was opened with "{"'),
    ('a: "x\n', "a.yaml:1:4: a quotation mark is opened here and never closed"),
    ("a: b: c\n", 'a.yaml:1:5: a ":" is not expected here; write one key a line, and quote text that contains ": "'),
    (
        "a: 1\n  b: 2\n",
        'a.yaml:2:4: a ":" is not expected here; write one key a line, and quote text that contains ": "',
    ),
    (
        "a:\n    b: 1\n  c: 2\n",
        "a.yaml:3:3: this line's indentation fits no line above; align the keys of one mapping, and indent with spaces",
    ),
    ("a: @x\n", "a.yaml:1:4: a value cannot start with @; put it in quotes"),
    ("a: 1\nb\n", 'a.yaml:3:1: a key without ":"; write key: value'),
    ("? [a]\n: 1\n", "a.yaml:1:3: a key must be one word, not a list, a mapping or an alias"),
    ("true: 1\n", "a.yaml:1:1: a key must be text, got true; put it in quotes if it is a name"),
    ("a: x\x07y\n", "a.yaml:1:5: control character U+0007; remove it, if this is a text file at all"),
    (b"\xff\xfea\0", "a.yaml:1:1: is UTF-16 text; save it as UTF-8"),
    (
        b"a: 1\nb: caf\xe9\n",
        "a.yaml:2:7: byte 0xe9 is not UTF-8; save the file as UTF-8, if it is a recipe and not a binary file",
    ),
    (b"PK\x03\x04\0\0\0", "a.yaml: is a binary file, not a recipe"),
    ("", "a.yaml:1:1: is empty; a recipe needs at least variant: and dataset:"),
    ("# only a comment\n", "a.yaml:1:1: is empty; a recipe needs at least variant: and dataset:"),
    ("- variant\n", "a.yaml:1:1: a recipe is a mapping of keys such as variant: and dataset:, got a list"),
    ("just text\n", 'a.yaml:1:1: a recipe is a mapping of keys such as variant: and dataset:, got "just text"'),
    (b"x" * (1 << 20) + b"yy", "a.yaml: is larger than 1 MiB, so it is not a recipe"),
    ('a: "\\ud800"\n', "a.yaml:1:4: a: half of a surrogate pair is not a character; write the character itself"),
    (f"a: {'[' * 100}{']' * 100}\n", "a.yaml:1:44: nested deeper than 40 levels"),
]


@pytest.mark.parametrize(("text", "expected"), FORM, ids=range(len(FORM)))
def test_a_malformed_file_is_refused_with_its_place_and_the_way_to_mend_it(problems, text, expected):
    assert "\n".join(problems(text)) == expected


def test_a_tag_runs_no_code(problems, tmp_path):
    problems(f"a: !!python/object/apply:os.mkdir ['{tmp_path}/made']\n")
    assert not (tmp_path / "made").exists()


def test_several_mistakes_of_form_are_reported_at_once(problems):
    assert [p.split(": ")[0] for p in problems("a: &x 1\nb: !y 2\na: 3\n")] == [
        "a.yaml:1:4",
        "a.yaml:2:4",
        "a.yaml:3:1",
    ]


def test_a_directory_and_a_missing_file_are_refused(catalog, tmp_path, monkeypatch):
    from ganrun.recipe import load_recipe

    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(RecipeError, match="folder: this is a directory; name a recipe file in it"):
        load_recipe("folder", catalog=catalog)
    with pytest.raises(RecipeError, match=r"nothing\.yaml: no such file"):
        load_recipe("nothing.yaml", catalog=catalog)
    with pytest.raises(RecipeError, match="no such file"):
        load_recipe("nul\0.yaml", catalog=catalog)


def test_windows_line_ends_and_a_byte_order_mark_are_read(load):
    recipe = load(b"\xef\xbb\xbfvariant: toy\r\ndataset:\r\n  digits: {size: 32}\r\n")
    assert recipe.dataset.parameters["size"] == 32
    assert recipe.origins["dataset", "digits", "size"] == "a.yaml:3"


VALUES = [
    2e-4,
    1e-5,
    1e22,
    1.0,
    0.1 + 0.2,
    -0.0,
    3,
    -7,
    True,
    False,
    None,
    "",
    "x",
    "yes",
    "1e-3",
    "true",
    "null",
    "~",
    "- x",
    "a: b",
    "a #b",
    "50%",
    "2 epochs",
    "%",
    "@x",
    "'",
    '"',
    "\\",
    "line\nbreak",
    "tab\t",
    "é",
    "\x7f\u2028\ufeff",
    "[x]",
    "{x}",
    "#",
    "<<",
    "---",
    "0o17",
    " x ",
    "x:",
    ":",
    "...",
    [],
    {},
    [1, [2, []]],
    [{}, {"a": []}],
    {"a": {"b": [1, {"c": None, 3: "d"}]}},
    [{"a": {}, "b": [{"c": 1}]}],
]


@pytest.mark.parametrize("data", VALUES, ids=repr)
def test_dump_writes_what_the_reader_reads_back(data):
    for wrapped in ({"a": data}, {"a": [data]}, {"a": {"b": data}}, {"a": [{"b": data}]}):
        again = read_text(dump(wrapped), Origin("f", 1, 1)).plain()
        assert again == wrapped
        assert repr(again) == repr(wrapped)  # tells 1 from 1.0 and -0.0 from 0.0


def test_dump_writes_keys_that_need_quotes():
    data = {"a b": 1, "true": 2, "x: y": 3, "": 4, "-": 5}
    assert read_text(dump(data), Origin("f", 1, 1)).plain() == data


ALPHABET = [
    "variant",
    "toy",
    "dataset",
    "digits",
    "tricks",
    "loss",
    "wasserstein",
    "clip",
    "players",
    "train",
    "without",
    "extends",
    ": ",
    ":",
    "- ",
    "\n",
    "\n  ",
    "\n    ",
    "{",
    "}",
    "[",
    "]",
    ", ",
    "&a",
    "*a",
    "!t",
    "!!str",
    "|",
    ">",
    "'",
    '"',
    "\\x",
    "#",
    "%",
    "---",
    "...",
    "? ",
    "<<",
    "1",
    "2e-4",
    "true",
    "\t",
    "~",
    "\0",
    "é",
    "\u2028",
    "\r",
    "@",
    "`",
]


@pytest.mark.parametrize("seed", range(8))
def test_no_input_whatever_ends_in_anything_but_a_recipe_error(load, seed):
    """Random pieces, and a good recipe with random damage: either it loads, or every problem is a printable line."""
    draw = random.Random(seed)
    good = (
        GOOD
        + "tricks:\n  - label-smoothing: {real: 0.9}\nplayers:\n"
        + "  generator:\n    optimizer:\n      adam: {lr: 2e-4, betas: [0.5, 0.9]}\ntrain: {steps: 5}\n"
    )
    for _ in range(60):
        if draw.random() < 0.4:
            text = "".join(draw.choice(ALPHABET) for _ in range(draw.randrange(30)))
        else:
            text = good
            for _ in range(draw.randrange(1, 4)):
                place = draw.randrange(len(text) + 1)
                text = text[:place] + draw.choice([*ALPHABET, ""]) + text[place + draw.randrange(4) :]
        found = []
        try:
            load(text)
        except RecipeError as error:
            found = error.problems or [None]
        assert all(problem and problem.message and "\n" not in str(problem) for problem in found), text

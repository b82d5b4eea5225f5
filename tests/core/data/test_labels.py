"""Labels as people write them: NAME=VALUE, by number or name, one or several."""

import pytest
import torch

from ganrun.data.labels import asked_labels, check_labels, label_counts, label_names, labels_in_words, split_words
from ganrun.data.reader import DataDescription, InMemory
from ganrun.errors import UserError
from ganrun.words.spaces import Space

CODES = {"label": Space("labels", (), 3), "attributes": Space("labels", (2,), 2), "z": Space("latent", (4,))}
NAMES = {"label": ["plain", "bold", "slanted"], "attributes": ["young", "smiling"]}


def test_words_are_split_at_the_first_equals_sign():
    assert split_words(["label=bold", "x=a=b"]) == {"label": "bold", "x": "a=b"}


@pytest.mark.parametrize(("words", "message"), [(["label"], "write NAME=VALUE"), (["a=1", "a=2"], "given twice")])
def test_other_words_are_refused(words, message):
    with pytest.raises(UserError, match=message):
        split_words(words)


@pytest.mark.parametrize(("written", "number"), [("bold", 1), ("2", 2), (0, 0), (" plain ", 0)])
def test_one_label_is_written_by_name_or_number(written, number):
    found = asked_labels({"label": written}, CODES, NAMES)["label"]
    assert found.shape == ()
    assert int(found) == number


@pytest.mark.parametrize(("written", "number"), [("10", 1), (1, 0), ("2", 2), ("03", 3), (0, 0)])
def test_a_number_that_is_a_classs_name_asks_for_that_class(written, number):
    codes = {"label": Space("labels", (), 4)}
    assert int(asked_labels({"label": written}, codes, {"label": ["1", "10", "2", "3"]})["label"]) == number


def test_classes_and_attributes_are_counted_in_words():
    tensors = {"label": torch.tensor([0, 2, 2, 0, 2]), "attributes": torch.tensor([[1, 0]] * 4 + [[1, 1]])}
    data = InMemory(tensors, {name: CODES[name] for name in tensors}, NAMES["label"])
    data.label_names = {"attributes": NAMES["attributes"]}
    assert label_counts(data) == {
        "label": "3 classes: plain (2), bold (0), slanted (3)",
        "attributes": "2 labels: young (5 of 5), smiling (1 of 5)",
    }
    described = DataDescription({"label": CODES["label"]}, 5, NAMES["label"])
    assert label_counts(described) == {"label": "3 classes: plain, bold, slanted"}
    many = InMemory(
        {"label": torch.arange(30).repeat(2)}, {"label": Space("labels", (), 30)}, [f"c{n}" for n in range(30)]
    )
    assert label_counts(many)["label"].startswith("30 classes, of 2 to 2 items each: c0 (2), c1 (2), ")
    assert label_counts(many)["label"].endswith("c19 (2) and 10 more")


def test_labels_among_latents_are_values_that_there_are():
    check_labels({"label": torch.tensor([0, 2]), "z": torch.tensor([99.0])}, CODES)
    for latents, message in (
        ({"label": torch.tensor([2, 3])}, "label: there is no 3; its values are 0 to 2"),
        ({"attributes": torch.tensor([[1, 0], [-1, 1]])}, "attributes: there is no -1; its values are 0 to 1"),
    ):
        with pytest.raises(UserError, match=message):
            check_labels(latents, CODES)


@pytest.mark.parametrize("written", ["1,0", "yes,no", [1, 0], ["yes", 0]])
def test_several_labels_are_written_one_by_one(written):
    assert asked_labels({"attributes": written}, CODES, NAMES)["attributes"].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"style": 1}, "no label 'style'; there are label, attributes, young, smiling"),
        ({"young": 2}, "young: there is no '2'; its values are 0 to 1, or no, yes"),
        ({"young": 1, "attributes": "1,1"}, "young is one of attributes, which is asked for, too"),
        ({"z": 1}, "no label 'z'"),
        ({"label": 3}, "label: there is no '3'; its values are 0 to 2, or plain, bold, slanted"),
        ({"attributes": "1"}, "attributes needs 2 values, one for each of young, smiling; '1' has 1"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_with_what_can(asked, message):
    with pytest.raises(UserError, match=message):
        asked_labels(asked, CODES, NAMES)


def test_attributes_are_asked_for_by_name_and_those_not_named_are_0():
    assert asked_labels({"smiling": "1"}, CODES, NAMES)["attributes"].tolist() == [0, 1]
    assert asked_labels({"smiling": "yes", "young": "1"}, CODES, NAMES)["attributes"].tolist() == [1, 1]


WORDS = ["", "?", "a", "bold", "seven", "two"]


def test_a_text_is_asked_for_in_words():
    codes = {"text": Space("labels", (4,), 6)}
    assert asked_labels({"text": "A bold, SEVEN"}, codes, {"text": WORDS})["text"].tolist() == [2, 3, 4, 0]
    for text, message in (
        ("a bald seven", "text: the training texts have no 'bald'; did you mean 'bold'"),
        ("xyzzy", "the training texts have no 'xyzzy'; its words are a, bold, seven, two"),
        ("a a a a a", "has 5 words; give 1 to 4"),
        ("...", "has 0 words"),
    ):
        with pytest.raises(UserError, match=message):
            asked_labels({"text": text}, codes, {"text": WORDS})


def test_labels_are_told_in_words():
    labels = {"label": torch.tensor(1), "attributes": torch.tensor([1, 0]), "text": torch.tensor([2, 4, 0, 0])}
    names = {**NAMES, "text": WORDS}
    assert labels_in_words(labels, names) == "label bold; attributes young 1, smiling 0; text a seven"
    assert labels_in_words({"label": torch.tensor(2)}, {}) == "label 2"


def test_classes_name_a_single_label_and_never_columns():
    spaces = {"label": CODES["label"], "attributes": CODES["attributes"]}
    assert label_names(DataDescription(spaces, 1, NAMES["label"])) == {"label": NAMES["label"]}
    assert label_names(DataDescription(spaces, 1, NAMES["attributes"])) == {}


def test_names_given_for_an_entry_come_before_classes():
    data = DataDescription({"label": CODES["label"], "attributes": CODES["attributes"]}, 1, ["a", "b", "c"])
    data.label_names = {"attributes": NAMES["attributes"]}
    assert label_names(data) == {"label": ["a", "b", "c"], "attributes": NAMES["attributes"]}

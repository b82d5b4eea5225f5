"""Captions: words and their numbers, digits and folders with captions, and the share of samples that match."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from ganrun.errors import UserError
from ganrun.randomness import ItemDraws
from ganrun.training.build import RefusedError
from ganrun.words.spaces import DataFiles
from ganrun_plugins.datasets._texts import Vocabulary, words_of
from ganrun_plugins.datasets.caption_digits import CaptionDigits, styled
from ganrun_plugins.datasets.captions import Captions
from ganrun_plugins.evaluators.caption_match import Aspect, CaptionMatch, matches

SMALL = {
    "variant": {"gan-cls": {"latent": 4, "embedding": 6, "pretraining": 2}},
    "dataset": {"caption-digits": {"size": 8}},
    "generator": {"gan-cls": {"width": 4, "projection": 4}},
    "discriminator": {"gan-cls": {"width": 4, "projection": 4}},
    "encoder": {"joint-embedding": {"text_width": 4, "image_width": 2}},
    "without": ["progress", "samples", "metrics-log", "health", "checkpoints"],
    "train": {"steps": 4, "batch_size": 8, "device": "cpu"},
}


def test_words_and_their_numbers():
    """Frequent words first, then by the alphabet: b 2, a 1, c 1. 0 fills up, 1 is unknown."""
    assert words_of("A bird's wing, 2 COLOURS_here") == ["a", "bird's", "wing", "2", "colours", "here"]
    known = Vocabulary.of(["b c", "B a"], 2)
    assert known.words == ["", "?", "b", "a"]
    rows = known.encode(["a b", "b c b a"], 3)
    assert rows.tolist() == [[3, 2, 0], [2, 1, 2]]
    assert known.decode(rows[0]) == "a b"


def test_captions_of_digits_say_what_the_pictures_show(tmp_path):
    data = CaptionDigits(DataFiles(tmp_path, tmp_path), "train", size=16)
    meanings = data.meanings()
    for item in (0, 1, 2, 3, 100, len(data) - 1):
        style, number = (meanings[aspect][1][meanings[aspect][0][item]] for aspect in ("style", "number"))
        words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
        assert data.captions[item] == f"a {style} {words[int(number)]}"
        assert " ".join(data.words[i] for i in data.tensors["text"][item].tolist()) == data.captions[item]
    assert len(set(data.captions)) == 40
    plain = data.tensors["x"][0::4]
    for style in range(4):
        assert torch.equal(data.tensors["x"][style::4], styled(plain, style))
    assert data.tensors["x"][2].float().mean() > data.tensors["x"][0].float().mean(), "bold is more ink"


def test_slanted_pictures_lean_to_the_right():
    """A vertical stroke of 16 pixels: its top moves right, its bottom left, by tan 25 degrees of the distance from the
    middle.
    """
    x = torch.zeros(1, 1, 16, 16, dtype=torch.uint8)
    x[..., 7:9] = 255
    slanted = styled(x, 1)[0, 0].double()
    columns = torch.arange(16.0).double()
    centres = [float((slanted[row] * columns).sum() / slanted[row].sum()) for row in (2, 13)]
    assert centres[0] - centres[1] == pytest.approx(11 * math.tan(math.radians(25)), abs=0.1)


@pytest.fixture
def birds(tmp_path):
    """Three species of four pictures, two captions each."""
    lines = []
    for species in ("crow", "jay", "wren"):
        (tmp_path / species).mkdir()
        for number in range(4):
            Image.fromarray(np.full((10, 12, 3), 20 * number, np.uint8)).save(tmp_path / species / f"{number}.png")
            lines += [f"{species}/{number}.png\ta {species} of {number}", f"{species}/{number}.png\tthis {species}"]
    (tmp_path / "captions.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def captions_of(folder, split: str, **parameters) -> Captions:
    return Captions(
        DataFiles(folder, folder),
        split,
        root=".",
        size=8,
        load_size=9,
        length=4,
        **{"test_fraction": 0.25, **parameters},
    )


def drawn(data, epoch: int):
    indices = np.arange(len(data))
    return data.batch(torch.from_numpy(indices), ItemDraws(("test",), np.asarray(epoch), indices))


def test_training_takes_one_caption_of_a_picture_at_random_and_tests_the_first(birds):
    train, test = captions_of(birds, "train"), captions_of(birds, "test")
    assert (len(train), len(test)) == (9, 3)
    seen = [set() for _ in range(len(train))]
    for epoch in range(12):
        for item, row in enumerate(drawn(train, epoch)["text"]):
            seen[item].add(" ".join(train.words[number] for number in row.tolist() if number))
    for path, found in zip(train.pictures.paths, seen):
        assert found == {f"a {path.parent.name} of {path.stem}", f"this {path.parent.name}"}
    firsts = [" ".join(test.words[number] for number in row.tolist()) for row in drawn(test, 3)["text"]]
    assert all(text.startswith("a ") for text in firsts)
    assert train.words == test.words


def test_unseen_species_are_in_the_test_split_alone_and_their_names_unknown(birds):
    train, test = captions_of(birds, "train", unseen=True), captions_of(birds, "test", unseen=True)
    there, held = ({path.parent.name for path in data.pictures.paths} for data in (train, test))
    assert len(held) == 1
    assert not there & held
    assert not held & set(train.words)
    assert int((drawn(test, 0)["text"] == 1).sum()) >= len(test), "the name of the species is an unknown word"


@pytest.mark.parametrize(
    ("line", "message"), [("crow/0.png a crow", ":25: expected"), ("crow/9.png\ta crow", ":25: there is no image")]
)
def test_a_wrong_line_is_named(birds, line, message):
    with (birds / "captions.txt").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(UserError, match=message):
        captions_of(birds, "train")


# --- what matches ---------------------------------------------------------------------------------------------


def test_shares_of_matches_by_hand():
    """Numbers right in 3 of 4 rows, styles in 2 of 4, both in 1 of 4."""
    found = {"number": torch.tensor([1, 2, 3, 9]), "style": torch.tensor([0, 1, 1, 0])}
    asked = {"number": torch.tensor([1, 2, 3, 4]), "style": torch.tensor([0, 0, 0, 0])}
    assert {name: score.value for name, score in matches(found, asked).items()} == {
        "number": 0.75,
        "style": 0.5,
        "all": 0.25,
    }


def test_an_aspect_is_a_labelled_data_set(tmp_path):
    data = CaptionDigits(DataFiles(tmp_path, tmp_path), "train", size=8)
    style, number = Aspect(data, "x", "style"), Aspect(data, "x", "number")
    assert style.classes == ["thin upright", "thin slanted", "bold upright", "bold slanted"]
    batch = style.batch(torch.tensor([0, 1, 6]), None)
    assert batch["label"].tolist() == [0, 1, 2]
    assert torch.equal(batch["x"], data.tensors["x"][[0, 1, 6]])
    assert style.fingerprint() != number.fingerprint()


def test_a_sample_counts_by_the_caption_it_was_made_of(make_run):
    """An extractor that reads the caption out of the samples themselves: with the true images the share is 1, with
    those of the next sample as many as have the same caption by chance.
    """
    recipe = SMALL | {"evaluators": [{"caption-match": {"features": "reading", "samples": 8}}]}
    answers: dict[str, torch.Tensor] = {}

    class Reading:
        """Features that know every test image."""

        size = 1

        def __init__(self, context) -> None:
            self.aspect = getattr(context.data, "aspect", "")

        def classify(self, x: torch.Tensor) -> torch.Tensor:
            distance = (x[:, None] - answers["x"][None]).flatten(2).abs().sum(2)  # (b, N)
            return answers[self.aspect][distance.argmin(1)]

        def fingerprint(self) -> str:
            return "reading"

        def __call__(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten(1)[:, :1]

    run = make_run(recipe, {"features.reading": Reading})
    held = run.evaluation.dataset("test")
    rows = torch.from_numpy(run.evaluation.rows("test", range(8)))
    answers |= {aspect: label[rows] for aspect, (label, _) in held.meanings().items()}
    answers["x"] = run.evaluation.real("x", n=8)
    (evaluator,) = [evaluator for _, evaluator in run.evaluators if isinstance(evaluator, CaptionMatch)]
    run.evaluation.samples = 8
    for shift in (0, 1):
        run.evaluation.fakes = lambda shift=shift: answers["x"].roll(shift, 0)
        scores = {name: score.value for name, score in evaluator.evaluate(run.evaluation).items()}
        right = {aspect: answers[aspect] == answers[aspect].roll(shift) for aspect in ("style", "number")}
        right["all"] = right["style"] & right["number"]
        want = {aspect: float(hits.float().mean()) for aspect, hits in right.items()}
        assert {aspect: scores[aspect] for aspect in want} == want
        assert (want["all"] == 1.0) == (shift == 0), "a sample of the next item is one of another caption"
        assert scores["all-of-real"] == 1.0


def test_data_without_meanings_are_refused(make_run, tiny):
    with pytest.raises(RefusedError, match="these data do not say"):
        make_run(tiny(evaluators=["caption-match"]))

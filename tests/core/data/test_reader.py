"""Reading: the order of items, workers, resuming, and what a batch looks like."""

import warnings

import numpy as np
import pytest
import torch
from numbered_data import Streamed, drain, points

from ganrun.data.order import permutation
from ganrun.data.reader import InMemory, Reader, fingerprint, read_items, selected_classes
from ganrun.errors import DataError
from ganrun.randomness import ItemDraws
from ganrun.words.spaces import Space


def test_an_epoch_holds_every_item_once_and_epochs_differ():
    read = drain(Reader(points(12), (0, "D"), batch_rows=4), 6).flatten().long()
    assert sorted(read[:12].tolist()) == sorted(read[12:].tolist()) == list(range(12))
    assert read[:12].tolist() != read[12:].tolist()


def test_a_batch_goes_over_the_end_of_an_epoch():
    """10 items in batches of 4: the third batch holds the last 2 of an epoch and the first 2 of the next."""
    order = [permutation(10, 0, "D", "order", epoch) for epoch in (0, 1)]
    read = drain(Reader(points(10), (0, "D"), batch_rows=4), 5).flatten().long()
    assert read.tolist() == [*order[0], *order[1]]


def test_the_order_depends_on_the_key_alone():
    first, same, other = (drain(Reader(points(50), key, batch_rows=4), 10) for key in ((0, "D"), (0, "D"), (0, "G")))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("make", [points, Streamed])
def test_the_parts_of_a_batch_make_up_the_global_batch(make):
    whole = drain(Reader(make(), (3,), batch_rows=8), 5, rows=8)
    parts = drain(Reader(make(), (3,), batch_rows=8), 5, rows=2, parts=4)
    assert torch.equal(whole, parts)


def test_reading_does_not_move_the_position_and_a_set_position_resumes():
    through = Reader(points(), (0,), batch_rows=4)
    drain(through, 7)
    again = Reader(points(), (0,), batch_rows=4)
    again.position = through.position
    assert torch.equal(again.get(4)["x"], again.get(4)["x"])
    assert torch.equal(drain(again, 3), drain(through, 3))


def test_a_batch_of_more_than_two_epochs_is_read_all_the_same():
    reader = Reader(points(3), (0,), batch_rows=3)
    reader.position = 2
    assert torch.equal(
        reader.get(11)["x"].flatten(), drain(Reader(points(3), (0,), batch_rows=3), 13, rows=1).flatten()[2:]
    )


def test_a_batch_that_two_phases_ask_for_is_decoded_once():
    data = Streamed()
    asked = []
    batch = data.batch
    data.batch = lambda indices, draws: asked.append(1) or batch(indices, draws)
    reader = Reader(data, (0,), batch_rows=4)
    assert torch.equal(reader.get(4)["x"], reader.get(4)["x"])
    assert len(asked) == 1


def test_images_become_floats_of_the_default_type_from_minus_one_to_one():
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(1, 3, 1, 1)
    data = InMemory(
        {"x": pixels, "label": torch.tensor([7])}, {"x": Space("image", (3, 1, 1)), "label": Space("labels", (), 8)}
    )
    batch = Reader(data, (), batch_rows=1).get(1)
    torch.testing.assert_close(batch["x"].flatten(), torch.tensor([-1.0, -0.6, 1.0]))
    assert batch["x"].flatten()[[0, 2]].tolist() == [-1.0, 1.0]
    assert batch["label"].tolist() == [7]
    torch.set_default_dtype(torch.float64)
    try:
        assert Reader(data, (), batch_rows=1).get(1)["x"].dtype == torch.float64
        assert Reader(points(), (), batch_rows=1).get(1)["x"].dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_set_smaller_than_a_batch_is_refused_with_both_numbers():
    with pytest.raises(DataError, match=r"10 items, fewer than one batch of 16; set train.batch_size"):
        Reader(points(), (), batch_rows=16)


def test_read_items_gives_all_items_in_their_order():
    assert torch.cat([b["x"] for b in read_items(points(), rows=4)]).flatten().tolist() == list(range(10))
    assert torch.cat([b["x"] for b in read_items(points(), [3, 1])]).flatten().tolist() == [3, 1]


def test_item_draws_do_not_depend_on_the_batch():
    together = ItemDraws((1,), np.array([0, 0, 1]), np.array([4, 5, 4])).uniform("crop", 2)
    alone = ItemDraws((1,), np.asarray(0), np.array([5])).uniform("crop", 2)
    assert np.array_equal(together[1:2], alone)
    assert not np.array_equal(together[0], together[2])


def test_fingerprints_tell_data_and_settings_apart():
    x = torch.arange(4)
    assert fingerprint(x, 1) == fingerprint(x.clone(), 1)
    assert (
        len(
            {
                fingerprint(x, 1),
                fingerprint(x, 2),
                fingerprint(x + 1, 1),
                fingerprint(x.reshape(2, 2), 1),
                fingerprint(x.float(), 1),
            }
        )
        == 5
    )
    assert fingerprint(["a", "b"]) != fingerprint(["a"], "b")


def test_classes_are_selected_by_name_or_number_in_the_order_given():
    names = ["cat", "dog", "horse"]
    assert selected_classes(names, None) == [0, 1, 2]
    assert selected_classes(names, ["horse", 0]) == [2, 0]


def test_a_number_that_is_a_classs_name_is_that_class_and_what_it_is_otherwise_is_said():
    """Folders 1, 2, 3 and 10 are sorted as text: number 1 from 0 on is the folder 10."""
    names = ["1", "10", "2", "3"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert selected_classes(names, [1, 10, 2]) == [0, 1, 2]
        assert selected_classes(["001", "002", "010"], [1, 10]) == [0, 2]
        assert selected_classes(["cat", "1", "dog"], [0, 1]) == [0, 1]
        assert selected_classes(["01", "1"], [1]) == [1]
        assert selected_classes(["01", "001"], [1]) == [1], "both are 1, so it is a place"
    with pytest.warns(UserWarning, match="no class is called 0; it is taken as a number from 0 on, of the class 1"):
        assert selected_classes(names, [0]) == [0]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ([], "the list is empty"),
        (["hors"], "did you mean 'horse'"),
        ([3], "0 to 2, called cat, dog, horse"),
        (["dog", 1], "named twice"),
        (["x"], "there are cat, dog"),
    ],
)
def test_classes_that_cannot_be_selected_are_refused(wanted, message):
    with pytest.raises(DataError, match=message):
        selected_classes(["cat", "dog", "horse"], wanted)

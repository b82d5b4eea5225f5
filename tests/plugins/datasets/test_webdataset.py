"""Data set webdataset: shards that the webdataset library writes, on the disk and on a server."""

import functools
import http.server
import io
import json
import tarfile
import threading

import pytest
import torch
from PIL import Image
from webdataset import TarWriter

from ganrun.catalog.catalog import Catalog
from ganrun.data.reader import Reader
from ganrun.errors import DataError
from ganrun.recipe import load_recipe
from ganrun.words.spaces import DataFiles
from ganrun_plugins.datasets._shards import expanded
from ganrun_plugins.datasets.webdataset import WebDataset


def png(level):
    file = io.BytesIO()
    Image.new("L", (8, 8), level).save(file, "PNG")
    return file.getvalue()


def write(folder, shards=3, each=4):
    """Shards of grey images, whose level is their number, with a class and a caption."""
    for shard in range(shards):
        with TarWriter(str(folder / f"data-{shard:03}.tar"), encoder=False) as writer:
            for number in range(shard * each, (shard + 1) * each):
                about = json.dumps({"colour": ["red", "blue"][number % 2]}).encode()
                members = {"png": png(number), "cls": str(number % 3).encode(), "json": about}
                writer.write({"__key__": f"{number:05}", **members})


def shards(folder, split="train", **parameters):
    return WebDataset(DataFiles(folder, folder / "cache"), split, size=8, channels=1, **parameters)


def levels(data, key=("test",)):
    reader = Reader(data, key, batch_rows=len(data))
    batch = reader.get(len(data))
    return batch["x"][:, 0, 0, 0].add(1).mul(127.5).round().int().tolist(), batch.get("label")


@pytest.fixture
def server(tmp_path):
    """A web server of a folder; ``asked`` are the paths that were requested."""
    folder, asked = tmp_path / "served", []
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder)) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{made.server_port}", asked
        made.shutdown()


def test_local_shards_are_read_at_any_place(tmp_path):
    write(tmp_path)
    for pattern in (".", "data-{000..002}.tar"):
        train, test = (shards(tmp_path, split, shards=pattern, label="cls") for split in ("train", "test"))
        (of_train, label), (of_test, _) = levels(train), levels(test)
        assert sorted(of_train + of_test) == list(range(12))
        assert len(of_test) == 1
        assert label.tolist() == [level % 3 for level in of_train]
        assert train.classes == ["0", "1", "2"]


def test_a_label_may_be_an_entry_of_json(tmp_path):
    write(tmp_path)
    data = shards(tmp_path, shards=".", label="json:colour", test_fraction=0)
    found, label = levels(data)
    assert data.classes == ["blue", "red"]
    assert label.tolist() == [1 - level % 2 for level in found]


def test_streamed_shards_come_in_their_order_and_the_last_is_for_testing(tmp_path, server):
    folder, address, _ = server
    write(folder)
    train, test = (shards(tmp_path, split, shards=f"{address}/data-{{000..002}}.tar") for split in ("train", "test"))
    assert train.order == "sequential"
    assert levels(train)[0] == list(range(8))
    assert levels(test)[0] == list(range(8, 12))


def test_streamed_shards_are_fetched_when_they_come_up_and_few_are_kept(tmp_path, server):
    folder, address, asked = server
    write(folder, shards=5, each=2)
    (folder / "sizes.json").write_text(json.dumps({f"data-{n:03}.tar": 2 for n in range(5)}))
    data = shards(tmp_path, shards=f"{address}/data-{{000..004}}.tar", keep=2)
    assert (len(data), asked) == (8, ["/sizes.json"])
    reader = Reader(data, ("test",), batch_rows=2)
    reader.position = 4
    assert reader.get(2)["x"][:, 0, 0, 0].add(1).mul(127.5).round().int().tolist() == [4, 5]
    assert asked == ["/sizes.json", "/data-002.tar"], "nothing before the place where a run resumes is fetched"
    assert levels(data)[0] == list(range(8))
    assert len(list((tmp_path / "cache" / "shards").glob("*.tar"))) == 2


def test_a_run_on_shards_resumes_to_the_same_samples(tmp_path):
    write(tmp_path)
    data = shards(tmp_path, shards=".", test_fraction=0)
    whole, later = (
        Reader(data, ("key",), batch_rows=4),
        Reader(shards(tmp_path, shards=".", test_fraction=0), ("key",), batch_rows=4),
    )
    for _ in range(5):
        whole.advance(4)
    later.position = whole.position
    assert torch.equal(whole.get(4)["x"], later.get(4)["x"])


def test_workers_read_shards_to_the_same_samples(tmp_path):
    write(tmp_path)
    data = shards(tmp_path, shards=".", test_fraction=0)
    alone, helped = Reader(data, ("key",), batch_rows=4), Reader(data, ("key",), batch_rows=4, workers=2)
    for _ in range(4):
        assert torch.equal(alone.get(4)["x"], helped.get(4)["x"])
        alone.advance(4)
        helped.advance(4)
    helped.close()


@pytest.mark.parametrize(
    ("make", "parameters", "said"),
    [
        (lambda f: None, {"shards": "."}, "it holds no .tar files"),
        (lambda f: (f / "a.tar").write_bytes(b"<html>" * 200), {"shards": "a.tar"}, "uncompressed tar file"),
        (lambda f: tarfile.open(f / "a.tar", "w").close(), {"shards": "a.tar"}, "no member ends in .jpg"),
        (write, {"shards": ".", "image": "jpg"}, "its members end in cls, json, png"),
        (write, {"shards": ".", "label": "txt"}, "it has no label"),
        (write, {"shards": ".", "label": "json:size"}, "label cannot be read"),
        (write, {"shards": "data-{002..000}.tar"}, "names no shard"),
    ],
)
def test_what_cannot_be_read_is_refused_in_words(tmp_path, make, parameters, said):
    make(tmp_path)
    with pytest.raises(DataError, match=said):
        shards(tmp_path, **parameters)


def test_a_broken_image_is_named_by_shard_and_sample(tmp_path):
    with TarWriter(str(tmp_path / "a.tar"), encoder=False) as writer:
        for number in range(3):
            writer.write({"__key__": str(number), "png": png(number) if number != 1 else b"no picture"})
    with pytest.raises(DataError, match=r"a\.tar, sample 1: cannot be read as an image"):
        levels(shards(tmp_path, shards="a.tar", test_fraction=0))


def test_a_class_that_is_not_listed_is_refused(tmp_path):
    write(tmp_path)
    with pytest.raises(DataError, match="label '2' is none of 0, 1; set `classes` to all"):
        levels(shards(tmp_path, shards=".", label="cls", classes=["0", "1"], test_fraction=0))


def test_patterns_with_several_numbers_name_all_shards(tmp_path):
    files = DataFiles(tmp_path, tmp_path)
    assert expanded("http://x/{0..1}/a-{08..10}.tar", files) == [
        f"http://x/{folder}/a-{number}.tar" for folder in (0, 1) for number in ("08", "09", "10")
    ]


def test_a_recipe_reads_shards(tmp_path):
    write(tmp_path)
    recipe = {
        "variant": "gan",
        "dataset": {"webdataset": {"shards": str(tmp_path), "size": 8}},
        "generator": "mlp",
        "discriminator": "mlp",
    }
    assert load_recipe(recipe, catalog=Catalog()).dataset.name == "webdataset"

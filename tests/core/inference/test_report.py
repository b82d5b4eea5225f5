"""A run as one page."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from ganrun import api
from ganrun.catalog.catalog import Catalog
from ganrun.inference.record import read_record
from ganrun.inference.report import PAGE_BYTES, report, spread

RECIPE = {
    "variant": "gan",
    "dataset": {"digits": {"size": 8}},
    "generator": {"mlp": {"widths": [8]}},
    "discriminator": {"mlp": {"widths": [8], "norm": "none"}},
    "tricks": [{"r1": {"gamma": 0.5}}],
    "evaluators": [{"frechet-distance": {"features": "random-conv", "samples": 64, "every": 2}}],
    "train": {"steps": 4, "batch_size": 4, "device": "cpu", "threads": 1},
    "observers": [{"metrics-log": {"every": 1}}],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return api.run(RECIPE, output=tmp_path_factory.mktemp("report") / "my run").folder


def test_the_page_has_everything_and_asks_no_other_host(folder):
    page = report(read_record(folder), Catalog())
    for text in (
        "my run: gan on digits",
        "finished: 4 steps",
        "frechet-distance[random-conv]",
        "losses of discriminator",
        "tricks.r1.gamma: 0.5",
        "train.batch_size: 64 -&gt; 4",
        "ganrun recipe &#39;",
        "data:image/",
    ):
        assert text in page, text
    assert not re.search(r"(?:src|href)=.?(?:https?:)?//", page)
    assert "https://" not in page


def test_curves_are_plain_numbers_that_a_browser_reads(folder):
    page = report(read_record(folder), Catalog())
    charts = [json.loads(text) for text in re.findall(r'<script type="application/json">(.*?)</script>', page)]
    losses = next(curves for curves in charts if curves[0]["name"].endswith(".real"))
    assert losses[0]["steps"] == [1, 2, 3, 4]
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    named = next(name for name in lines[0] if name.startswith("discriminator/") and name.endswith(".real"))
    assert losses[0]["values"] == pytest.approx([line[named] for line in lines], rel=1e-5)


def test_names_from_a_folder_cannot_become_markup(tmp_path):
    run = tmp_path / "<script>alert(1)</script>"
    run.mkdir(parents=True)
    (run / "recipe.yaml").write_text("variant: '</pre><script>x</script>'\ndataset: d\n")
    (run / "metrics.jsonl").write_text(json.dumps({"step": 1, "a/</script><b>": 1.0}) + "\n")
    page = report(read_record(run), Catalog())
    assert "<script>alert" not in page
    assert "<script>x" not in page
    assert "</script><b>" not in page


def test_many_large_pictures_are_thinned_until_the_page_is_small_enough(tmp_path):
    run = tmp_path / "run"
    (run / "samples").mkdir(parents=True)
    (run / "recipe.yaml").write_text("variant: gan\ndataset: ring\n")
    noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3), dtype=np.uint8)
    for step in range(1, 41):
        Image.fromarray(np.roll(noise, step)).save(run / f"samples/step-{step:07d}.png")
    (run / "samples/step-0000041.png").write_bytes(b"broken")
    page = report(read_record(run), Catalog())
    assert len(page.encode()) <= PAGE_BYTES
    assert "of 41 pictures; all are in run/samples" in page
    assert "step-0000041.png: cannot identify image file" in page
    assert 'step 1"' in page


def test_items_are_spread_with_both_ends():
    assert spread(list(range(10)), 4) == [0, 3, 6, 9]
    assert spread([1, 2], 4) == [1, 2]
    assert spread([1, 2, 3], 1) == [3]

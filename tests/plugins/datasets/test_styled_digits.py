"""Styled digits: one style or several attributes for each scan, and what makes no sense."""

from collections import Counter

import numpy as np
import pytest
import torch

from ganrun.errors import DataError
from ganrun_plugins.datasets._scans import load_scans, resized
from ganrun_plugins.datasets.styled_digits import StyledDigits, styled


def test_each_scan_is_in_one_style_and_every_style_is_as_frequent(files):
    styles = ["plain", "bold", "slanted", "inverted", "outlined"]
    data = StyledDigits(files, "train", size=8, styles=styles)
    assert Counter(data.tensors["label"].tolist()) == {0: 180, 1: 180, 2: 180, 3: 180, 4: 179}
    scans = resized(load_scans("train")[0], 8)
    for row in range(0, 899, 100):
        style = styles[data.tensors["label"][row]]
        assert torch.equal(data.tensors["x"][row : row + 1], styled(scans[row : row + 1], [style]))


def test_styles_that_go_together_are_applied_with_the_inversion_last():
    scan = torch.zeros(1, 1, 9, 9, dtype=torch.uint8)
    scan[0, 0, 4, 4] = 200
    bold = styled(scan, ["bold"])
    assert torch.equal(styled(scan, ["plain"]), scan)
    assert int((bold == 200).sum()) == 9
    assert torch.equal(styled(scan, ["inverted", "bold"]), 255 - bold)
    outline = styled(scan, ["outlined"])
    assert (int(outline[0, 0, 4, 4]), int((outline == 200).sum())) == (0, 8)
    stroke = torch.zeros(1, 1, 9, 9, dtype=torch.uint8)
    stroke[0, 0, :, 4] = 200
    centre = (styled(stroke, ["slanted"])[0, 0].double() * torch.arange(9)).sum(1) / styled(stroke, ["slanted"])[
        0, 0
    ].double().sum(1)
    assert float(centre[2] - centre[6]) == pytest.approx(4 * np.tan(np.radians(25)), abs=0.2)


def test_attributes_go_together_in_every_combination(files):
    data = StyledDigits(files, "test", size=8, styles=["bold", "slanted", "inverted"], attributes=True)
    counts = Counter(map(tuple, data.tensors["attributes"].tolist()))
    assert len(counts) == 8
    assert max(counts.values()) - min(counts.values()) <= 1
    row = next(i for i, bits in enumerate(data.tensors["attributes"].tolist()) if bits == [1, 0, 1])
    scan = resized(load_scans("test")[0][row : row + 1], 8)
    assert torch.equal(data.tensors["x"][row : row + 1], styled(scan, ["bold", "inverted"]))
    assert data.label_names == {"attributes": ["bold", "slanted", "inverted"]}


def test_even_and_odd_scans_are_different_ones(files):
    sets = [StyledDigits(files, "train", size=8, styles=["plain"], scans=which) for which in ("even", "odd")]
    seen = [{x.numpy().tobytes() for x in data.tensors["x"]} for data in sets]
    assert (len(sets[0]), len(sets[1])) == (450, 449)
    assert not seen[0] & seen[1]


def test_a_limit_keeps_training_images_that_are_evenly_spread(files):
    whole, some = (StyledDigits(files, "train", size=8, styles=["bold"], limit=limit) for limit in (None, 3))
    assert torch.equal(some.tensors["x"], whole.tensors["x"][[0, 299, 599]])  # of 899: 0, 899 / 3, 2 * 899 / 3
    assert len(StyledDigits(files, "test", size=8, styles=["bold"], limit=3)) == 898


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        ({"styles": ["bold", "bold"]}, "named twice"),
        ({"styles": ["plain", "bold"], "attributes": True}, "plain is an image without any attribute"),
    ],
)
def test_styles_that_make_no_sense_are_refused(files, parameters, why):
    with pytest.raises(DataError, match=why):
        StyledDigits(files, "train", **parameters)

"""Whether a device computes in bfloat16 itself, and what is said if not."""

import pytest
import torch

from ganrun.catalog.catalog import Catalog
from ganrun.errors import UserError
from ganrun.experiment.precision import computes_bfloat16
from ganrun.recipe import load_recipe


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("processor\t: 0\nflags\t\t: fpu sse2 avx2 avx512f\n", False),
        ("processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16\n", True),
        ("flags: fpu amx_tile amx_bf16 amx_int8\n", True),
        ("Features\t: fp asimd\n", False),
        ("Features\t: fp asimd bf16\n", True),
        ("vendor: unknown\n", True),
    ],
)
def test_linux_says_whether_a_cpu_has_units_for_bfloat16(tmp_path, text, found):
    (tmp_path / "cpuinfo").write_text(text)
    assert computes_bfloat16(torch.device("cpu"), tmp_path / "cpuinfo") == found
    assert computes_bfloat16(torch.device("cpu"), tmp_path / "none"), "where nothing is known nothing is said"


def test_bfloat16_that_is_only_imitated_is_warned_of(tiny, make_run, monkeypatch):
    monkeypatch.setattr("ganrun.training.batch.computes_bfloat16", lambda device: False)
    (warning,) = make_run(tiny(train={"precision": "bfloat16"})).experiment.warnings
    assert str(warning).startswith("train.precision bfloat16: this CPU has no units for it")
    assert warning.instead == "--set train.precision=float32"
    assert not make_run(tiny()).experiment.warnings


def test_float16_is_refused_with_the_reason_and_what_to_take(tiny):
    with pytest.raises(UserError, match=r"train.precision: float16 overflows at 65,504.*bfloat16 is as fast"):
        load_recipe(tiny(train={"precision": "float16"}), catalog=Catalog())

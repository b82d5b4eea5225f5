"""As many samples as published tables take fit into the memory of a laptop."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "scripts" / "scores_many.py"
MOST = 2048  # MiB
SECONDS = 90  # of one core


@pytest.mark.slow
def test_fifty_thousand_samples_on_2048_features_are_scored_in_2_gib(tmp_path):
    """Features of both sides are 2 x 50,000 x 2,048 x 4 bytes = 781 MiB, and Python with torch takes about 540 before
    it does anything.
    """
    # A process begins with the peak of the one that starts it: here a small one, and not that of all these tests.
    small = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:], check=False).returncode)"
    script = [sys.executable, str(SCRIPT), str(tmp_path), "frechet-distance", "kernel-distance"]
    words = [sys.executable, "-c", small, *script]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"peak {found['peak']:.0f} MiB, {found['before']:.0f} of them before; {found['cpu']:.0f} s")
    assert found["samples"] == 50_000
    assert found["frechet-distance"]["frechet-distance[waves]"] > 1, (
        "the two sets of pictures differ in their darkest grey, and are finite"
    )
    assert "kernel-distance[waves]" in found["kernel-distance"]
    assert found["peak"] > 540 + 600, "it was there: nothing was cut to fewer samples"
    assert found["peak"] < MOST
    assert found["cpu"] < SECONDS

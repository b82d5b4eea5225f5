"""What some tests need of the machine."""

import os
import shutil
import subprocess

import pytest


def network_namespaces() -> bool:
    """Whether this system lets us make hosts that have a network of their own."""
    name, words = f"ganrun-{os.getpid()}", ("ip", "netns")
    if shutil.which("ip") is None or subprocess.run([*words, "add", name], capture_output=True, check=False).returncode:
        return False
    subprocess.run([*words, "delete", name], capture_output=True, check=False)
    return True


def permitted(present: bool, what: str) -> pytest.MarkDecorator:
    """Skip a test of what a system does not permit, under CI, too: nothing that CI installs could change it.

    ``.ci/run`` says so then, besides pytest.
    """
    return pytest.mark.skipif(not present, reason=f"not permitted here: {what}")


def needs(present: bool, what: str) -> pytest.MarkDecorator:
    """Skip a test where what it needs is missing; under CI (``CI=true``) it is not skipped, and fails."""
    return pytest.mark.skipif(not present and os.environ.get("CI") != "true", reason=f"needs {what}")

"""What some tests need of the machine."""

import os

import pytest


def needs(present: bool, what: str) -> pytest.MarkDecorator:
    """Skip a test where what it needs is missing; under CI (``CI=true``) it is not skipped, and fails."""
    return pytest.mark.skipif(not present and os.environ.get("CI") != "true", reason=f"needs {what}")

"""Contract checks: what every plugin of a kind has to keep, for pytest.

Write in a test file::

    from ganrun.testing import parametrize_with_checks

    @parametrize_with_checks(["loss.mine", "trick.mine"], expected_failures={"check_source": "unpublished"})
    def test_contract(plugin, check):
        check(plugin)

The built-in plugins run through the very same checks. A check is a function of one :class:`Plugin` that raises
AssertionError; :func:`checks_of` lists those that apply to a plugin.
"""

from ganrun.testing.parametrize import checks_of, parametrize_with_checks, quick_problems
from ganrun.testing.plugin import Example, Plugin, made

__all__ = ["Example", "Plugin", "checks_of", "made", "parametrize_with_checks", "quick_problems"]

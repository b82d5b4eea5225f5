"""Errors that are the user's to mend: printed as they are, without a traceback."""

from __future__ import annotations


class UserError(Exception):
    """Says where, what is wrong and how to mend it. The command line prints it and ends with ``exit_code``."""

    exit_code = 2


class PluginError(UserError, ValueError):
    """A plugin that is not there, or is broken: names the plugin, its distribution and version, and the cause."""

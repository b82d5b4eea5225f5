"""What can be known before a run: shapes, refusals, time."""

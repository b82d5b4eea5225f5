"""Reading real data."""

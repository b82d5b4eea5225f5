"""A run: built, trained, saved, gone back with."""

"""Samples outside training."""

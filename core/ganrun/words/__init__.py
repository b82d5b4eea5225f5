"""The words of a training step, as classes."""

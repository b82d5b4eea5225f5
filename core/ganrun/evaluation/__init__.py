"""What evaluators see, and where scores are from."""

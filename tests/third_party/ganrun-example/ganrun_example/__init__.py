"""A loss and tricks for ganrun, in a distribution of their own."""

"""A loss and a trick for ganrun, in a distribution of their own."""

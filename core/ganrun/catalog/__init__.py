"""Finding plugins, and reading modules without importing them."""

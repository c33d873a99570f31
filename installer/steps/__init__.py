"""The steps of an install: each one wanted state of the node, with a check that looks and an apply that changes."""

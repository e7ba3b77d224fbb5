"""The champion transition and the signed statements that its facts come from."""

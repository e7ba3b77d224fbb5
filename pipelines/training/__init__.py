"""Training: from a dataset version to a registered adapter version with signed lineage."""

"""Datasets: importers, measuring, checks, quarantine, versions, golden sets; DVC and Great Expectations."""

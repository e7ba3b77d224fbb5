"""Ledger entries: their form, their chain and the checkpoint file."""

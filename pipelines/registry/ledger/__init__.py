"""The ledger: its entries, the check of its chain, and the checkpoint file outside the database."""

"""The ledger in the registry's database."""

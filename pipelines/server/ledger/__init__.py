"""The ledger in the registry's database: its tables, one transaction, the trusted keys."""

"""The ledger in the registry's database: its tables, the ledger transaction, the trusted keys."""

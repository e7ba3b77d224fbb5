"""The ledger in the registry's database: `ledger_tables`, `transaction`, `trusted_keys`."""

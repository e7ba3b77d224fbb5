"""The ledger without a database: `entry` (one event), `chain` (check a whole one), `ledger_checkpoint` (the file)."""

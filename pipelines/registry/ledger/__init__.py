"""The ledger without a database: `entry` (one event), `site_moves`, `chain` and `ledger_checkpoint`.

`chain` checks a whole ledger; `ledger_checkpoint` is the file that says how long it is.
"""

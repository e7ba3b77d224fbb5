"""The ledger without a database: `entry` (one event), `chain` (check a whole ledger), `ledger_checkpoint` (the file).

>>> from pipelines.registry.ledger.entry import Head
>>> Head().seq
0
"""

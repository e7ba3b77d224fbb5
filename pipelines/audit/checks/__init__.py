"""The checks of a verification, by branch of the tree: each computes again from the bytes and returns facts.

`bundle_checks`, `data_checks`, `ledger_checks`, `statement_checks`
"""

"""Rows and bytes below the transitions.

`locked_store`      MLflow's registry store with ledger transactions
`version_rows`, `override_requests`   rows about versions and about overrides
`frozen_folders`, `artifact_bytes`    folders that stay as they are; the bytes at a location
"""

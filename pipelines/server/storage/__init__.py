"""Rows and bytes below the transitions; `locked_store` has MLflow's registry store with ledger transactions."""

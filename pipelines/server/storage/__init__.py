"""Rows and bytes below the transitions: `locked_store`, `version_rows`, `override_requests`, `artifact_bytes`, `kept_rows`."""

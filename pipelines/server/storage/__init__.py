"""Below the transitions: `locked_store`, `version_rows`, `kept_rows`, `override_requests`, `artifact_bytes`."""

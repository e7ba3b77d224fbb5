"""Below the transitions: `locked_store`, `version_rows`, `kept_rows`, `override_requests`, `worker_rows`.

`artifact_bytes` is the artifact store, `bucket_objects` what it needs of one on S3.
"""

"""Below the transitions: the database and the artifact store.

`locked_store`, `version_rows`, `kept_rows`, `override_requests`, `worker_rows`, `box_rows` are about the database.

`artifact_bytes` is the artifact store, `bucket_objects` what it needs of one on S3.
"""

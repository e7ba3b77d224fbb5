"""Below the transitions: the database's rows, and the bytes of the artifact store.

`locked_store`, `version_rows`, `trash_rows`, `kept_rows`, `override_requests`, `worker_rows`, `template_rows`,
`box_rows`, `serving_rows` and `site_entries` are about rows; `artifact_bytes` is the artifact store, `bucket_objects`
what it needs of one on S3.
"""

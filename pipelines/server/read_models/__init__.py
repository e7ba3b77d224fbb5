"""What pages and API show, read in a fixed number of queries from the tables of the registry and of the runs.

`signed_records`     entries of the ledger, signed verdicts and lineages
`adapter_history`    every adapter ever registered and every champion period, for the audit
`mlflow_tables`      versions with tags and aliases, and training runs
`by_version`         rows on many versions in one query
`grid`, `slot_page`, `dependents`, `drift`   what the pages are made of
`backbone_change`    every champion with its backbone, data and training, for a plan
`decision`           what a person who decides reads of a slot
`answers`            the golden clips with the answers of two systems, from `gate_evidence`, with `word_marks`
`version_comparison` two versions side by side
`registry_metrics`   counts of the registry, for Prometheus
`site_audio`         the monitor of a slot: curves, decisions, reports
`site_boxes`         what the boxes of a site run, compared with the champions
`serving_hosts`      the recorded `elp serve` of the workspace
`health`             what needs a person, from the grid, the disks and `flow_health`, which asks Prefect
"""

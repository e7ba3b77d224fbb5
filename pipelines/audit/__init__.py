"""Answers about adapters from the server's records and from the bytes, and their verification.

`server_records`     adapters, champion periods, ledger entries and statements, asked of the server
`data_index`         the SQLite index of the workspace's clips and speakers; deleted, it is built again
`trained_on`         every dataset version, adapter and champion trained on a person or a recording
`champion_periods`   the champions at a moment, and every adapter on a backbone
`erasure_plan`       what an erasure needs, in order; `kept_after_erasure` what it does not remove
`replacement_steps`  what it needs for the adapters of a slot
`adapter_records`    the statements and ledger entries about one adapter
`adapter_tree`       the tree of one adapter, from its records and the index
`learned_from`       the adapters that one learned from, recorded and checked
`verify`, `checks`   the same tree, computed again from the bytes branch by branch
`audit_phrases`      phrases that several of them say
`facts`, `tables`, `bill_of_materials`   the answers as tree, tables, HTML and CycloneDX
"""

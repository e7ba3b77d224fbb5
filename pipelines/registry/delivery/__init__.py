"""What a site's boxes get, as server, boxes and offline signers share it.

`site_set`             the adapters of a site at one moment, and the paths of their files
`delivered_statements` the check of what was signed about an adapter
`delivery_metadata`    TUF metadata: names of roles, reading, the keys that the root names for statements
`root_ceremony`        drafts of the offline root and of its list of sites, their signatures, their check
`published_root`       the roots that the server hands out
`delivery_keys`        the server's keys for metadata, and key files of offline signers
`box_report`           what a box says it runs, signed by the box
`serving_report`       what an `elp serve` says it answers with
"""

"""Drop folders and bucket prefixes: which deliveries wait, which are complete, and taking each in exactly once.

`inbox_entry`           what is in an inbox: one delivery, its files, its fingerprint; which names are no deliveries
`inbox_records`         the records that an inbox keeps: claims, refusals, deliveries that were taken in
`inbox_looks`           what this machine has seen at earlier looks, and since when
`delivery_completeness` whether a delivery is complete: a stable listing, a marker, or a manifest of digests
`folder_listing`        list a folder
`folder_inbox`, `bucket_inbox`   the two kinds of inbox: a folder (claims are renames), an S3 prefix (conditional puts)
`folder_records`        the files of the records in a folder
`bucket_client`         the requests to an S3 store
`slot_inbox`            the inbox of a slot of a workspace, opened; a folder that is not there is an error
`take_deliveries`       take in what is complete; finish what a killed run began
`request_delivery`      a logged request of `elp serve` as a delivery (`pipelines.request_log`)
`inbox_status`          what waits, is incomplete, claimed, refused and taken, for people
"""

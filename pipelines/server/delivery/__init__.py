"""Deliver the champions of a site to its boxes: signed metadata that are made when a box asks, and the files.

`delivery_routes`     metadata and targets under /elp/api/v1/delivery, with who may ask for them
`box_routes`          boxes are invited, enrolled and revoked, and send reports: `box_enrolment`
`serving_routes`      servers of requests, of boxes and of the registry, say what they serve
`published_files`     the files of the bundles and the envelopes by their target path
`publish_metadata`    new metadata if the champions changed, by the server's keys
`champion_sets`       the champions of each site with their statements, from the database
"""

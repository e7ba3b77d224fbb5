"""Answers about adapters, from the records and from the bytes: where from, who learned from whom, what to forget.

`index`      the SQLite file in the workspace's cache that makes the answers quick; thrown away, it is built again
`data`       brings the index up to date with Git and the DVC remote: versions, shards, clips, speakers
`registry`   brings it up to date with the server: the ledger and the lineage statements
`learned`    every dataset version, adapter and champion that learned from a person or a recording
`reigns`     what was champion when, and every adapter on a backbone
`records`    the tree of one adapter, from its statements and the ledger
`verify`     the same tree with everything computed again from the bytes (`checks`: branch by branch)
`forget`     what an erasure takes, in order
`sheet`      an answer as headed tables; `page` makes HTML of it, `bom` a CycloneDX bill of materials
"""

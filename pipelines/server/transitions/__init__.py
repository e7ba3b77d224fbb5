"""The champion transition: `version_facts` reads, `rules` decides, `champion_transition` changes, `projection` shows.

`site_migration` moves all champions of a site to another backbone and back, in one entry each.
`record_statement` takes in the signed statements that the facts come from.
"""

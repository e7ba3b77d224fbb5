"""The champion transition: `version_facts` reads, `rules` decides, `champion_transition` changes, `projection` shows.

`record_statement` takes in the signed statements that the facts come from.
"""

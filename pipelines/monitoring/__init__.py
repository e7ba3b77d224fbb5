"""Monitoring: whether the audio that a site sends is still like the golden set of its slot.

`block_scores`      measurements of clips to one value for each session or speaker
`feature_distance`  how far the backbone's features of a block are from the usual ones
`change_detector`   ranks of these values against a fixed reference: evidence of a change, with a bound on false alarms
`fleet_alarms`      the alarm of a slot, and the changed slots of a fleet
"""

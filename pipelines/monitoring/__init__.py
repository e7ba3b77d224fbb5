"""Monitoring: whether the audio that a site sends is still like the golden set of its slot.

`monitor_slot`      one look: measure what a site sent, compare, record; restart after an alarm
`sent_audio`        a folder or a manifest, and the session of each recording
`served_audio`      the log of the requests that `elp serve` has answered
`clip_scores`       measurements of clips; the blocks of a golden set
`uncounted_blocks`  the clips of blocks that no earlier look counted
`block_scores`      measurements of clips to one value for each session or speaker
`feature_distance`  how far the backbone's features of a block are from the usual ones
`reference_record`  the scores of the golden set's blocks, measured once and stored by the digest of their sources
`change_detector`   ranks of these values against a fixed reference: evidence of a change, with a bound on false alarms
`fleet_alarms`      the alarm of a slot, and the changed slots of a fleet
`fleet_status`      every monitored slot of a workspace
`error_estimate`    the champion's error without references, or why it is not known
`retrain_decision`  whether a slot is retrained after a look, and why
`labels`, `rate_bound`  the measured error, from references that arrive later, with a bound that holds at every look
`look`, `slot_state`    what a look finds, and what is kept until the next one
`look_list`, `look_report`, `look_run`  the records of looks: a chained list, an HTML page, a run in MLflow
`entry_text`        an entry of that list as a line for people
"""

"""Which recordings of a site to label, and which to label by the champion itself.

`site_recordings` reads a folder of recordings as intake does, and leaves out what the slot has or could not use.
`draft_answers` loads what assesses them: the slot's champion, or the backbone alone. `coverage_pick` is the arithmetic
of the choice, `suggest` the choice of a slot, and `suggestion_files` writes it: a table, and tasks for Label Studio.
`agreement` says when two decodings agree, and `pseudo_label` takes what they agree on into the slot.
"""

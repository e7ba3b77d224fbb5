"""How a slot's adapters answer under simulated conditions that no training uses.

`sweep_slot`     `elp sweep`: a slot's champion, and another version, on its golden set under each condition
`sweep_cells`    the scores under each family and severity, kept by the digest of their inputs
`sweep_result`   degradation, mean and normalised degradation, with intervals
`sweep_report`   the report: HTML in each language with a curve for each family, and JSON
`sweep_words`    its sentences and tables
"""

"""Training: from a dataset version to a registered version with a signed lineage.

`inputs`       data, settings and backbone of one slot's training, and its training key
`provenance`   the training key, what a lineage records of this moment, and its statement to sign
`train`        train one slot or several, each only once
`ranks`        one training in several processes, each a `rank_process`
`starting_point`  where the tensors start; `start_candidates`, `parent_data`, `nearest` find what they can start from
`spoken`       language and units of a recogniser, and the champion that it grows from
`curves`       training curves for MLflow and for the report
`pass_progress`  how far a pass over several slots is
`finished`     finished trainings on this machine, kept until the registry has them
`register`     a finished training becomes a version with a signed lineage
"""

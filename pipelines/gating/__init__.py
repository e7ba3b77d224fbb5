"""The gate: scores of challenger and champion on the golden set give a verdict.

`gate`, `gate_case`   the gate on a registered version: score, measure, decide, keep the evidence, sign
`scored_versions`     the scores of versions on the golden set
`divided_evaluation`, `batch_answers`   a large evaluation in several processes or machines, and what each does
`decide`              the pure decision, from two sets of scores and a policy
`compare`, `interval` two systems on one set of clips; bootstrap intervals
`group_gaps`          the worst and the best group of each key, and the gap between them
`slices`, `operating_point`, `safety`   conditions and groups; rates at a threshold; limits next to the metric's
`simulated_conditions`, `simulated_scores`   both systems under conditions that no training uses; their record
`golden_part`         clips by hash, with trials of both kinds
`measure`, `interference`, `overlap`    size and speed; answers of other slots; golden clips in the training data
`enrolled_voices`     the voices that a promotion invalidates, and their false rejects
`migrated_slot`       a champion on another backbone: only if the ledger states the migration of the site
`normalisers`         the normal forms behind scores, which must agree
`evidence`, `verdict_record`            everything that a verdict follows from; the signed verdict in the registry
`report`, `report_words`, `plots`   the verdict as an HTML page in each language
"""

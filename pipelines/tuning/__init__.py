"""`elp tune`: search for a smaller or a better adapter configuration of a slot, and confirm it on new seeds.

`tune_slot`            the whole: layer weights, search, confirmation, report
`search_space`, `head_space`   what is searched, of the adapter and of the head, and the configuration of a point
`candidate_size`       the trainable parameters of a configuration
`layer_ranking`        the encoder's layers by their learned weights: a short training of L-adapters alone
`tuning_study`, `study_journal`, `study_threads`   the Optuna study; its journal file; trainings at once
`tuning_session`, `tune_request`   the trainings of one process with its time; what it is asked for
`tune_trial`           one training in its own process, scored on the validation split; `trial_store` keeps the results
`validation_halves`, `clip_errors`   on which clips a training stops and is scored; a score for each clip
`finalists`, `confirmation`   the finalists and the present configuration on new seeds, paired
`time_spent`           the minutes that the sessions of a study have used
`child_runs`           each training as a run in MLflow, below the run of the study
`tuning_result`, `tuning_words`, `tuning_report`   what was found, as a record, sentences, and HTML in each language
`apply_settings`       the winner in `elp.yaml`

The golden set is not read: a search on it would leave nothing to judge the adapter with.
"""

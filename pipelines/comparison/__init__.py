"""`elp compare`: the metric and the cost of each method on one slot's data, and the benefit of more audio.

`compare_methods`    the whole comparison; `trial_runner` runs the trials, `method_trial` is one of them, a process
`findings`, `learning_curve`   what the numbers show; the error for an amount of audio
`rate_budget`, `seed_resampling`, `head_rankings`, `repeated_methods`   tuned rates, several seeds, several heads
`method_comparison`, `comparison_report`, `comparison_words`   the record, and its report as JSON, Markdown and HTML
"""

"""Datasets of a slot: intake, checks, versions and golden sets.

A delivery: `importers` read it into `delivery`; a `format_option` is a choice that a format offers. `audio_reader`
reads and hashes its sounds, `each_channel` makes a clip of each channel, `kept_bytes` estimates its size; `measuring`
measures its clips, which `clip_reading` decodes, in `worker_processes`, and `distant_measuring` on other machines;
`clip_rules` and `expectations` evaluate them (`offline_docs` makes their pages work without a network), `group_rules`
those of groups; `checks` decides; `quarantine` keeps bad clips, `refused_delivery` the list of a refused one;
`staging` writes the new clips.
`judged_delivery` does all of this for `ingest`, which stores the result, and for `delivery_plan`, which reports it.
`aligned_delivery` cuts recordings that have one transcript, and `alignment` records it. `transcripts` has the rules on
languages and tags, `slot_language` those on the slot's own language and units, `name_warnings` names that look alike.

Before a delivery: `inspect_source` says what a source is and how to take it in: `source_shape` finds its format and
options, `likely_language` the language of its transcripts.

A version: `dataset_version` has the records (`own_change` that of a change without a delivery), `slot_shards` the
Parquet files, `shard_totals` their figures, `golden_set` the pinned test clips,
`golden_trials` their published trials (`trial_files`), `slot_change` one change as a whole, `shared_branch` the branch
of all machines that it is pushed to; `drop` and its `subject` withdraw clips, `readmit` takes that back, `drop_taught`
drops the pseudo-labels of an adapter; `correct` applies the `corrections` of a file (`clip_words` recognises
earlier words), `renormalise` gives every transcript its `present_form`; `dvc` stores the files, `file_cache` fetches
them, `remote_check` pushes again what the DVC remote lost, and `remote_finding` is its line in `elp doctor`. A change
of stored clips replaces their shards (`shard_rewriting`); `shard_totals` counts what shards hold, and
`validation_summary` is the outcome of the checks in the record.

Splits: `stored_splits` has those of known speakers, `split_filling` places new ones if a split is empty, `resplit`
divides all again (`changed_clips` stores what it and `correct` change). `readiness` says what training and the gate
lack, and `slot_needs` what a slot lacks.

For pages: `data_slots` names the slots that have data, and `slot_data` is what this machine holds of a slot
(`local_files`), read without DVC: the `clip_table` of a version with its figures (`version_summary`), one clip's
`clip_history` and its `clip_sound`, and the `quarantine_page`. `shard_columns` reads what all of them need.

Other rooms import only the read side: `versions`, `dataset_version`, `readiness` and what is for pages.
"""

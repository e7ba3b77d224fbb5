"""`elp gc`: what is stored, what keeps it, and what the policy removes. Mark and sweep with a grace and a trash.

`named_data`       the hashes of data that Git repositories name: versions, golden sets, branches, other repositories
`listings`         the files of tracked folders, by their listings in the remote or in its trash
`data_plan`        the files of the DVC remote: kept or removed, and why
`removal_plan`     the whole plan, of adapters (the server's facts) and of data
`data_trash`       files of the remote into the trash, back, and out of it
`deleted_data`     what the ledger says of deleted files: the entry of each, and which of them an erasure removed
`sweep`            carries a plan out, brings back what is in the trash, and empties it
`subject_files`    the files that hold the recordings of a person: those that are held, and those of an erasure
`held_subjects`    whether a hold names something that exists
"""

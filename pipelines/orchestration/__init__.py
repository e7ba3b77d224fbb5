"""Prefect flows, their deployments and schedules. No arithmetic: each task calls one function of another room.

`flows`, `tasks`     the flows, and their steps as tasks with retries
`tune_flow`          the flow of `elp tune`: each training a task
`migrate_flow`, `migrate_runs`   the flow that trains and judges a slot on another backbone; such runs, found again
`gpu_turn`           the GPU of a run: held until its process ends, or the run goes back to its queue
`run_outcome`        what a run did, as one record for the command line and as a table for Prefect's UI
`deployments`, `schedules`   the flows as deployments with their pools; a deployment for each schedule
`schedule_apply`, `schedule_list`, `slot_deployments`   make Prefect's schedules those of `elp.yaml`; list them
`former_schedules`   the schedules under an earlier address end when those of now are made
`catch_up`, `slot_turn`      late runs after an outage; one run of a slot at a time
`send_back`                  a run that cannot work now goes back to its queue
`outage_turn`                a run whose server, store or disk space is away waits in its queue
`schedule_plan`      the moments at which `schedules:` of `elp.yaml` starts each slot
`prefect_api`, `follow`      Prefect's client as the command line uses it; following a run
`progress_artifact`          how far a run's present step is, in Prefect's UI and for the command line
`slot_groups`        slots that are trained in one pass, and a retraining of such a group
`joined_runs`, `shared_pass`   due runs that are trained in the pass of another run; the pass of several runs
`cancelled_joins`            joined runs that are cancelled during the pass
`slot_progress`      how far a run over several slots is
`workspace_runs`             the runs of a workspace: list, find, log, cancel
`engines`            chunks of a large intake on a Dask or Ray cluster
`ray_folder`         the files of a Ray cluster of a run, and what killed runs have left of theirs
`quick_prefect`      a quicker start of the command `prefect` and of flow runs
`prefect_pages`      the content policy of Prefect's pages
`worker_polling`     a worker asks for as many runs as it can start
`prefect_sqlite`     transactions of Prefect's server wait for their turn on SQLite
`reaper`, `lost_runs`        dead runs are ended and crashed ones started again; which run is dead
`worker_watch`       which workers of other machines are lost
`inbox_watch`        the supervision's looks at the inboxes, and the runs for what arrived
`overdue_runs`       when a run is overdue
`monitor_tasks`, `monitor_source`      the steps of the flow `monitor`; a look, and where it finds the audio
`monitor_retrain`, `retrain_request`   retrainings that a look leads to: the decision; the event and its automation
`operation_metrics`  the figures of the operation, for the metrics of the server
`schedule_watch`     the supervision's looks at the schedules: late runs, new slots, new dates
`supervisor`         the supervision of `elp up`; the messages to people are in the package `alerts`
"""

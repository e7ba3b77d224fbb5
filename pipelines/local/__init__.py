"""The workspace on this machine, and the processes of `elp up`.

`workspace`, `settings`, `report_settings`, `compute_settings`   the folder, and `elp.yaml`
`inbox_settings`, `inbox_places`   `inbox:` in it; inboxes that contain each other
`yaml_splice`        a value set in `elp.yaml`, with all other lines kept
`backbone_records`, `model_card`   `backbones.records:` in it; the licence that a checkpoint's card names
`schedule_settings`, `cron_times`   `schedules:` in it; the moments that a cron expression names
`run_workspace`              the workspace of a flow run, on any machine; the release that it asks for
`running_release`            the release of the servers that run
`git_address`, `address_credentials`, `git_server`  the Git repository that machines share: its address, fetch and push
`initialise`, `git`, `dvc_repository`, `dvc_locks`, `git_locks`   make a workspace; Git and DVC
`host_keys`, `checked_ssh`   the key of the host of a DVC remote over SSH is compared
`lifecycle`, `processes`, `servers`, `service_commands`, `environment`   start and stop servers and workers
`foreground`         `elp up --foreground`: the services live as long as one process
`chosen_ports`, `runs_in_progress`   ports that stay the same; the runs that `elp down` would interrupt
`supervision`, `supervision_guard`   what is started again and when; what starts the supervision again
`interrupted_runs`   flow runs whose process has ended
`service_status`, `addresses`, `http_client`, `prefect_request`   whether they are up, where, and how they are asked
`serving_status`     the serving hosts that report to the server
`gpus`, `gpu_lock`, `gpu_need`   the GPUs of this machine; one GPU, one job; need and work queues
`chunk_processes`    chunks of work in several processes of this machine
`worker_home`, `worker_plan`, `worker_host`, `worker_runs`   `elp worker`: its folder, its Prefect workers, their runs
`slot_backbone`      the backbone of a version, of those that the settings name
`box_home`, `verified_metadata`   the folder of an edge box, and its active set; what it has verified
`state_file`         read back what this program wrote: one sentence if it is damaged
`box_invitation`     invite and revoke edge boxes
`worker_enrol`       invite a worker, and enrol this machine as one
`profiles`, `store_addresses`, `secret_values`   `elp init --profile`: shared databases and stores, and their secrets
`store_checks`, `server_store_checks`   the round trips of `elp doctor`
`accounts`           the files of a server with a login
`former_addresses`   earlier addresses of the workspace, under which Prefect may have something of it
`doctor`             the checks of `elp doctor`
"""

"""The values that all rooms share, and the client of the server. No server, no Prefect.

`slot`, `policies`      the (site, task) pair and its names; the limits that a slot declares
`names`                 the normal form of speakers, labels and conditions; names that look alike
`lineage`, `verdict`    frozen records of where an adapter comes from, and of what the gate decided
`backbone_licence`      which backbones a champion may be on; `known_backbones` has what is published of them
`ancestry`              the adapters that an adapter learned from, through any number of others
`statements`            both as signed in-toto statements (`in_toto`, `verdict_statement`)
`adapter_version`       one version of the registry with its tags, and the `description` that MLflow shows
`slot_description`      the text of a slot's page in MLflow
`registered_adapter`    what the server reports
`backbone_facts`        what it reports for the change of a backbone
`operation_figures`     what the supervision counts, for the metrics of the server
`holds`, `retention`    what must not be deleted until a date; what the policy deletes
`monitor_names`         names of the looks of the monitor in MLflow
`voice_template`        templates of enrolled voices, sealed for one bundle
`worker_request`        names, tokens and signed requests about workers
`signing`, `ledger`     keys and envelopes; ledger entries, their chain and the checkpoint
`client`                the client of the MLflow server and of its API
`pyfunc`                the code that MLflow stores next to a bundle
`evidence_scores`, `plain_json`           the stable parts of the evidence; values in the types of JSON

>>> from pipelines.registry.slot import Slot
>>> slot = Slot.parse("plant-a/asr")
>>> slot.model_name, str(slot.folder), slot.tag(3)
('elp.plant-a.asr', 'data/plant-a/asr', 'data/plant-a/asr/v3')
"""

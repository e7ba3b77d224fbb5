"""The client of the MLflow server.

`connection`      the login, MLflow's client, and the errors for its failures
`model_registry`  versions: list, find by training key, register
`bundle_models`   bundles as MLflow models: upload and download
`model_interface` the signature of a model, and an example of its input
`runs`            training runs: parameters, curves, inputs, artifacts
`server_api`      the server's own API: statements, ledger entries, champion changes
`voices`          templates of enrolled voices: list, store, revoke
`backbones`       the change of a backbone: its facts, its statement, the switch of a site and the way back
`workers`         workers of other machines: invite, enrol, list, revoke; the trusted keys
`boxes`           edge boxes: invite, enrol, list, revoke, and their reports
`serving_reports` servers of requests: what each of them serves
`users`           users and roles of a server with a login
"""

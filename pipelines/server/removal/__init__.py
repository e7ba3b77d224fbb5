"""Deletion by policy: the only way in which the bytes of a version leave the artifact store.

`stored_adapters`     the facts of every version
`adapter_trash`       into the trash, back, and out of it
`unregistered_runs`   MLflow's runs and logged models that no version is based on
`artifact_deletion`   a folder of the store, without what is frozen in it
"""

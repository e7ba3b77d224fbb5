"""MLflow's stores with the guard in them.

`registry_store`    every write that concerns a champion is checked (`reserved_names`, `write_checks`)
`tracking_store`, `artifact_store`   runs and folders that a version is based on stay
`current`           the stores of this process
"""

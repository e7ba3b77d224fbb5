"""Signing without MLflow, network or torch: canonical JSON, keys, key folders and DSSE envelopes.

Every function raises AttestationError for what is malformed, cannot be used or does not count; `reason` says which.

`canonical_json`  one spelling of JSON, read strictly; moments in UTC
`keys`            trusted public keys, private keys that sign, and the roles of both
`key_folder`      create, rotate, retire, revoke and exchange keys on disk
`envelope`        sign a payload for a role; verify it against the trusted keys
"""

"""Proof: keys, signed envelopes, in-toto statements and the hash-chained ledger. No MLflow, no network, no torch.

`canonical`   one spelling of JSON, read strictly; moments in UTC
`keys`        public keys that are trusted, private keys that sign, and what each may sign
`key_folder`  making, rotating, retiring, revoking and exchanging keys on disk
`envelope`    DSSE: sign a payload for a role, verify it against the trusted keys
`statements`  what is signed: the lineage of a bundle, the verdict on a version
`ledger`      one entry for each thing that happened, naming the hash of the entry before
`chain`       the search for the place where a ledger was cut, edited, reordered or forked
`anchor`      the file beside the database that remembers how far the ledger had come
"""

"""The log of requests that `elp serve` has answered: off unless a slot's settings name a share, and bounded.

`log_policy`        what a slot logs: the share of its requests, the bounds, and whether audio may be kept
`served_request`    the record of one request: who answered, the measurements, the answer
`log_file`          the database of a slot's log: add, remove what the bounds exceed, erase a person
`request_corrections`   what a person says of a logged request
`request_exchange`  records as lines of JSON, to take them from one host to another
`log_reading`       read records: those that are new since a look, or those of a page of the console

Serving writes it; monitoring, the console and the audit read it.
"""

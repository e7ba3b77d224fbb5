"""The guard: what runs inside the MLflow server and decides who may be champion.

`names`       which names, aliases and tags are the server's, and which only look like them
`tables`      the ledger, the statements, the overrides and the frozen folders, in the registry's own database
`book`        the ledger, locked for one transaction: append and sign
`rings`       the trusted keys as they are now; a change of them in the ledger
`facts`       what the database knows of a version at this moment
`server`      the stores of this process
`served`      the bytes behind a location in the artifact store
`rules`       pure: facts in, an allowed move or a refusal out
`projection`  aliases, tags and descriptions, written from what was decided
`statements`  a signed statement comes in: verified, stored, recorded, projected
`door`        the one place where the alias champion moves
`checks`      what MLflow's ordinary writes may not do
`refusal`     the guard says no: HTTP 403 with a sentence, and an entry in the ledger
`frozen`      folders that a version stands on
`locking`     MLflow's registry store with one transaction for its writes and the ledger's
`store`       MLflow's registry store with the door in it
`artifacts`   MLflow's artifact repositories, which leave frozen folders as they are
`tracking`    MLflow's tracking store, which keeps what a version stands on
`who`         who is calling
`roles`       pure: who may do what, and what each request needs
`demand`      the door's question whether the caller has the right
`login`       MLflow's basic auth, and the one entrance before every page and route
`override_requests`   wishes for an override, as rows
`overrides`   two people make a version champion without a verdict, for some days
`endings`     how an override ends, and the champion before comes back
`watch`       the thread that ends overrides when their time is over
`api`, `app`  the routes under /elp/api/v1, and the application that `mlflow server` starts
`body`, `queries`     what a route reads of its request, and what it lists
`read`        what the console's pages show, in few queries
"""

"""The server: MLflow's own, with a guard that decides who may be champion, and the pages that show it.

Imports point down this list; import-linter checks it. A promotion passes through the modules marked with ``*``:

    app             * the application that `mlflow server --app-name elp` starts: stores, login, routes, pages, thread
    front             Prefect's pages and API below /prefect/
    pages             the pages under /elp/ and their forms
    metrics_page      the figures for Prometheus
    routes          * the JSON routes under /elp/api/v1, with `request_body`
                      `retention_routes` adds those of the retention
    removal           the only way out for a version's bytes: by policy, through the trash
    read_models       queries for pages and routes
    stores            MLflow's registry, tracking and artifact stores, each with the guard's checks
      registry_store    the registry: `write_checks` says what an ordinary write may not do
    overrides         two people make a version champion without a verdict, and how that ends
    holds             what must not be deleted until a date
    delivery          signed metadata and files of the champions, for the boxes of a site
    voices            templates of enrolled voices; their routes are in `voice_routes`
    backbone_routes   the change of a backbone: its facts, its statement, and a whole site in one entry
    worker_enrolment  one-time tokens, and the keys and accounts of workers; its routes are in `worker_routes`
    transitions     * the champion transition and signed statements
      champion_transition  * promote, roll back, retire; `apply_change` alone moves the alias
      site_migration         all champions of a site to another backbone and back, in one entry each
      record_statement       a signed statement is verified, stored, recorded and shown
      projection           * aliases, tags and descriptions, written from the ledger entry or the verdict
      version_facts        * the facts about a version, read under the lock
      rules                * pure: facts in, permission or denial out
    storage         * the database and the artifact store
      locked_store         * the registry's database with ledger transactions
      version_rows, override_requests, artifact_bytes
    ledger          * the tables, the `LedgerTransaction` that appends and signs, the trusted keys
    auth            * `principal`: the caller and its rights; `middleware` and `mlflow_login`: the login
    refusal         * HTTP 403 with a sentence, and an entry in the ledger
    database_outage   HTTP 503 while the database is away
    mlflow_private    the private names of MLflow that the server uses
"""

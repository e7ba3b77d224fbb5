"""The life cycle of ELP adapters.

The rooms, in the order in which data meets them:

1. `datasets`: takes deliveries of audio in, checks them, and makes dataset versions and golden sets.
2. `training`: trains the adapters of one or many slots and registers them, each with a signed lineage.
3. `gating`: compares a candidate with the champion on the golden set, and returns a verdict with its evidence.
4. `registry`: the records that all rooms share (slots, versions, lineages, verdicts, keys), and the server's client.
5. `server`: runs inside MLflow: who may do what, champion transitions, overrides, the ledger, the console's pages.
6. `serving`: answers audio files with a version's adapter.
7. `comparison`, `tuning`, `robustness` and `audit`: methods side by side on one slot's data; a better
   configuration of a slot; versions under simulated conditions; the origin of an adapter, and erasure.
8. `distribution`: brings a site's champions to its boxes, and reports back what they run.
9. `retention`: what is stored, what keeps it, and what the policy removes.
10. `selection`: which recordings of a site to label next, and which the champion labels itself.
11. `reporting`: pages for people who decide: the report on a site, and the plan of a proof of concept.
12. `request_log`: what `elp serve` has answered, sampled and bounded; the monitor and the console read it.

Around them: `orchestration` (the Prefect flows that run 1 to 3 on workers), `local` (the workspace, its settings and
the processes of `elp up`), `texts` (the words of reports and pages in two languages), `cli` (the command `elp`) and
`demo` (the main job on an embedded corpus).
"""

"""The gate: scores of challenger and champion on the golden set give a verdict.

`gate.gate_version` judges a registered version. `decide.decide_verdict` is the pure decision; `evidence` records
everything it follows from, so that anyone can decide again.
"""

"""The regression check: numbers in, verdict out.

`decide` compares two sets of scores under a policy, `evidence` writes down what it saw so that anyone can decide again.
"""

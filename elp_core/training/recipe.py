"""The version of the training recipe."""

RECIPE_VERSION = 1
"""Names what training makes of given clips, configuration and backbone. `pipelines` keys finished trainings by it.

Raise it on purpose when a change of `elp_core` gives other tensors by more than rounding: every slot is then trained
again at its next retrain. A change that gives the same tensors keeps it, so that a patch release retrains nothing. The
test of this number trains each task for a moment and compares the tensors with `tests/goldens/training`. Code outside
that short training (other methods, other heads, other backbone families) is the responsibility of who changes it.
"""

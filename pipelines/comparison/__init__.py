"""`elp compare`: the metric and the cost of each method on one slot's data, and the benefit of more audio."""

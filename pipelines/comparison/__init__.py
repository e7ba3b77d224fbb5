"""`elp compare`: what each method gives and costs on one slot's data, and what more audio would give."""

"""Word errors, equal error rates, accuracies, speaker scores, and their bootstrap resampling."""

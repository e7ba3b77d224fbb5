"""Word errors, equal error rates, accuracies, speaker scores and their resampling; numpy only."""

"""Word errors, equal error rates and their resampling; numpy only."""

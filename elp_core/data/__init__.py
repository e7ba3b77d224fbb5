"""Clips on disk and in batches: shards, trials, batching, augmentation and cached features."""

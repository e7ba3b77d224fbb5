"""Clips on disk and in batches: shards, text, trials, batching, augmentation and cached features."""

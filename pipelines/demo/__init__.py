"""The main job on an embedded, synthetic corpus of two sites."""

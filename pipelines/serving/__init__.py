"""Answers of a slot's champion for audio files."""

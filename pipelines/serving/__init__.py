"""Answers of a slot's champion: for audio files (`predict_files`), and over HTTP (`http`).

`champion_aligner` aligns recordings with their transcripts.
"""

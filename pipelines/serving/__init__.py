"""Answers of a slot's champion for audio files; `champion_aligner` aligns recordings with their transcripts.

`voices` has the enrolled voices of speaker verification.
"""

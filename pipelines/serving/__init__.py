"""Answers of a slot's champion: for audio files, and over HTTP.

`predict_files`         loads a version and answers files; `hotwords` reads the words to prefer
`champion_source`       asks the registry for champions and bundles; `box_champions` a box that pulled
`ask_server`            the same by the `elp serve` of the workspace, which `server_record` names; `form_post` sends it
`http`                  `elp serve`; `presence` is how the console knows of it
`silent_recordings`     are refused where voices are compared
`champion_aligner`      aligns recordings with their transcripts
`voices`                enrolled voices of speaker verification
"""

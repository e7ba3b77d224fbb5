"""Enrolled voices of speaker verification.

`voice_folder`  the key of this machine, and sealed recordings
`template_store`  where sealed templates are stored: the registry, or (`box_templates`) the folder of a box
`voice_place`   where the enrolled voices of a workspace or a box are: a folder and a store
`verifier`      a loaded version: embeds, and compares with templates of its own bundle
`enrolment`     recordings of a speaker to a template: quality, cohesion, sealing
`renewal`       templates for another version, from kept recordings
`matching`      a recording against the template of a name
`listing`       the enrolled voices by name
"""

"""Bring the champions of a site to its boxes, over HTTP or on a medium, and report back what they run.

A pull passes through these modules, from the bottom up:

`pull_box`          a pull as a box that remembers its site, source and backbone
`pull_set`          refresh, download, check, activate: the box either has the new set whole, or the one before
`fetched_bundle`    one bundle: the space for it, its files, its place
`export_set`        the same tree of metadata and files on a medium
`trusted_metadata`  TUF's client workflow with this project's clock, and errors of this project for its failures
`resumed_download`  one file, continued at the byte at which it broke off, verified before it counts
`report_back`       what a box runs, back to the server or onto the medium
`source_login`      the login of the environment, for the address that it belongs to only
`tuf_refusals`      errors of this project for the failures of python-tuf
`sources`           an MLflow server or a folder, read by relative paths

The read side, for those who serve, is `pipelines.local.box_home`.
"""

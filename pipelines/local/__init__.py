"""The workspace and its settings, Git, and the servers and workers on this machine."""

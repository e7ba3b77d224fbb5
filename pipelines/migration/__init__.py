"""The change of a backbone: what depends on it, every slot trained and judged on the new one, and the switch of a site.

`migration_plan`   who depends, what the trainings cost, and what cannot be trained again
`migrate_site`     every slot of a site trained and judged on the new backbone
`switch_site`      all champions of a site in one ledger entry, there and back
`backbone_settings`   the backbones of slots in `elp.yaml`: one commit, pushed if the workspace has a Git address
"""

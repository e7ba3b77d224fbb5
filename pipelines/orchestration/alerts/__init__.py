"""Alerts: what happened in Prefect and in the ledger, as messages to people.

Prefect's automations select the events; the supervision of `elp up` reads their firings and the ledger; queues are
files; a process for each message sends it with Prefect's notification blocks.

`alert`              one alert, and the kinds that a channel can have
`alert_channels`     where messages go: `.elp/alerts/channels.json`, readable by its owner only
`alert_queue`, `alert_message`   the rule of the first message and the daily digest; the texts. No service needed
`ledger_alerts`      what ledger entries mean
`operation_alerts`   what workers, schedules, disks and inboxes report: the texts, and the one way to report
`automations`        the automations in Prefect, and events of our own
`alert_state`, `deliver`   one round of the supervision: take in, send
`notification_blocks`   the blocks; sends one message
`channel_status`     for `elp alerts list` and `elp doctor`
"""

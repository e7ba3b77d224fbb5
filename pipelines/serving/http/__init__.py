"""The server of `elp serve`: one backbone (two while a site changes it), every champion of some sites, over HTTP.

    client → request_limits → http_routes → speech_service → audio_batcher → AdapterHost
             key, place, size  form, answer  one version      one batch for all routes

`serve_process`         assembles the parts, and the web server in front of them
`http_app`              the application: routes, probes, metrics; `http_routes`, `route_fields`, `api_page`
`live_audio`            the websocket: live audio in, an answer for each utterance out
`wyoming_server`        the same for voice assistants, by the Wyoming protocol (`wyoming_events`)
`serve_options`         the options, and what is checked of them before anything is loaded
`request_limits`        keys, places and sizes, before a route; `api_keys` the file of keys
`server_names`          the names by which browsers may ask; `body_room` bounds the bytes of all bodies
`request_form`          the form of a request, strictly
`waiting_client`        ends the work of a client that has gone; `request_ticket` says that it has
`speech_service`        what is answered, without HTTP; `transcription_forms`, `error_answers` how it is written
`voice_service`         enrols voices, and compares recordings with them
`served_set`            which version answers for a slot; a request keeps the one that it began with
`resident_hosts`        the backbones in memory, each with its adapters
`champion_follower`     loads a changed champion next to the old one
`audio_room`            the decoded audio in progress: its memory, and the time that it takes
`audio_batcher`         requests of all clients, adapters and tasks in one batch, by seconds of audio
`decode_pool`           recordings to waveforms in bounded processes (`decode_worker`)
`request_logger`  the log of answered requests, written in the background (`pipelines.request_log`)
`presence_reporter`     reports to the console what is served
`service_metrics`       figures for Prometheus
"""

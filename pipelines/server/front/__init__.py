"""The front: Prefect's pages and API below /prefect/ of this server, behind its login.

`prefect_front`      the ASGI layer that passes requests on and streams the answers back
`passed_request`     which requests are passed on, with which path and headers, and what is kept of an answer
"""

"""Prefect's notification blocks for the channels: its webhook block, and one for SMTP, which it does not have.

    python -m pipelines.orchestration.alerts.notification_blocks < message.json

sends one message. It is a process of its own: a receiver that hangs cannot stop the supervision.
"""

from __future__ import annotations

import json
import os
import smtplib
import socket
import ssl
import sys
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from elp_core.config import from_dict
from pipelines.local_hosts import LOCAL_HOSTS
from pipelines.orchestration.alerts.alert_channels import Channel
from pipelines.quick_imports import quick_imports, skip_grammar

with quick_imports():
    skip_grammar()
    from prefect.blocks.abstract import NotificationBlock
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

_SECONDS = 15.0


class SmtpEmail(NotificationBlock):
    """Sends through an SMTP server; a password is sent over TLS only, or to this machine."""

    _block_type_name = "ELP SMTP email"
    _block_type_slug = "elp-smtp-email"

    host: str
    port: int
    to: list[str]
    sender: str
    user: str = ""
    password: SecretStr = Field(default=SecretStr(""))
    message_id: str = ""
    """Two messages of one id are one message to a mail program."""

    # Prefect's signature is a coroutine for blocks that have both forms
    def notify(self, body: str, subject: str | None = None) -> None:  # type: ignore[override]
        """Send one message; an error of the server or the network is raised."""
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = self.sender, ", ".join(self.to), subject or ""
        mail["Date"], mail["Auto-Submitted"] = formatdate(), "auto-generated"
        if self.message_id:
            mail["Message-ID"] = f"<{self.message_id}@{self.sender.rpartition('@')[2]}>"
        mail.set_content(body)
        secure = ssl.create_default_context()
        kind: Any = smtplib.SMTP_SSL if self.port == 465 else smtplib.SMTP
        more = {"context": secure} if self.port == 465 else {}
        with kind(self.host, self.port, timeout=_SECONDS, **more) as server:
            server.ehlo()
            if self.port != 465 and server.has_extn("starttls"):
                server.starttls(context=secure)
                server.ehlo()
            elif self.port != 465 and self.user and self.host not in LOCAL_HOSTS:
                raise smtplib.SMTPNotSupportedError("the server offers no TLS, so the password was not sent")
            if self.user:
                server.login(self.user, self.password.get_secret_value())
            server.send_message(mail)


def block(channel: Channel, message_id: str) -> NotificationBlock:
    """Return the notification block of a channel."""
    if channel.sort == "email":
        host, _, port = channel.smtp.rpartition(":")
        return SmtpEmail(
            host=host.strip("[]"),
            port=int(port),
            to=list(channel.to),
            sender=channel.sender or f"elp@{socket.getfqdn()}",
            user=channel.user,
            password=SecretStr(channel.password),
            message_id=message_id,
        )
    card = {
        "type": "AdaptiveCard",
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "version": "1.4",
        "body": [
            {"type": "TextBlock", "text": "{{subject}}", "weight": "Bolder", "wrap": True},
            {"type": "TextBlock", "text": "{{body}}", "wrap": True},
        ],
    }
    contents: dict[str, dict[str, Any]] = {
        "webhook": {"title": "{{subject}}", "text": "{{body}}", "id": message_id},
        "slack": {"text": "*{{subject}}*\n{{body}}"},
        "teams": {
            "type": "message",
            "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}],
        },
    }
    # the address is a secret of the block: whoever knows it can write into the chat
    values = {"name": channel.name, "url": "{{url}}", "secrets": {"url": channel.url}, "timeout": _SECONDS}
    return CustomWebhookNotificationBlock.model_validate({**values, "json_data": contents[channel.sort]})


def send(channel: Channel, subject: str, body: str, message_id: str) -> None:
    """Send one message now; every failure is raised."""
    if channel.sort == "slack":
        # in Slack's text these three are marks
        subject, body = (
            text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for text in (subject, body)
        )
    if channel.sort == "teams":
        # a single line break is a blank in its Markdown
        body = body.replace("\n", "\n\n")
    made: Any = block(channel, message_id)
    made.notify(body, subject)


def failure(error: Exception) -> str:
    """Return why a message was not sent, without the address, which may be a secret."""
    import httpx

    if isinstance(error, httpx.HTTPStatusError):
        return f"the receiver answered HTTP {error.response.status_code}"
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return f"the receiver did not answer within {_SECONDS:.0f} s"
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return f"the SMTP server refused the recipient {', '.join(error.recipients)}"
    if isinstance(error, smtplib.SMTPResponseException):
        text = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
        return f"the SMTP server answered {error.smtp_code} {text}"
    return f"{type(error).__name__}: {error}"


def main() -> None:
    """Send the message on standard input; print why it failed, and end with 1 then."""
    given = json.load(sys.stdin)
    channel = from_dict(Channel, given["channel"], "channel")
    host = urlsplit(channel.url).hostname if channel.url else ""
    if host in LOCAL_HOSTS:
        # a proxy meant for the outside world must not be asked for this machine's own servers
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = str(host)
    try:
        send(channel, given["subject"], given["body"], given["id"])
    except Exception as error:
        text = failure(error)
        for secret in channel.secrets:
            text = text.replace(secret, "…")
        # cut at last: half a secret would not be found
        print(text[:300])
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()

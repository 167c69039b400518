"""Telling of alerts: what waits in the book is sent to its channel, and tried again, ever later, until it arrives.

A webhook gets the alert as JSON by POST. With a secret, `X-Foedus-Signature: sha256=HEX` is the HMAC (RFC 2104) of
`X-Foedus-Time`, a full stop and the body: who checks it, and the time, takes nothing twice and nothing from others. An
answer other than 2xx, a redirection too, counts as not arrived. A message may arrive twice, with the same
`X-Foedus-Delivery`.

Nothing here is called where answers are served.
"""

from __future__ import annotations

import hmac
import http.client
import json
import smtplib
import ssl
import urllib.error
import urllib.request
from datetime import timedelta
from email.message import EmailMessage
from hashlib import sha256
from pathlib import Path
from typing import Any

from foedus.core.clock import Clock, spell
from foedus.core.errors import FoedusError
from foedus.core.files import read_text
from foedus.core.messages import say
from foedus.serve.watch.book import Book, Delivery
from foedus.serve.watch.settings import FILE, AlertSettings, Mail, Webhook

__all__ = ["MOST_TRIES", "deliver", "mail_text", "signature"]

MOST_TRIES = 20
"""After so many tries, about two days, a message is given up; the alert stands in the book all the same."""
_FIRST_PAUSE_SECONDS = 60
_LONGEST_PAUSE_SECONDS = 3 * 3600
_TIMEOUT_SECONDS = 10


def deliver(book: Book, settings: AlertSettings, *, workspace: Path, clock: Clock) -> int:
    """Send every message that is due; how many arrived. A channel that fails keeps no other waiting for long."""
    channels = {one.name: one for one in settings.channels}
    sent = 0
    for delivery in book.deliveries(due=spell(clock())):
        channel = channels.get(delivery.channel)
        error = "no such channel in alerts.yaml any more"
        if channel is not None:
            error = _try(channel, delivery, (workspace / FILE).parent, spell(clock()))
        tries = delivery.tries + 1
        pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** (tries - 1))
        state = "sent" if not error else "waiting" if tries < MOST_TRIES and channel is not None else "given-up"
        with book.writing():
            due = spell(clock() + timedelta(seconds=pause))
            book.settle(delivery.id, state=state, tries=tries, due=due, error=error[:300] or None)
        sent += state == "sent"
    return sent


def signature(secret: bytes, at: str, body: bytes) -> str:
    """What `X-Foedus-Signature` holds."""
    return "sha256=" + hmac.digest(secret, at.encode() + b"." + body, sha256).hex()


def _try(channel: Webhook | Mail, delivery: Delivery, folder: Path, at: str) -> str:
    """Send once; empty when it arrived, else why not."""
    try:
        if isinstance(channel, Webhook):
            _post(channel, delivery, folder, at)
        else:
            _mail(channel, delivery, folder)
    except (OSError, http.client.HTTPException, smtplib.SMTPException, FoedusError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """An alert goes where the settings say, and nowhere else."""


def _post(hook: Webhook, delivery: Delivery, folder: Path, at: str) -> None:
    body = json.dumps(delivery.body, ensure_ascii=False, sort_keys=True).encode()
    headers = {"Content-Type": "application/json", "X-Foedus-Delivery": str(delivery.id), "X-Foedus-Time": at}
    if hook.secret_file:
        headers["X-Foedus-Signature"] = signature(_secret(folder / hook.secret_file).encode(), at, body)
    request = urllib.request.Request(hook.url, data=body, headers=headers, method="POST")  # noqa: S310 - http(s) only
    opener = urllib.request.build_opener(_NoRedirect)
    opener.open(request, timeout=_TIMEOUT_SECONDS).close()


def _mail(mail: Mail, delivery: Delivery, folder: Path) -> None:
    letter = EmailMessage()
    letter["From"], letter["To"] = mail.sender, ", ".join(mail.to)
    letter["Subject"], text = mail_text(delivery.body, mail.language)
    letter.set_content(text)
    context = ssl.create_default_context()
    if mail.security == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(mail.host, mail.port, timeout=_TIMEOUT_SECONDS, context=context)
    else:
        server = smtplib.SMTP(mail.host, mail.port, timeout=_TIMEOUT_SECONDS)
    with server:
        if mail.security == "starttls":
            server.starttls(context=context)
        if mail.user and mail.password_file:
            server.login(mail.user, _secret(folder / mail.password_file))
        server.send_message(letter)


def mail_text(body: dict[str, Any], language: Any) -> tuple[str, str]:
    """The subject and the text of a mail on an alert."""
    level = say(f"monitor.level.{body['level']}", lang=language)
    measure = say(f"monitor.measure.{body['measure']}", lang=language)
    subject = say("monitor.mail.subject", lang=language, level=level, release=body["release"], measure=measure)
    lines = [say("monitor.mail.first", lang=language, at=body["at"], measure=measure, release=body["release"])]
    lines += [
        say("monitor.mail.figure", lang=language, detector=one["detector"], statistic=one["statistic"], p=one["p"])
        for one in body["detail"].get("figures", ())
    ]
    if "after" in body["detail"]:
        said = {"before": body["detail"]["before"], "after": body["detail"]["after"]}
        lines.append(say("monitor.mail.quality", lang=language, **said))
    lines.append(say("monitor.mail.last", lang=language, alert=body["alert"]))
    return subject, "\n".join(lines) + "\n"


def _secret(path: Path) -> str:
    return read_text(path, limit_bytes=4096).strip()

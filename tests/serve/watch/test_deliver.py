"""Telling of alerts: webhooks and mail to servers of our own, retried until they arrive; settings that are wrong."""

import http.server
import json
import socketserver
import threading

import pytest

from foedus.core.errors import CallerError
from foedus.serve.watch.book import FILE as BOOK
from foedus.serve.watch.book import Book
from foedus.serve.watch.deliver import MOST_TRIES, deliver, mail_text, signature
from foedus.serve.watch.settings import FILE, read_settings
from foedus.serve.watch.watcher import watch
from watched import TERMS, Clock, answers, serve


@pytest.fixture
def hook():
    """A web server that keeps what it is sent and answers what it is told to."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.server.got.append((dict(self.headers), body))
            status = self.server.says.pop(0) if self.server.says else 204
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_):
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.got, server.says = [], []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class Letters(socketserver.StreamRequestHandler):
    """As much of a mail server as a letter needs."""

    def handle(self):
        self._say("220 ready")
        while line := self.rfile.readline().decode().strip():
            if line.upper() == "DATA":
                self._say("354 go on")
                letter = []
                while (text := self.rfile.readline().decode().rstrip("\r\n")) != ".":
                    letter.append(text)
                self.server.got.append("\n".join(letter))
            if line.upper() == "QUIT":
                self._say("221 bye")
                return
            self._say("250 ok")

    def _say(self, line):
        self.wfile.write(line.encode() + b"\r\n")


@pytest.fixture
def post():
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Letters)
    server.got = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def port_of(server):
    return server.server_address[1]


def settle(folder, text, **files):
    (folder / FILE).parent.mkdir(exist_ok=True)
    (folder / FILE).write_text(text)
    for name, content in files.items():
        (folder / FILE).with_name(name).write_text(content)


def drifted(folder, clock):
    serve(folder, answers(0, 100), answers(100, 50, shifted=True))
    return watch(folder, TERMS, clock=clock)


def test_a_webhook_gets_each_alert_as_json_signed_with_the_secret(tmp_path, hook):
    settle(
        tmp_path,
        f"webhooks:\n  - {{name: ops, url: 'http://127.0.0.1:{port_of(hook)}/alerts', secret_file: key}}\n",
        key="secret\n",
    )
    seen = drifted(tmp_path, Clock())
    assert seen.sent == len(seen.alerts) == len(hook.got) > 0
    headers, body = hook.got[0]
    told = json.loads(body)
    assert told["kind"] == "foedus.alert"
    assert told["measure"] in {one.measure for one in seen.alerts}
    assert headers["X-Foedus-Signature"] == signature(b"secret", headers["X-Foedus-Time"], body)
    assert headers["X-Foedus-Signature"] != signature(b"other", headers["X-Foedus-Time"], body)


def test_what_does_not_arrive_is_tried_again_later_and_ever_later(tmp_path, hook):
    clock = Clock()
    settle(tmp_path, f"webhooks:\n  - {{name: ops, url: 'http://127.0.0.1:{port_of(hook)}/'}}\n")
    hook.says = [500] * 50
    seen = drifted(tmp_path, clock)
    assert seen.sent == 0
    count = len(seen.alerts)
    with Book.of(tmp_path) as book:
        settings = read_settings(tmp_path)
        assert deliver(book, settings, workspace=tmp_path, clock=clock) == 0
        assert len(hook.got) == count  # not due yet
        clock.later(seconds=60)
        deliver(book, settings, workspace=tmp_path, clock=clock)
        assert len(hook.got) == 2 * count
        clock.later(seconds=61)
        deliver(book, settings, workspace=tmp_path, clock=clock)
        assert len(hook.got) == 2 * count  # two minutes now
        hook.says = []
        clock.later(seconds=60)
        assert deliver(book, settings, workspace=tmp_path, clock=clock) == count
        assert {one.state for one in book.deliveries()} == {"sent"}
        assert {one.tries for one in book.deliveries()} == {3}


def test_a_redirection_is_not_followed_and_a_lost_channel_is_given_up(tmp_path, hook):
    clock = Clock()
    settle(tmp_path, f"webhooks:\n  - {{name: ops, url: 'http://127.0.0.1:{port_of(hook)}/'}}\n")
    hook.says = [302] * 500
    assert drifted(tmp_path, clock).sent == 0
    assert all(headers["X-Foedus-Delivery"] for headers, _ in hook.got)
    with Book.of(tmp_path) as book:
        for _ in range(MOST_TRIES - 1):
            clock.later(hours=4)
            deliver(book, read_settings(tmp_path), workspace=tmp_path, clock=clock)
        assert {one.state for one in book.deliveries()} == {"given-up"}
        assert all("302" in one.error for one in book.deliveries())


def test_a_channel_that_was_removed_is_given_up_at_once(tmp_path):
    clock = Clock()
    settle(tmp_path, "webhooks:\n  - {name: ops, url: 'http://127.0.0.1:9/'}\n")
    drifted(tmp_path, clock)
    (tmp_path / FILE).unlink()
    clock.later(hours=1)
    with Book.of(tmp_path) as book:
        deliver(book, read_settings(tmp_path), workspace=tmp_path, clock=clock)
        assert {one.state for one in book.deliveries()} == {"given-up"}


def test_mail_goes_to_whom_the_settings_name_in_their_language_from_their_level_on(tmp_path, post):
    settle(
        tmp_path,
        f"mail:\n  - {{name: people, host: 127.0.0.1, port: {port_of(post)}, security: none,"
        " sender: foedus@example.org, to: [ops@example.org], language: zh, level: warning}\n",
    )
    clock = Clock()
    assert drifted(tmp_path, clock).sent == 0  # notices only
    serve(tmp_path, answers(150, 50, shifted=True))
    seen = watch(tmp_path, TERMS, clock=clock)
    assert seen.sent == len(post.got) == len(seen.alerts) > 0
    assert "To: ops@example.org" in post.got[0]
    subject, text = mail_text(json.loads(json.dumps(body_of(tmp_path))), "zh")
    assert "警告" in subject
    assert "foedus monitor ack" in text


def body_of(folder):
    with Book.of(folder) as book:
        return book.deliveries()[0].body


def test_a_mail_on_quality_says_how_much_it_fell():
    body = {"alert": 3, "level": "critical", "measure": "quality", "release": "intents-1.0"}
    body |= {"at": "2026-06-01T08:00:00Z", "detail": {"before": "0.1", "after": "0.4"}}
    subject, text = mail_text(body, "en")
    assert "critical" in subject
    assert "0.1 before, 0.4 after" in text


@pytest.mark.parametrize(
    "text",
    [
        "webhooks:\n  - {name: ops, url: 'ftp://host/'}\n",
        "webhooks:\n  - {name: ops, url: 'https://user:word@host/'}\n",
        "mail:\n  - {name: a, host: h, security: none, password_file: p, sender: s, to: [t]}\n",
        "mail:\n  - {name: a, host: h, sender: s, to: []}\n",
        "webhooks:\n  - {name: a, url: 'http://h/'}\n  - {name: a, url: 'http://g/'}\n",
        "pagers: []\n",
    ],
)
def test_settings_that_cannot_work_are_named_with_their_line(tmp_path, text):
    settle(tmp_path, text)
    with pytest.raises(CallerError) as caught:
        read_settings(tmp_path)
    assert caught.value.code == "monitor.bad-settings"
    assert caught.value.fields["line"] >= 1


def test_nobody_is_told_where_there_are_no_settings(tmp_path):
    seen = drifted(tmp_path, Clock())
    assert seen.alerts
    with Book.of(tmp_path) as book:
        assert book.deliveries() == []
    assert (tmp_path / BOOK).is_file()

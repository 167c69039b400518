"""`foedus up --pages-only`, `foedus login` and the page of `foedus join --ui`, over real ports."""

import re
import signal
import subprocess
import sys
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from foedus import workspace as ws
from foedus.cli import join
from foedus.core.errors import RunError
from foedus.resident.link import Link
from foedus.resident.serve import Resident
from foedus.track.event import Event
from hubbed import called
from noded import PASSPHRASE, node
from practised import foedus


def get(url, **headers):
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname, parts.port, timeout=20)
    connection.request("GET", f"{parts.path or '/'}?{parts.query}", headers=headers)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, dict(answer.getheaders()), body


def test_the_first_start_prints_a_link_that_opens_once_and_later_ones_point_to_the_key(tmp_path):
    called("new", tmp_path / "hub", "--party", "hub", "--names", "bank-a,bank-b")
    words = [sys.executable, "-m", "foedus", "up", "--pages-only", "--pages-port", "0", "--workspace", "hub"]

    def lines(process, *, until):
        found = []
        for line in process.stderr:
            found.append(line)
            if until in line:
                return "".join(found)
        raise AssertionError("".join(found))

    with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        said = lines(process, until="The pages are at")
        link = re.search(r"http://\S+token=\w+", said)[0]
        status, headers, _ = get(link)
        assert (status, headers["location"]) == (303, "/")
        assert get(link)[0] == 403
        origin = f"http://{urlsplit(link).netloc}"
        other = called("login", origin, "--workspace", tmp_path / "hub")
        assert get(re.search(r"http://\S+token=\w+", other)[0])[0] == 303
        assert get(f"{origin}/door", Host="evil.example")[0] == 421
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert "token=" not in lines(process, until="The pages are at")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


@pytest.mark.parametrize(
    "words",
    [
        ("up", "--port", "70000"), ("up", "--port", "-1"), ("up", "--pages-port", "70000"),
        ("join", "--invite", "x", "--ui", "--ui-port", "70000"),
    ],
)  # fmt: skip
def test_a_port_that_there_is_not_is_a_usage_error(words):
    answer = foedus(*words)
    assert answer.code == 2
    assert answer.data["code"] != "cli.bug"
    assert "65535" in answer.err


@pytest.mark.parametrize(
    "words", [("--no-pages", "--host", "192.0.2.7"), ("--pages-only", "--pages-host", "192.0.2.7")]
)
def test_an_address_of_another_machine_is_told_apart_from_a_port_that_is_taken(tmp_path, words):
    called("new", tmp_path / "hub", "--party", "hub", "--names", "bank-a,bank-b")
    url = ("--pages-url", "https://hub.example.org") if "--pages-only" in words else ()
    answer = foedus("up", *words, *url, "--port", "0", "--workspace", tmp_path / "hub")
    assert (answer.code, answer.data["code"]) == (2, "wire.address-not-here")


def test_pages_for_others_without_tls_are_refused_before_a_port_is_bound(tmp_path):
    called("new", tmp_path / "hub", "--party", "hub", "--names", "bank-a,bank-b")
    said = called("up", "--pages-only", "--pages-host", "0.0.0.0", "--workspace", tmp_path / "hub", code=2)  # noqa: S104
    assert "door.no-tls" in said


def test_the_nodes_page_is_up_as_long_as_the_node_and_hears_what_it_tells(tmp_path, capsys):
    mine = node(tmp_path)
    home = ws.open_workspace(mine.desk.home.folder)
    line = Link(mine.desk.link.hub, mine.met.door.clock, mine.desk.link.send)
    resident = Resident(home, line, PASSPHRASE, mine.met.door.clock, lambda _: None)
    with join._page(resident, 0):
        link = re.search(r"http://\S+token=\w+", capsys.readouterr().err)[0]
        resident.report(Event("trouble", {"error": RunError("join.paused")}))
        assert "join.paused" in capsys.readouterr().err
        status, headers, _ = get(link)
        assert status == 303
        cookie = headers["set-cookie"].partition(";")[0]
        origin = f"http://{urlsplit(link).netloc}"
        shown = get(f"{origin}/votes", Cookie=cookie)
        assert shown[0] == 200
        assert "bank-intents 1.0.0" in shown[2]
        assert "join.paused" in get(origin, Cookie=cookie)[2]
    with pytest.raises(OSError, match="refused"):
        get(origin)

"""A hub and members with network addresses of their own: each in a network namespace, joined by links."""

import os
import subprocess

import pytest

from hubbed import agreed

pytestmark = pytest.mark.slow

MEMBERS = ("bank-a", "bank-b")


def ip(*words):
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=False)


@pytest.fixture
def spaces():
    """The name of a namespace for the hub and for each member; skipped where this machine gives none."""
    names = {party: f"foedus-{os.getpid()}-{party}" for party in ("hub", *MEMBERS)}
    try:
        if (made := ip("netns", "add", names["hub"])).returncode:
            pytest.skip(f"no network namespaces here: {made.stderr.strip()}")
    except FileNotFoundError:
        pytest.skip("no network namespaces here: there is no `ip`")
    try:
        steps = [("-n", names["hub"], "link", "set", "lo", "up")]
        for number, member in enumerate(MEMBERS, start=1):
            ours, theirs, net = f"fh{number}", f"fm{number}", f"10.77.{number}"
            steps += [
                ("netns", "add", names[member]),
                ("link", "add", ours, "netns", names["hub"], "type", "veth", "peer", theirs, "netns", names[member]),
                ("-n", names["hub"], "addr", "add", f"{net}.1/24", "dev", ours),
                ("-n", names["hub"], "link", "set", ours, "up"),
                ("-n", names[member], "addr", "add", f"{net}.2/24", "dev", theirs),
                ("-n", names[member], "link", "set", theirs, "up"),
                ("-n", names[member], "link", "set", "lo", "up"),
                ("-n", names[member], "route", "add", "default", "via", f"{net}.1"),
            ]
        for words in steps:
            if (done := ip(*words)).returncode:
                pytest.skip(f"no links between network namespaces here: ip {' '.join(words)}: {done.stderr.strip()}")
        yield names
    finally:
        for name in names.values():
            ip("netns", "del", name)


def test_a_run_goes_over_network_addresses_of_their_own(spaces, tmp_path):
    within = {party: ("ip", "netns", "exec", name) for party, name in spaces.items()}
    listen = ("--host", "0.0.0.0", "--port", "0", "--name", "10.77.1.1")  # noqa: S104 - a namespace of its own
    here = agreed(tmp_path, MEMBERS, listen=listen, within=within)
    try:
        here.ended(here.run("--name", "run-1"))
        run = here.state().runs["run-1"]
        assert run.close.outcome == "done"
        assert [[one.member for one in close.used] for close in run.closes] == [list(MEMBERS)] * 2
    finally:
        here.close()

"""Real processes on loopback, over TLS: messages go and come, and strangers get nothing."""

import json
import os
import socket
import subprocess
import sys
import time
from base64 import b64encode
from contextlib import chdir
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

import wired
from foedus.core.clock import now
from foedus.core.errors import CallerError, IdentityError, RunError
from foedus.wire import fab, tls
from foedus.wire.gateway import Gateway, Response
from foedus.wire.supernode import SuperNode
from memory import free_memory, peak

pytest.importorskip("flwr")


def answer_of(name):
    def answer(data):
        if data == b"refuse":
            raise CallerError("parcel.malformed", got="")
        return name.encode() + b":" + data

    return answer


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    with chdir(tmp_path_factory.mktemp("w")), wired.hub(Path("hub")) as hub:  # as people name a folder
        hub.join("ana", answer_of("ana"))
        hub.join("bo", answer_of("bo"))
        hub.wait_online("ana", "bo")
        yield hub


@pytest.fixture
def refused(field):
    field.refused.clear()
    time.sleep(1.05)  # the gateway reports one kind from one source once a second
    return field.refused


def test_every_member_answers_its_own_message(field):
    got, seconds = field.carry({"ana": b"one", "bo": b"two"})
    assert got == {"ana": b"ana:one", "bo": b"bo:two"}
    assert seconds < 30


@pytest.mark.slow
@pytest.mark.skipif(free_memory() < 10 << 30, reason="an answer of 1 GB in four processes wants 10 GB of free memory")
def test_an_answer_of_1_gb_passes_and_no_process_holds_it_three_times(tmp_path):
    size = 1 << 30
    with wired.hub(tmp_path) as hub:
        hub.join("ana", lambda data: bytes(size) if data == b"large" else data)
        hub.wait_online("ana")
        processes = [hub.members["ana"].node.pid, hub.engine._child.pid, hub.link.pid]
        assert hub.carry({"ana": b"small"})[0] == {"ana": b"small"}
        before = [peak(pid) for pid in processes]
        got, _ = hub.carry({"ana": b"large"}, seconds=300)
        assert len(got["ana"]) == size
        grown = [peak(pid) - had for pid, had in zip(processes, before, strict=True)]
        assert max(grown) < 2.5 * size
        assert grown[2] < 0.5 * size, "the SuperLink passes it on in pieces"


def test_a_member_that_is_not_there_and_one_that_refuses_cost_the_other_nothing(field):
    field.link.register("cy", tls.node_key(field.folder / "cy.key"))
    got, _ = field.carry({"ana": b"refuse", "bo": b"two", "cy": b"three"})
    assert got == {"ana": "parcel.malformed", "bo": b"bo:two", "cy": "engine.unreachable"}


def test_a_member_that_has_been_away_for_long_is_not_waited_for_in_every_step(field, monkeypatch):
    dee = field.link.register("dee", tls.node_key(field.folder / "dee.key"))
    monkeypatch.setattr(field.engine, "patience_seconds", 3600)
    monkeypatch.setattr(field.engine, "_left_at", {dee: time.monotonic() - 3601})
    got, seconds = field.carry({"bo": b"two", "dee": b"three"}, 120)
    assert got == {"bo": b"bo:two", "dee": "engine.unreachable"}
    assert seconds < 100, "it went on before its deadline"


def test_the_processes_that_flower_runs_load_no_machine_learning(field):
    field.carry({"ana": b"one"})
    processes = [field.members["ana"].node.pid, field.engine._child.pid, field.link.pid]
    for pid in processes:
        loaded = Path(f"/proc/{pid}/maps").read_text()
        assert "python" in loaded
        assert "torch" not in loaded
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        assert children == []  # no process for a message


def test_a_strangers_run_and_registration_are_refused_and_reported(field, refused):
    for path in ("/v1/control/start-run", "/v1/control/register-node"):
        assert field.request(path, body=b"x")[0] == 403
    assert refused == [("wire.control-refused", "127.0.0.1", "/v1/control/start-run")]


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/health", "/v1/runtime/acquire-task", "/v1/fleet/register-node", "/v1/fleet/../control/x"]
)
def test_what_no_node_needs_is_refused_and_reported(field, refused, path):
    assert field.request(path)[0] == 403
    assert refused == [("wire.path-refused", "127.0.0.1", path)]


@pytest.mark.slow
def test_flowers_own_command_cannot_submit_a_run_through_the_gateway(field, refused, tmp_path):
    app = tmp_path / "stranger"
    (app / "stranger").mkdir(parents=True)
    (app / "pyproject.toml").write_text(
        '[project]\nname = "stranger"\nversion = "1.0.0"\ndescription = ""\nlicense = "Apache-2.0"\n'
        'dependencies = []\n[tool.flwr.app]\npublisher = "x"\n[tool.flwr.app.components]\n'
        'serverapp = "stranger.app:app"\nclientapp = "stranger.app:app"\n[tool.flwr.app.config]\n'
    )
    (app / "stranger" / "__init__.py").write_text("")
    (app / "stranger" / "app.py").write_text("app = None\n")
    home = tmp_path / "home"
    home.mkdir()
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "hub"\n[superlink.hub]\naddress = "{field.gateway.address}"\n'
        f'root-certificates = "{field.authority.ca.absolute()}"\n'
    )
    environment = {
        **os.environ,
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
    }
    flwr = Path(sys.executable).with_name("flwr")
    run = subprocess.run([flwr, "run", app, "hub"], env=environment, capture_output=True, text=True, timeout=60)
    assert run.returncode != 0
    assert ("wire.control-refused", "127.0.0.1", "/v1/control/start-run") in refused


def test_the_superlinks_own_port_refuses_whoever_has_not_the_hubs_secret(field):
    context = field.link.client_context()
    plain = socket.create_connection(("127.0.0.1", field.link.port), timeout=10)
    with context.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
        connection.sendall(b"POST /v1/control/list-runs HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 403")
    assert field.link.secret_file.stat().st_mode & 0o777 == 0o600
    listed = subprocess.run(["ps", "axwwe"], capture_output=True, text=True, check=True).stdout
    assert field.link.secret not in listed
    assert field.link.secret not in repr(field.engine)


@pytest.mark.slow
def test_a_node_with_an_unregistered_key_is_refused_named_and_reported(field, refused, tmp_path):
    tls.node_key(tmp_path / "key")
    with pytest.raises(IdentityError, match="key-not-registered"):
        SuperNode.start(
            tmp_path / "n",
            hub=field.gateway.address,
            ca=field.authority.ca,
            node_key=tmp_path / "key",
            socket=field.members["ana"].served.socket,
        )
    assert ("wire.node-refused", "127.0.0.1") in {what[:2] for what in refused}


def test_a_node_does_not_speak_to_another_hub(field, tmp_path):
    other = tls.authority(tmp_path / "tls", ["127.0.0.1"], clock=now)
    settings = {"node_key": field.members["ana"].folder / "key", "socket": tmp_path / "s"}
    with pytest.raises(IdentityError, match="certificate-refused"):
        SuperNode.start(tmp_path / "n", hub=field.gateway.address, ca=other.ca, **settings)
    with pytest.raises(IdentityError, match="hub-unreachable"):
        SuperNode.start(tmp_path / "n", hub="127.0.0.1:1", ca=field.authority.ca, **settings)


def headers_of(field, member, *, signed_with=None, at=None):
    """What Flower's client sends for a member, signed with its own key or another."""
    key = signed_with or load_ssh_private_key((field.members[member].folder / "key").read_bytes(), None)
    stamp = (at or datetime.now(UTC)).isoformat()
    return {
        "flwr-public-key": field.link.key_of(member),
        "flwr-timestamp": stamp,
        "flwr-signature": b64encode(key.sign(stamp.encode(), ec.ECDSA(hashes.SHA256()))).decode(),
        "content-type": "application/protobuf",
    }


def heartbeat(field, member):
    from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
    from flwr.proto.node_pb2 import Node

    node = Node(node_id=field.link.members[member])
    return SendNodeHeartbeatRequest(node=node, heartbeat_interval=30).SerializeToString()


def test_a_forged_signature_an_old_one_and_another_members_name_are_refused_and_reported(field, refused):
    path, body = "/v1/fleet/send-node-heartbeat", heartbeat(field, "ana")
    assert field.request(path, body=body, headers=headers_of(field, "ana"))[0] == 200
    forged = headers_of(field, "ana", signed_with=ec.generate_private_key(ec.SECP384R1()))
    old = headers_of(field, "ana", at=datetime(2026, 1, 1, tzinfo=UTC))
    for headers in (forged, old, headers_of(field, "bo")):
        assert field.request(path, body=body, headers=headers)[0] == 401
    assert refused == [("wire.node-refused", "127.0.0.1", f"{path} 401")]


def test_oversized_and_garbled_requests_are_refused_and_reported(field, refused):
    status, _ = field.request("/foedus/x", headers={"content-length": str(1 << 40)})
    assert status == 413
    assert refused.pop() == ("wire.too-large", "127.0.0.1", f"/foedus/x {1 << 40}")
    headers = {**headers_of(field, "ana"), "content-length": str(17 << 20)}
    time.sleep(1.05)
    assert field.request("/v1/fleet/push-object", headers=headers)[0] == 413
    assert refused.pop()[0] == "wire.too-large"
    host, _, port = field.gateway.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
    wired.wait_until(lambda: ("wire.garbage", "127.0.0.1") in {what[:2] for what in refused})
    assert field.request("/foedus/x", headers={"transfer-encoding": "chunked"})[0] == 411


def test_connections_beyond_what_one_address_needs_are_closed_and_reported(field, refused, monkeypatch):
    monkeypatch.setattr("foedus.wire.gateway._CONNECTIONS_OF_ONE", 0)
    with pytest.raises(OSError, match=r"."):
        field.request("/foedus/x")
    assert [what[:2] for what in refused] == [("wire.too-many", "127.0.0.1")]
    monkeypatch.undo()
    assert field.request("/foedus/x")[0] == 200


def test_the_hubs_own_paths_reach_the_hub(field):
    status, body = field.request("/foedus/hello", body=b"12345")
    assert (status, json.loads(body)) == (200, ["POST", "/foedus/hello", 5])
    assert json.loads(field.request("/foedus/a?b=c", method="GET")[1]) == ["GET", "/foedus/a?b=c", 0]


def test_a_taken_port_is_named(field):
    host, _, port = field.gateway.address.rpartition(":")
    with pytest.raises(RunError, match="port-taken"):
        Gateway.start(
            host,
            int(port),
            tls=field.authority,
            superlink=field.link,
            route=lambda _: Response(200),
            refused=lambda *_: None,
        )


def test_a_node_that_was_put_out_cannot_come_back_with_its_key(field):
    key = tls.node_key(field.folder / "dee.key")
    first = field.link.register("dee", key)
    assert field.link.register("dee", key) == first
    second = field.link.register("dee", tls.node_key(field.folder / "dee2.key"))
    assert second != first
    with pytest.raises(RunError, match="registration-refused"):
        field.link.register("eve", key)
    field.link.unregister("dee")
    assert "dee" not in field.link.members


def test_the_app_that_travels_is_the_same_bytes_on_every_machine():
    assert fab.digest() == "b9328950c9a22a3617d2ab64237124cd97f7988f0f8ddc7c5e387ae8cbd17835"

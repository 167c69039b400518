"""A real server in a process of its own: what people type, a client library over loopback, swaps, and its end."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from foedus.serve.control import ask
from foedus.workspace import socket_folder
from practised import bundle, foedus
from served import TEXTS, second

BEGIN_SECONDS = 120


class Running:
    """A server that is up."""

    def __init__(self, process: subprocess.Popen[str], address: str, said: list[str]) -> None:
        self.process, self.address, self.said = process, address, said

    def end(self, wish: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(wish)
        return self.process.wait(60)


@contextmanager
def serving(home: Path, *options: object) -> Iterator[Running]:
    """`foedus serve` in a process group of its own."""
    words = [str(word) for word in ("serve", bundle(home), "--workspace", home / "hub", "--port", 0, *options)]
    environment = {**os.environ, "FOEDUS_KNOWN": str(home / "known.json"), "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "foedus", *words], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=environment, start_new_session=True,
    )  # fmt: skip
    said: list[str] = []
    address = ""
    assert process.stderr is not None
    try:
        for line in process.stderr:
            said.append(line)
            if found := re.search(r"http://\S+:\d+", line):
                address = found[0]
                break
        assert address, "".join(said)
        drain = threading.Thread(target=lambda: said.extend(process.stderr or ()), daemon=True)
        drain.start()
        yield Running(process, address, said)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdout.close() if process.stdout else None
        drain.join(10)
        process.stderr.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return shutil.copytree(second(), tmp_path / "home")


def test_a_release_is_served_asked_swapped_rolled_back_and_ended(home: Path) -> None:
    hub = home / "hub"
    with serving(home) as server:
        assert any("one process held every key" in line for line in server.said)
        statuses: list[int] = []
        going = True

        def asks() -> None:
            with httpx.Client(base_url=server.address) as client:
                while going:
                    statuses.append(client.post("/v1/predict", json={"texts": list(TEXTS)}).status_code)

        threads = [threading.Thread(target=asks) for _ in range(4)]
        for thread in threads:
            thread.start()
        swapped = foedus("serve", "swap", "practice-intents-1.1", "--workspace", hub, at=home)
        assert (swapped.code, swapped.data["release"]) == (0, "practice-intents-1.1"), swapped.err
        back = foedus("release", "rollback", "--workspace", hub, at=home)
        assert (back.code, back.data["release"], back.data["before"]) == (
            0, "practice-intents-1.0", "practice-intents-1.1",
        )  # fmt: skip
        nothing = foedus("release", "rollback", "--workspace", hub, at=home)
        assert (nothing.code, nothing.data["code"]) == (2, "serve.nothing-before")
        wrong = foedus("serve", "swap", home / "bank-a", "--workspace", hub, at=home)
        assert wrong.code in (2, 6)
        going = False
        for thread in threads:
            thread.join()
        assert statuses
        assert set(statuses) == {200}
        group = os.getpgid(server.process.pid)
        assert server.end() == 0
        with pytest.raises(ProcessLookupError):
            os.killpg(group, 0)
    assert not (socket_folder(hub) / "serve.sock").exists()
    gone = foedus("serve", "swap", "practice-intents-1.1", "--workspace", hub, at=home)
    assert (gone.code, gone.data["code"]) == (1, "serve.not-up")


@pytest.mark.slow
def test_the_openai_client_works_against_it(home: Path) -> None:
    from openai import AuthenticationError, NotFoundError, OpenAI

    hub = home / "hub"
    made = foedus("serve", "token", "new", "notebook", "--scope", "predict", "--scope", "embed", "--workspace", hub)
    listed = foedus("serve", "token", "list", "--workspace", hub)
    assert [one["name"] for one in listed.data["tokens"]] == ["notebook"]
    assert made.data["token"] not in listed.out
    with serving(home) as server:
        with OpenAI(base_url=f"{server.address}/v1", api_key=made.data["token"], max_retries=0) as client:
            assert [model.id for model in client.models.list()] == ["practice-intents-1.0"]
            found = client.embeddings.create(model="practice-intents-1.0", input=list(TEXTS))
            assert [len(one.embedding) for one in found.data] == [32, 32, 32]
            with pytest.raises(NotFoundError, match="release that is served"):
                client.embeddings.create(model="other", input="a")
        assert foedus("serve", "token", "revoke", "notebook", "--workspace", hub).code == 0
        for refused in ("wrong", made.data["token"]):
            client = OpenAI(base_url=f"{server.address}/v1", api_key=refused, max_retries=0)
            with client, pytest.raises(AuthenticationError, match="token that is good"):
                client.models.list()
        assert server.end(signal.SIGINT) == 0


@pytest.mark.slow
def test_told_to_stop_it_is_not_ready_at_once_and_answers_on_for_a_while(home: Path) -> None:
    with serving(home, "--drain-seconds", "3") as server, httpx.Client(base_url=server.address) as client:
        assert client.get("/readyz").status_code == 200
        server.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 3
        while client.get("/readyz").status_code != 503:
            assert time.monotonic() < deadline
        assert client.get("/health").json()["status"] == "draining"
        assert client.post("/v1/predict", json={"text": TEXTS[0]}).status_code == 200
        assert server.process.wait(60) == 0


@pytest.mark.slow
def test_what_was_answered_is_written_down_before_it_ends(home: Path) -> None:
    from foedus.serve.store import Traffic

    with serving(home) as server:
        httpx.post(f"{server.address}/v1/predict", json={"texts": list(TEXTS)})
        assert server.end() == 0
    with Traffic.of(home / "hub") as traffic:
        assert traffic.counts()["answers"] == 3


@pytest.mark.slow
def test_a_server_looks_at_its_own_traffic_as_often_as_it_is_told(home: Path) -> None:
    with serving(home, "--watch", 1) as server:
        assert httpx.post(f"{server.address}/v1/predict", json={"text": TEXTS[0]}).status_code == 200
        for _ in range(600):
            page = httpx.get(f"{server.address}/metrics").text
            if re.search(r'(?m)^foedus_watch_waiting_answers\{release="[^"]+"\} 499\.0$', page):
                break
            time.sleep(0.1)
        else:
            raise AssertionError(page)
        watched = httpx.get(f"{server.address}/health").json()["watched"]
        assert (watched["every_seconds"], watched["trouble"]) == (1, None)
        assert server.end() == 0


@pytest.mark.slow
def test_a_server_that_was_killed_leaves_nothing_in_the_way(home: Path) -> None:
    with serving(home) as server:
        server.process.kill()
        server.process.wait()
    with serving(home) as server:
        assert ask(home / "hub", "standing")["release"] == "practice-intents-1.0"
        second_one = foedus("serve", bundle(home), "--workspace", home / "hub", "--port", 0, at=home)
        assert (second_one.code, second_one.data["code"]) == (1, "serve.already-up")
        assert server.end() == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--host", "0.0.0.0"), "serve.open-door"),  # noqa: S104 - refused
        (("--host", "no.such.host.invalid"), "serve.open-door"),
        (("--port", "70000"), "serve.bad-host"),
        (("--anchor", "sha256:" + "7" * 64), "release.anchor-not-found"),
        (("--anchor", "nonsense"), "verify.bad-anchor"),
        (("--int8", "--int8-check", "missing.csv"), "data.missing-file"),
        (("--shadow", "missing"), "release.no-such-release"),
    ],
)
def test_what_cannot_be_served_is_told_before_anything_listens(home: Path, words: tuple[str, ...], code: str) -> None:
    answer = foedus("serve", bundle(home), "--workspace", home / "hub", *words, at=home)
    assert (answer.data["code"], answer.data["kind"]) == (code, "error"), answer.err


def test_a_port_that_is_taken_is_told(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = foedus("serve", bundle(home), "--workspace", home / "hub", "--port", port, at=home)
    assert (answer.code, answer.data["code"]) == (1, "serve.port-taken")


@pytest.mark.slow
def test_int8_is_told_with_what_it_changes(home: Path, tmp_path: Path) -> None:
    labelled = tmp_path / "labelled.csv"
    labelled.write_text("text,label\n" + "".join(f"{text},age_limit\n" for text in TEXTS))
    with serving(home, "--int8", "--int8-check", labelled) as server:
        health = httpx.get(f"{server.address}/health").json()
        assert health["int8"]["n"] == 3
        assert set(health["int8"]) >= {"agreement", "accuracy", "accuracy_int8"}
        assert server.end() == 0
    assert any("on 3 labelled rows" in line for line in server.said)


@pytest.mark.slow
def test_schemathesis_finds_no_fault_over_the_whole_document(home: Path, tmp_path: Path) -> None:
    with serving(home) as server:
        checks = "not_a_server_error,response_schema_conformance,status_code_conformance,content_type_conformance"
        told = subprocess.run(
            [Path(sys.executable).with_name("schemathesis"), "run", f"{server.address}/openapi.json", "--checks",
             checks, "--max-examples", "40", "--seed", "7", "--phases", "examples,coverage,fuzzing"],
            capture_output=True, text=True, cwd=tmp_path, timeout=900,
        )  # fmt: skip
        assert told.returncode == 0, told.stdout[-8000:]
        assert "Server error" not in json.dumps(told.stdout)
        assert server.end() == 0

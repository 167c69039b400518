"""Takes the tasks that Flower wants executed, and executes one app only: the wire's own, in this process.

Flower's executor (`flower-superexec`) unpacks the app that a run brings and starts it in a new process for each
message. Here nothing is unpacked: a task whose app has another digest than the one installed here is refused, and the
installed app is called. So no code travels, and a message costs no process start.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from flwr.app import Error, Message
from flwr.common.constant import ErrorCode, Status, SubStatus
from flwr.common.serde import context_from_proto, fab_from_proto, run_from_proto
from flwr.proto.runtime_pb2 import (
    AcquireTaskRequest,
    PullTaskInputRequest,
    PushTaskOutputRequest,
    SendTaskHeartbeatRequest,
)
from flwr.supercore.constant import TaskType
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.task_identity import TaskIdentity

from foedus.wire import fab

__all__ = ["in_turn", "run_client_tasks", "run_server_tasks"]

_POLL_SECONDS = 0.25
_HEARTBEAT_SECONDS = 20.0
_TAKE = frozenset({"/flwr.proto.Runtime/AcquireTask"})


def in_turn(receive: Callable[..., int | None], received: threading.Semaphore) -> Callable[..., int | None]:
    """The SuperNode's own `receive`, which gives the run of a message or None, but one message after the other.

    Flower offers a message for execution before its parts are here. Where the SuperLink dies just then, or ends the
    run, it goes on to the next message and leaves the first one, its parts and its task behind: an executor would wait
    for those parts for hours, or answer what nobody asked. Here `received` is released when a message is whole, and
    what was begun and came to nothing is cleared away.
    """

    def receive_whole(**here: Any) -> int | None:
        run = receive(**here)
        if run is not None:
            received.release()
            return run
        for task in here["state"].get_tasks(statuses=[Status.PENDING]):
            here["state"].finish_task(task.task_id, SubStatus.FAILED, "")
        here["state"].delete_messages()
        here["object_store"].clear()
        return None

    return receive_whole


def run_client_tasks(address: str, secret_file: Path, received: threading.Semaphore) -> None:
    """Execute the ClientApp tasks of the SuperNode at `address`, for ever: one each time that `received` is released,
    which says that a message is here with all its parts.

    The SuperNode waits for the answer to a message that it has received before it asks for another. So a message that
    cannot be answered ends this process; who started it starts it again, and the hub sends anew what is open.
    """
    taker = _client(address, None, secret=secret_file.read_bytes())
    while received.acquire():
        with _client(address, None, token=_take(taker)) as client, _Heartbeat(client):
            try:
                _execute_client(client)
            except Exception as error:  # noqa: BLE001 - whatever it was, nobody else would answer
                _note(error)
                os._exit(1)


def run_server_tasks(address: str, ca: Path, secret_file: Path) -> None:
    """Execute the first ServerApp task of the SuperLink at `address` whose app is ours, and refuse those before it."""
    certificate = ca.read_bytes()
    taker = _client(address, certificate, secret=secret_file.read_bytes())
    while True:
        token = _take(taker)
        with _client(address, certificate, token=token) as client, _Heartbeat(client):
            if _execute_server(client, address, certificate, token):
                return


def _take(taker: RuntimeHttpClient) -> str:
    """The token of the next task, once there is one."""
    while True:
        try:
            taken = taker.AcquireTask(AcquireTaskRequest(supported_task_types=sorted(TaskType)))
            if taken.token:
                return str(taken.token)
        except (httpx.HTTPError, ValueError) as error:  # it is not up yet, or not now
            _note(error)
        time.sleep(_POLL_SECONDS)


def _execute_client(client: RuntimeHttpClient) -> None:
    from flwr.supernode.runtime.run_clientapp import pull_task_input, push_message, push_task_output

    from foedus.wire.client_app import app

    message, context, _, bundle = pull_task_input(client)
    try:
        if _ours(bundle.content):
            reply = app(message, context)
        else:
            reply = Message(Error(ErrorCode.INVALID_FAB, "wire.app-foreign"), reply_to=message)
    except Exception as error:  # noqa: BLE001 - the hub must hear of it
        _note(error)
        reply = Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, "wire.node-failed"), reply_to=message)
    failed = (reply.error.reason or "") if reply.has_error() else ""
    push_message(client, reply, context)
    push_task_output(client, context, SubStatus.FAILED if failed else SubStatus.COMPLETED, failed)


def _execute_server(client: RuntimeHttpClient, address: str, certificate: bytes, token: str) -> bool:
    """Whether the task's app was ours; if so, it has run to its end."""
    from flwr.superlink.grid import HttpGrid

    from foedus.wire.server_app import app

    task = client.PullTaskInput(PullTaskInputRequest())
    if not _ours(fab_from_proto(task.fab).content):
        _note("wire.app-foreign")
        client.PushTaskOutput(PushTaskOutputRequest(sub_status=SubStatus.FAILED, details="wire.app-foreign"))
        return False
    TaskIdentity.task_id, TaskIdentity.run_id = task.task_id, task.run.run_id
    TaskIdentity.node_id = task.context.node_id
    grid = HttpGrid(address, root_certificates=certificate, token=token)
    grid.set_run(run_from_proto(task.run))
    app(grid, context_from_proto(task.context))
    client.PushTaskOutput(PushTaskOutputRequest(sub_status=SubStatus.COMPLETED, details=""))
    return True


def _note(what: object) -> None:
    print(f"foedus: {what!r}", flush=True)  # noqa: T201 - the service's own log


def _ours(bundle: bytes) -> bool:
    return hashlib.sha256(bundle).hexdigest() == fab.digest()


def _client(
    address: str, certificate: bytes | None, *, secret: bytes | None = None, token: str | None = None
) -> RuntimeHttpClient:
    interceptors: list[Any] = [RuntimeVersionHttpInterceptor(component_name="SuperExec")]
    if secret is not None:
        interceptors.append(SuperExecAuthHttpInterceptor(master_secret=secret, protected_methods=_TAKE))
    if token is not None:
        interceptors.append(RuntimeTokenHttpInterceptor(token))
    return RuntimeHttpClient.from_server_address(address, certificate is None, certificate, interceptors)


class _Heartbeat:
    """Tells Flower that the task goes on, for as long as the block runs."""

    def __init__(self, client: RuntimeHttpClient) -> None:
        self._client = client
        self._done = threading.Event()

    def __enter__(self) -> None:
        threading.Thread(target=self._beat, daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self._done.set()

    def _beat(self) -> None:
        while not self._done.wait(_HEARTBEAT_SECONDS):
            try:
                self._client.SendTaskHeartbeat(SendTaskHeartbeatRequest())
            except (httpx.HTTPError, RuntimeError, ValueError):
                continue  # the next one may get through; the task's own calls report what is wrong

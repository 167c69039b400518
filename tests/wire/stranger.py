"""A hub that was taken over: it submits an app of its own and asks a node to execute it. Prints what the node says.

`python stranger.py ADDRESS CA SECRET_FILE NODE MARKER`: the app would write the file MARKER.
"""

import io
import sys
import time
import zipfile
from hashlib import sha256
from pathlib import Path

from flwr.app import Message, RecordDict
from flwr.common.serde import run_from_proto
from flwr.proto.control_pb2 import StartRunRequest
from flwr.proto.fab_pb2 import Fab
from flwr.proto.runtime_pb2 import AcquireTaskRequest, PullTaskInputRequest
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.grid import HttpGrid

from foedus.wire.executor import _client
from foedus.wire.superlink import _WithSecret

address, ca, secret_file, node, marker = sys.argv[1:]
certificate, secret = Path(ca).read_bytes(), Path(secret_file).read_text()

buffer = io.BytesIO()
with zipfile.ZipFile(buffer, "w") as archive:
    archive.writestr(
        "pyproject.toml",
        '[project]\nname = "foedus-wire"\nversion = "1.0.0"\n[tool.flwr.app]\npublisher = "foedus"\n'
        '[tool.flwr.app.components]\nserverapp = "evil:app"\nclientapp = "evil:app"\n[tool.flwr.app.config]\n',
    )
    archive.writestr("evil.py", f"open({marker!r}, 'w').write('executed')\n")
    archive.writestr(".info/CONTENT", "")
bundle = buffer.getvalue()

interceptors = [RuntimeVersionHttpInterceptor(component_name="CLI"), _WithSecret(secret)]
with ControlHttpClient.from_server_address(address, False, certificate, interceptors) as control:
    request = StartRunRequest(fab=Fab(hash_str=sha256(bundle).hexdigest(), content=bundle))
    assert control.StartRun(request).run_id

if node == "none":
    sys.exit()
with _client(address, certificate, secret=secret.encode()) as taker:
    taken = taker.AcquireTask(AcquireTaskRequest(supported_task_types=["flwr-serverapp"]))
with _client(address, certificate, token=taken.token) as client:
    task = client.PullTaskInput(PullTaskInputRequest())
assert sha256(task.fab.content).digest() == sha256(bundle).digest()
TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = task.task_id, task.run.run_id, task.context.node_id
grid = HttpGrid(address, root_certificates=certificate, token=taken.token)
grid.set_run(run_from_proto(task.run))
sent = list(grid.push_messages([Message(RecordDict(), dst_node_id=int(node), message_type="query.carry")]))
for _ in range(100):
    for reply in grid.pull_messages(sent):
        sys.stdout.write(f"{reply.error.code} {reply.error.reason}\n")
        sys.exit()
    time.sleep(0.5)

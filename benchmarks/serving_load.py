"""Clients of the serving benchmark, in a process of their own: `wrk` for how much, a paced one for what gets lost.

python benchmarks/serving_load.py ADDRESS TEXTS --connections 32 --rate 400 --seconds 180     prints JSON
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

LUA = """\
local texts = {}
for line in io.lines(%(texts)s) do table.insert(texts, line) end
local at = 0
wrk.method, wrk.headers["Content-Type"] = "POST", "application/json"
function request()
  at = at %% #texts + 1
  return wrk.format(nil, "/v1/predict", nil, '{"text": ' .. texts[at] .. '}')
end
"""
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


def wrk(address: str, texts: Path, *, connections: int, seconds: int) -> dict[str, float]:
    """Requests a second and percentiles in milliseconds, as wrk saw them; `failed` counts what was no 200."""
    with tempfile.TemporaryDirectory() as folder:
        bodies = Path(folder) / "texts"
        lines = texts.read_text(encoding="utf-8").splitlines()
        bodies.write_text("\n".join(json.dumps(line) for line in lines) + "\n", encoding="utf-8")
        script = Path(folder) / "ask.lua"
        script.write_text(LUA % {"texts": json.dumps(str(bodies))})
        shown = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "--latency", "-s", script, address],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
    found = {f"p{share}_ms": _percentile(shown, share) for share in (50, 99)}
    rate = re.search(r"Requests/sec:\s+([0-9.]+)", shown)
    count = re.search(r"([0-9]+) requests in", shown)
    wrong = re.search(r"Non-2xx or 3xx responses: ([0-9]+)", shown)
    errors = re.search(r"Socket errors: connect ([0-9]+), read ([0-9]+), write ([0-9]+), timeout ([0-9]+)", shown)
    if not (rate and count):
        raise SystemExit(f"wrk said what was not understood:\n{shown}")
    failed = int(wrong[1]) if wrong else 0
    failed += sum(map(int, errors.groups())) if errors else 0
    return {**found, "rate": float(rate[1]), "requests": int(count[1]), "failed": failed}


def _percentile(shown: str, share: int) -> float:
    found = re.search(rf"\b{share}%\s+([0-9.]+)(us|ms|s|m)\b", shown)
    if found is None:
        raise SystemExit(f"wrk shows no {share}th percentile:\n{shown}")
    return float(found[1]) * _UNITS[found[2]]


async def paced(address: str, texts: Path, *, connections: int, rate: float, seconds: float) -> dict[str, object]:
    """Ask at a fixed rate over some connections; count every answer by its status and by who gave it."""
    lines = texts.read_text(encoding="utf-8").splitlines()
    statuses: Counter[str] = Counter()
    ends = time.monotonic() + seconds
    each = connections / rate

    async def ask(number: int) -> None:
        where = urlsplit(address)
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        due = time.monotonic() + each * number / connections
        while due < ends:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due += each
            body = json.dumps({"text": lines[(number * 7919 + int(due * 1000)) % len(lines)]}).encode()
            head = f"POST /v1/predict HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            try:
                statuses[await _status(reader)] += 1
            except (OSError, asyncio.IncompleteReadError):
                statuses["lost"] += 1
                reader, writer = await asyncio.open_connection(where.hostname, where.port)
        writer.close()

    await asyncio.gather(*(ask(number) for number in range(connections)))
    return {"asked": sum(statuses.values()), "statuses": dict(statuses)}


async def _status(reader: asyncio.StreamReader) -> str:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    size = re.search(r"(?im)^content-length: ([0-9]+)", head)
    await reader.readexactly(int(size[1]) if size else 0)
    return head.split(" ", 2)[1]


if __name__ == "__main__":
    given = argparse.ArgumentParser()
    given.add_argument("address")
    given.add_argument("texts", type=Path)
    given.add_argument("--connections", type=int, default=32)
    given.add_argument("--rate", type=float, required=True)
    given.add_argument("--seconds", type=float, required=True)
    asked = given.parse_args()
    load = paced(asked.address, asked.texts, connections=asked.connections, rate=asked.rate, seconds=asked.seconds)
    print(json.dumps(asyncio.run(load)))

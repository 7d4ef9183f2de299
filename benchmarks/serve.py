"""The page's server under many clients at once: what it answers, how fast, and what it never answers.

    python benchmarks/serve.py RUN --index INDEX --photos FOLDER [--clients 50] [--seconds 60] [--json FILE]

`linnet serve` runs in a process of its own on the loopback address; the clients, each asking again as soon as it is
answered, run in this one. Every request sends a photo; three in four ask for its class, one for its nearest images.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np


def main() -> None:
    """Serve, ask, and tell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--index", required=True)
    parser.add_argument("--photos", required=True, type=Path, help="folder of JPEG files")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--quick", action="store_true", help="five seconds")
    parser.add_argument("--conditions", default="")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    photos = [path.read_bytes() for path in sorted(given.photos.rglob("*.jpg"))[::29][:200]]
    if not photos:
        parser.error(f"{given.photos}: no JPEG file")
    seconds = 5.0 if given.quick else given.seconds
    command = [sys.executable, "-m", "linnet", "serve", given.run, "--index", given.index, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        where = next(found[0] for line in server.stderr if (found := re.search(r"http://\S+/", line)))
        reader = asyncio.run(measured(server.stderr, where, photos, given.clients, seconds))
        found = {**reader, **told(server.pid, given, photos)}
        server.send_signal(signal.SIGINT)
        server.wait(60)
    print(json.dumps(found, indent=2))
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n")


async def measured(log: Any, where: str, photos: list[bytes], clients: int, seconds: float) -> dict[str, Any]:
    """Counts by status, and times in milliseconds of what was answered with 200."""
    # A log that nobody reads would fill its pipe and stop the server.
    threading.Thread(target=lambda: deque(log, maxlen=0), daemon=True).start()
    async with AsyncExitStack() as stack:
        # Each has a connection of its own, as people have: requests that share a pool overtake each other in it.
        each_own = [
            await stack.enter_async_context(httpx.AsyncClient(base_url=where, timeout=120, trust_env=False))
            for _ in range(clients)
        ]
        for kind in ("predict", "search"):
            (await each_own[0].post(f"/api/v1/{kind}", files={"image": photos[0]})).raise_for_status()
        load = os.getloadavg()[0]
        until, start = time.perf_counter() + seconds, time.perf_counter()
        parts = await asyncio.gather(*(one(client, photos, n, until) for n, client in enumerate(each_own)))
        took = time.perf_counter() - start
    answers = [each for part in parts for each in part]
    statuses = Counter(str(status) for _, status, _ in answers)
    good = {
        kind: [ms for asked, status, ms in answers if status == 200 and asked == kind] for kind in ("predict", "search")
    }
    every = good["predict"] + good["search"]
    return {
        "clients": clients,
        "seconds": round(took, 1),
        "requests": len(answers),
        "statuses": dict(sorted(statuses.items())),
        "answered_per_second": round(len(every) / took, 1),
        "milliseconds": {kind: quantiles(times) for kind, times in {"all": every, **good}.items()},
        "load_average_before": round(load, 1),
    }


async def one(
    client: httpx.AsyncClient, photos: list[bytes], number: int, until: float
) -> list[tuple[str, int, float]]:
    """A client that asks again as soon as it is answered, and waits as long as a 503 asks it to."""
    found = []
    place = 7 * number
    while time.perf_counter() < until:
        kind = "search" if place % 4 == 0 else "predict"
        start = time.perf_counter()
        said = await client.post(f"/api/v1/{kind}", files={"image": photos[place % len(photos)]})
        found.append((kind, said.status_code, 1000 * (time.perf_counter() - start)))
        if said.status_code == 503:
            await asyncio.sleep(float(said.headers["Retry-After"]))
        place += 1
    return found


def quantiles(times: list[float]) -> dict[str, float]:
    """Median, 99th percentile and the longest."""
    if not times:
        return {}
    return {
        "p50": round(float(np.median(times)), 1),
        "p99": round(float(np.quantile(times, 0.99)), 1),
        "max": round(max(times), 1),
    }


def told(pid: int, given: argparse.Namespace, photos: list[bytes]) -> dict[str, Any]:
    """What the figures were measured on."""
    recipe = json.loads((Path(given.run) / "recipe.json").read_text())
    card = json.loads((Path(given.index) / "index.json").read_text())
    status = Path(f"/proc/{pid}/status").read_text()
    return {
        "run": {name: recipe[name] for name in ("data", "method", "backbone", "image_size")},
        "index_rows": card.get("rows") or sum(part.get("rows", 0) for part in card.get("parts", [])),
        "photos": len(photos),
        "mean_photo_bytes": round(sum(map(len, photos)) / len(photos)),
        "server_peak_mib": round(int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024),  # type: ignore[index]
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, clients on the same ones",
        "python": platform.python_version(),
        "date": datetime.now(UTC).date().isoformat(),
        "conditions": given.conditions,
    }


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Measures what a heap snapshot does to a server that is busy, by every way to take one, side by side in one run.

An HTTP server (server.cjs) holds a heap of many small objects and answers requests all the time. Each way takes one
snapshot of a fresh server; the longest stall of its event loop is what its own timer saw, the requests are what clients
saw, and its resident memory is read before and after.

usage: capture.py [--objects 1000000] [--connections 5] [--runs 1] [--websocat PATH] [--ways a,b] [--name NAME]
"""

import argparse
import datetime
import http.client
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
HEAPSIGHT = ROOT / "target/release/heapsight"
LIMIT_S = 900


class Server:
    """A server process; ends with the block."""

    def __init__(self, node, objects):
        self.process = subprocess.Popen(
            [node, "--max-old-space-size=8000", HERE / "server.cjs", str(objects)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.port = int(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_S)
        connection.request("GET", path)
        body = connection.getresponse().read()
        connection.close()
        return body

    def stall(self):
        return json.loads(self.get("/stall"))

    def rss(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            for line in status:
                if line.startswith("VmRSS"):
                    return int(line.split()[1]) * 1024


class Load:
    """Clients that ask one after another until the block ends."""

    def __init__(self, server, connections):
        self.server, self.stop = server, threading.Event()
        self.lock, self.latencies, self.failed = threading.Lock(), [], 0
        self.threads = [threading.Thread(target=self.work) for _ in range(connections)]

    def work(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=LIMIT_S)
        while not self.stop.is_set():
            start = time.monotonic()
            try:
                connection.request("GET", "/")
                ok = connection.getresponse().read() != b""
            except OSError:
                ok = False
                connection.close()
            with self.lock:
                self.latencies.append(time.monotonic() - start)
                self.failed += not ok
            time.sleep(0.01)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()


def heapsight(server, out, *more):
    command = [HEAPSIGHT, "snapshot", str(server.process.pid), "-o", out, "--json", *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    if done.returncode != 0:
        sys.exit(f"{command}: {done.stderr}")
    return done.stdout


def in_place(server, out, _):
    server.get(f"/snapshot?file={out}")


def by_websocat(server, out, args):
    command = [HERE / "websocat.sh", str(server.process.pid), out, args.websocat]
    subprocess.run(command, check=True, timeout=LIMIT_S, stderr=subprocess.DEVNULL)


def by_fork(server, out, _):
    return heapsight(server, out, "--method", "fork")


def by_inspector(server, out, _):
    return heapsight(server, out, "--method", "inspector")


def stable(server, out, _):
    """Two snapshots in one run, with ids that stay, 1,000 objects added between; the stall is the worse one's."""
    folder = pathlib.Path(out).parent / "series"
    folder.mkdir()
    command = [HEAPSIGHT, "snapshot", str(server.process.pid), "--method", "fork", "--stable-ids", "--repeat", "2"]
    run = subprocess.Popen([*command, "--every", "5s", "-o", folder, "--quiet"], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + LIMIT_S
    while not list(folder.glob("*.heapsnapshot")) and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    server.get("/add?n=1000")
    if run.wait(timeout=LIMIT_S) != 0:
        sys.exit(f"{command} failed")
    first, second = sorted(folder.glob("*.heapsnapshot"), key=os.path.getmtime)
    command = [HEAPSIGHT, "diff", first, second, "--json", "--no-cache"]
    diff = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    shutil.move(first, out)
    shutil.rmtree(folder)
    rows = {row["name"]: row for row in diff["classes"]}
    customers = rows.get("Customer", {"added_count": 0, "removed_count": 0})
    return json.dumps({
        "added": rows["Added"]["added_count"],
        "customers_renumbered": customers["added_count"] + customers["removed_count"],
    })


WAYS = {
    "V8 in place": in_place,
    "websocat + jq": by_websocat,
    "heapsight inspector": by_inspector,
    "heapsight fork": by_fork,
    "heapsight fork --stable-ids, twice": stable,
}


def measure(way, args, work):
    out = str(pathlib.Path(work) / "capture.heapsnapshot")
    with Server(args.node, args.objects) as server:
        with Load(server, args.connections) as load:
            time.sleep(2)
            server.stall()
            before = server.rss()
            with load.lock:
                load.latencies.clear()
            start = time.monotonic()
            report = WAYS[way](server, out, args)
            took = time.monotonic() - start
            stall = server.stall()
            time.sleep(1)
            after = server.rss()
            with load.lock:
                latencies = sorted(load.latencies)
    size = os.path.getsize(out)
    with open(out, "rb") as file:
        head = file.read(4096).decode(errors="replace")
    nodes = int(head.split('"node_count":')[1].split(",")[0].split("}")[0])
    os.unlink(out)
    return {
        "took_s": round(took, 2),
        "stall_ms": round(stall["max_ms"], 1),
        "failed": load.failed,
        "over_1_s": sum(latency > 1 for latency in latencies),
        "requests": len(latencies),
        "p50_ms": round(latencies[len(latencies) // 2] * 1000, 2),
        "max_ms": round(latencies[-1] * 1000, 1),
        "rss_before": before,
        "rss_growth_percent": round((after - before) * 100 / before, 1),
        "bytes": size,
        "nodes": nodes,
        "stall_us_per_node": round(stall["max_ms"] * 1000 / nodes, 4),
        "report": json.loads(report) if report else None,
    }


def text_of(command):
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def report(results, args):
    in_place_ms = statistics.median(r["stall_ms"] for r in results.get("V8 in place", [{"stall_ms": float("nan")}]))
    rows = [
        "| | longest stall | of in place | requests failed | over 1 s | resident memory after | took | file |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for way, runs in results.items():
        def middle(key):
            return statistics.median(r[key] for r in runs)
        rows.append(
            f"| {way} | {middle('stall_ms'):,.0f} ms | 1/{in_place_ms / middle('stall_ms'):,.1f} "
            f"| {max(r['failed'] for r in runs)} | {max(r['over_1_s'] for r in runs)} of {middle('requests'):,.0f} "
            f"| {middle('rss_growth_percent'):+.1f} % | {middle('took_s'):.1f} s | {middle('bytes') / 1e6:,.0f} MB |"
        )
    notes = []
    for run in results.get("heapsight fork --stable-ids, twice", []):
        notes.append(
            f"With `--stable-ids`: {run['stall_us_per_node']:.2f} us of stall a node ({run['nodes']:,} nodes); "
            f"{run['report']['added']:,} objects of class Added new in `diff`, of the old Customers "
            f"{run['report']['customers_renumbered']:,} renumbered."
        )
    return rows, notes


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--connections", type=int, default=5)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--node", default="node")
    parser.add_argument("--websocat")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--name")
    args = parser.parse_args()
    ways = [way for way in WAYS if any(way.startswith(w.strip()) for w in args.ways.split(","))]
    if "," in "".join(ways) and args.ways == ",".join(WAYS):
        ways = list(WAYS)
    if not args.websocat:
        ways = [way for way in ways if way != "websocat + jq"]
    results = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as work:
        for _ in range(args.runs):
            for way in ways:
                run = measure(way, args, work)
                results[way].append(run)
                print(way, json.dumps(run), flush=True)
    rows, notes = report(results, args)
    print("\n".join(rows + [""] + notes))
    if args.name:
        folder = HERE.parent / "runs" / args.name
        folder.mkdir(parents=True, exist_ok=True)
        cpu = next(l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name"))
        node = text_of([args.node, "--version"])
        version = text_of([str(HEAPSIGHT), "--version"])
        commit = text_of(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"])
        text = [
            f"# {args.name}",
            "",
            f"{cpu}, {os.cpu_count()} cores, Linux {platform.release()}; Node.js {node}, {version} ({commit}), "
            f"{datetime.date.today()}. {args.objects:,} objects, {args.connections} connections, "
            f"medians of {args.runs} runs.",
            "",
            *rows,
            "",
            *notes,
            "",
        ]
        (folder / "README.md").write_text("\n".join(text))
        (folder / "raw.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Measures what sampling costs a busy server: requests a second with `heapsight sample` attached and without, in turns.

The server (server.cjs) allocates in each request. One server serves all turns, so that only the sampling differs; a
turn with and one without follow each other, and the median of the ratios of such pairs is what counts: machines drift.
The server with all its threads has one core, the load and Heapsight the others, so that work which V8 does on other
threads is counted, too. How sure the median is comes from drawing the pairs again and again (bootstrap).

usage: sampling.py [--pairs 15] [--seconds 4] [--interval 512KiB] [--objects 50000] [--connections 4] [--name NAME]
"""

import argparse
import http.client
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from capture import HEAPSIGHT, HERE, Server, text_of


def throughput(server, connections, seconds):
    """Requests a second over so long."""
    counts = [0] * connections
    end = time.monotonic() + seconds

    def work(at):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        while time.monotonic() < end:
            connection.request("GET", "/")
            connection.getresponse().read()
            counts[at] += 1
        connection.close()

    threads = [threading.Thread(target=work, args=(at,)) for at in range(connections)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.monotonic() - begun)


def pin(server):
    """One core for the server, the others for whoever asks."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        return
    for task in os.listdir(f"/proc/{server.process.pid}/task"):
        os.sched_setaffinity(int(task), cores[:1])
    os.sched_setaffinity(0, cores[1:])


def interval(values):
    """The range that holds the median of 95 of 100 draws of as many values."""
    draw = random.Random(1)
    medians = sorted(statistics.median(draw.choices(values, k=len(values))) for _ in range(4000))
    return medians[100], medians[-100]


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def turn(server, args, work, sampled):
    sampler = None
    if sampled:
        out = pathlib.Path(work) / "profile.heapprofile"
        command = [HEAPSIGHT, "sample", str(server.process.pid), "--interval", args.interval]
        command += ["--duration", f"{args.seconds + 60}s", "-o", out, "--force", "--quiet"]
        sampler = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        time.sleep(1.5)
    else:
        time.sleep(1.5)
    before = cpu_seconds(server.process.pid)
    rate = throughput(server, args.connections, args.seconds)
    cpu = cpu_seconds(server.process.pid) - before
    if sampler:
        if sampler.poll() is not None:
            sys.exit(f"heapsight sample has ended: {sampler.stderr.read()}")
        sampler.terminate()
        if sampler.wait(timeout=60) != 0:
            sys.exit(f"heapsight sample failed: {sampler.stderr.read()}")
    return {"requests_per_second": rate, "cpu_us_per_request": cpu / (rate * args.seconds) * 1e6}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--interval", default="512KiB")
    parser.add_argument("--objects", type=int, default=50_000)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--node", default="node")
    parser.add_argument("--name")
    args = parser.parse_args()
    pairs = []
    with tempfile.TemporaryDirectory() as work, Server(args.node, args.objects) as server:
        throughput(server, args.connections, args.seconds)
        pin(server)
        for at in range(args.pairs):
            # Which comes first changes from pair to pair.
            order = [True, False] if at % 2 else [False, True]
            pair = {sampled: turn(server, args, work, sampled) for sampled in order}
            pairs.append({"without": pair[False], "with": pair[True]})
            print(json.dumps(pairs[-1]), flush=True)

    def change(key):
        changes = [(pair["with"][key] / pair["without"][key] - 1) * 100 for pair in pairs]
        low, high = interval(changes)
        return f"{statistics.median(changes):+.1f} % (95 % sure: {low:+.1f} to {high:+.1f} %)"

    without = statistics.median(pair["without"]["requests_per_second"] for pair in pairs)
    text = (
        f"Sampling every {args.interval}, median of {args.pairs} pairs of turns: requests a second "
        f"{change('requests_per_second')}, processor time a request {change('cpu_us_per_request')}. Without sampling "
        f"{without:,.0f} requests a second, each of which makes 200 objects and as many strings.\n"
    )
    print(text)
    if args.name:
        folder = HERE.parent / "runs" / args.name
        folder.mkdir(parents=True, exist_ok=True)
        node, version = text_of([args.node, "--version"]), text_of([str(HEAPSIGHT), "--version"])
        (folder / "README.md").write_text(f"# {args.name}\n\nNode.js {node}, {version}, {os.cpu_count()} cores.\n\n{text}")
        (folder / "raw.json").write_text(json.dumps(pairs, indent=1) + "\n")


if __name__ == "__main__":
    main()

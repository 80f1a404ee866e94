#!/usr/bin/env python3
"""Measures what sampling costs a busy server: processor time a request, with and without it, in turns of a fraction of a second.

The server (server.cjs) allocates in each request, and answers as many as it can (load.cjs). It switches sampling on and off
by the calls that `heapsight sample` makes, which lets turns be short: machines drift, and what is compared must stand side
by side. A turn with and one without follow each other, which of them is first changes, and the median of the ratios of such
pairs is what counts. The server with all its threads has one core, the load the others, so that work which V8 does on other
threads is counted, too. How sure the median is comes from drawing the pairs again and again (bootstrap).

usage: sampling.py [--pairs 400] [--milliseconds 250] [--interval 512KiB] [--objects 50000] [--connections 8] [--name NAME]
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import time

from capture import HEAPSIGHT, HERE, Server, text_of

UNITS = {"KiB": 1 << 10, "MiB": 1 << 20}


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


def bytes_of(text):
    for unit, factor in UNITS.items():
        if text.endswith(unit):
            return int(text[: -len(unit)]) * factor
    return int(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--milliseconds", type=int, default=250)
    parser.add_argument("--interval", default="512KiB")
    parser.add_argument("--objects", type=int, default=50_000)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--node", default="node")
    parser.add_argument("--name")
    args = parser.parse_args()
    sampled = bytes_of(args.interval)
    pairs = []
    with Server(args.node, args.objects) as server:
        pin(server)
        command = [args.node, HERE / "load.cjs", str(server.port), str(args.connections)]
        load = subprocess.Popen(command, stdin=subprocess.PIPE)
        try:
            time.sleep(3)

            def turn(following):
                """Lets the turn that runs last, ends it and begins the following one; gives what it was."""
                time.sleep(args.milliseconds / 1000)
                return json.loads(server.get(f"/slice?interval={following}"))

            json.loads(server.get("/slice?interval=0"))
            # Off, on; on, off; and so on: each pair has one of each, and its first is as often the one as the other.
            turns = [0 if (at % 4) in (0, 3) else sampled for at in range(2 * args.pairs)] + [0]
            measured = []
            for following in turns[1:]:
                measured.append(turn(following))
            for at in range(args.pairs):
                two = list(zip(turns[2 * at : 2 * at + 2], measured[2 * at : 2 * at + 2]))
                pair = {("with" if mode else "without"): run for mode, run in two}
                if all(run["requests"] > 0 for run in pair.values()):
                    pairs.append(pair)
        finally:
            load.stdin.close()
            load.wait(timeout=60)

    def cost(run):
        return run["cpu_us"] / run["requests"]

    changes = [(cost(pair["with"]) / cost(pair["without"]) - 1) * 100 for pair in pairs]
    low, high = interval(changes)
    without = statistics.median(cost(pair["without"]) for pair in pairs)
    text = (
        f"Sampling every {args.interval}, median of {len(pairs)} pairs of turns of {args.milliseconds} ms: processor time a "
        f"request {statistics.median(changes):+.2f} % (95 % sure: {low:+.2f} to {high:+.2f} %), which is what a server that is "
        f"busy loses of its throughput. Without sampling {without:,.1f} us a request, each of which makes 200 objects and as "
        f"many strings.\n"
    )
    print(text)
    if args.name:
        folder = HERE.parent / "runs" / args.name
        folder.mkdir(parents=True, exist_ok=True)
        node, version = text_of([args.node, "--version"]), text_of([str(HEAPSIGHT), "--version"])
        (folder / "README.md").write_text(f"# {args.name}\n\nNode.js {node}, {version}, {os.cpu_count()} cores.\n\n{text}")
        (folder / "raw.json").write_text(json.dumps(pairs) + "\n")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Measures `heapsight profile` on large profiles, and timelines, beside readers in JavaScript.

    cargo build --release && python3 benchsuite/profile/profile.py [--npm FOLDER] [--devtools FOLDER] [--runs 5] [--out FOLDER]

How long `top` takes on a profile of 100 MB, how long a merge of 1,000 hourly profiles takes, how long a timeline takes beside
a snapshot of the same objects, and how much memory each needs. Beside them: Node.js that parses the same file with `JSON.parse` and adds up self sizes by function, which
is the least that a tool in JavaScript has to do (DevTools and speedscope do that and more), and npm `pprof-format` on the same
profile as pprof, and speedscope in a real Chromium (from the page's load to the profile's name in its title), if
`pprof-format`, `speedscope` and `playwright-core` are installed in `--npm`; DevTools' engine on the same
snapshot, if the benchmark of snapshots has built it in `--devtools` (`target/benchsuite/devtools`).

The profiles are generated: the same every time. Wall clock and peak resident memory are those that the kernel reports
(`wait4`). Writes raw.json to the folder, and prints the table.
"""

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MB = 1_000_000
TOP_BYTES = 100 * MB
HOURS = 1000
HOURLY_NODES = 1200
OBJECTS = 40_000
HERE = Path(__file__).resolve().parent

READER = """
const {head} = JSON.parse(require('fs').readFileSync(process.argv[2], 'utf8'));
const sums = new Map(), open = [head];
while (open.length > 0) {
  const node = open.pop(), f = node.callFrame;
  const key = `${f.functionName} ${f.url}:${f.lineNumber}:${f.columnNumber}`;
  sums.set(key, (sums.get(key) ?? 0) + node.selfSize);
  for (const child of node.children) open.push(child);
}
console.log([...sums].sort((a, b) => b[1] - a[1]).slice(0, 30).length);
"""

PPROF = """
const {Profile} = require('pprof-format');
const bytes = require('zlib').gunzipSync(require('fs').readFileSync(process.argv[2]));
console.log(Profile.decode(bytes).sample.length);
"""


def write_profile(path, nodes, seed, at_least=0):
    """A call tree of functions of a shop, with one to four samples a node. No line is longer than the file needs."""
    pick = random.Random(seed)
    urls = ["node:internal/timers", "file:///srv/shop/server.js", "file:///srv/shop/store.js"]
    urls += [f"file:///srv/shop/node_modules/package-{n}/lib/index.js" for n in range(60)]
    functions = [(f"function{n}", pick.choice(urls), pick.randrange(2000), pick.randrange(80)) for n in range(4000)]
    samples = []
    with open(path, "w") as out:
        # An explicit stack of the number of children that are still to come, at most 60 deep.
        name, url, line, column = "(root)", "", -1, -1
        out.write('{"head":')
        number, depth, first = 0, 0, True
        while True:
            number += 1
            size = 0
            if number > 1:
                name, url, line, column = pick.choice(functions)
                for _ in range(pick.choice((0, 1, 1, 2, 4))):
                    size += 524288
                    samples.append((524288, number))
            out.write(
                ("" if first else ",")
                + f'{{"callFrame":{{"functionName":"{name}","scriptId":"7","url":"{url}",'
                + f'"lineNumber":{line},"columnNumber":{column}}},"selfSize":{size},"id":{number},"children":['
            )
            first, depth = True, depth + 1
            if number >= nodes and out.tell() >= at_least:
                break
            # Up as often as down, on average, between 2 and 60 levels.
            up = 0 if depth < 3 else pick.choice((0, 0, 1, 1, 2, 3))
            up = min(up + (depth > 60) * 5, depth - 1)
            if up:
                out.write("]}" * up)
                depth, first = depth - up, False
        out.write("]}" * depth + ',"samples":[')
        out.write(",".join(f'{{"size":{s},"nodeId":{n},"ordinal":{o}}}' for o, (s, n) in enumerate(samples, 1)))
        out.write("]}")


def measure(command, cwd):
    """Wall clock in seconds and peak resident memory in bytes of a command that must succeed."""
    began = time.monotonic()
    with open(os.devnull, "w") as nothing:
        child = subprocess.Popen(command, cwd=cwd, stdout=nothing)
    _, status, usage = os.wait4(child.pid, 0)
    took = time.monotonic() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"{command} ended with {child.returncode}")
    return took, usage.ru_maxrss * 1024


def speedscope(args, profile):
    """What the script of that name prints: seconds."""
    command = [args.node, str(HERE / "speedscope.mjs"), args.npm, str(profile)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True, timeout=600).stdout)


def write_report(out, about, sizes, results):
    """The table, for people."""
    lines = ["# Profiles and timelines", "", ", ".join(f"{key} {value}" for key, value in about.items()), ""]
    lines += ["| | median | fastest to slowest | peak memory |", "|---|---|---|---|"]
    for name, result in results.items():
        seconds, peak = result["seconds"], max(result["peak_bytes"], default=0)
        memory = f"{peak / 2**20:.0f} MiB" if peak else ""
        lines.append(
            f"| {name} | {statistics.median(seconds):.2f} s | {min(seconds):.2f} to {max(seconds):.2f} s | {memory} |"
        )
    lines += ["", "Bytes of the files: " + ", ".join(f"{name} {size:,}" for name, size in sizes.items()) + ".", ""]
    (out / "README.md").write_text("\n".join(lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heapsight", default="target/release/heapsight")
    parser.add_argument("--node", default="node")
    parser.add_argument("--npm", help="a folder with node_modules/ that has pprof-format, speedscope, playwright-core")
    parser.add_argument("--devtools", help="a folder with DevTools' engine, as benchsuite.py makes it")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--out", help="a folder for raw.json")
    parser.add_argument("--generate", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.generate:
        write_profile(args.generate / "large.heapprofile", 0, 1, TOP_BYTES * 0.97)
        for hour in range(HOURS):
            write_profile(args.generate / f"{hour:04}.heapprofile", HOURLY_NODES, hour)
        return
    heapsight = str(Path(args.heapsight).resolve())
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        # In a process of its own: what a child is said to have used at most begins with what its parent used.
        subprocess.run([sys.executable, __file__, "--generate", str(folder)], check=True)
        (folder / "reader.cjs").write_text(READER)
        (folder / "pprof.cjs").write_text(PPROF)
        subprocess.run([heapsight, "convert", "large.heapprofile", "large.pb.gz"], cwd=folder, check=True)
        record = [args.node, "--max-old-space-size=8000", str(HERE / "record-timeline.cjs"), str(OBJECTS)]
        subprocess.run([*record, "heap.heaptimeline", "heap.heapsnapshot"], cwd=folder, check=True)
        hours = [f"{hour:04}.heapprofile" for hour in range(HOURS)]
        sizes = {
            "large.heapprofile": (folder / "large.heapprofile").stat().st_size,
            "large.pb.gz": (folder / "large.pb.gz").stat().st_size,
            "timeline": (folder / "heap.heaptimeline").stat().st_size,
            "snapshot of the same objects": (folder / "heap.heapsnapshot").stat().st_size,
            "hourly": sum((folder / hour).stat().st_size for hour in hours),
        }
        cases = {
            "top, 100 MB": [heapsight, "profile", "top", "large.heapprofile"],
            "top, the same as pprof": [heapsight, "profile", "top", "large.pb.gz"],
            "merge of 1,000": [heapsight, "profile", "merge", *hours, "-o", "day.heapprofile", "--force"],
            "flame, 100 MB to a page": [heapsight, "profile", "flame", "large.heapprofile", "-o", "a.html", "--force"],
            "timeline: summary": [heapsight, "summary", "heap.heaptimeline", "--no-cache"],
            "timeline: allocations": [heapsight, "allocations", "heap.heaptimeline", "--no-cache"],
            "timeline: show": [heapsight, "timeline", "show", "heap.heaptimeline", "--no-cache"],
            "snapshot of the same objects: summary": [heapsight, "summary", "heap.heapsnapshot", "--no-cache"],
            "Node.js: JSON.parse and sums, 100 MB": [args.node, "reader.cjs", "large.heapprofile"],
        }
        environment_npm = args.npm and Path(args.npm).resolve() / "node_modules"
        if environment_npm:
            os.environ["NODE_PATH"] = str(environment_npm)
            cases["Node.js: pprof-format decodes it"] = [args.node, "pprof.cjs", "large.pb.gz"]
        if args.devtools:
            engine = [args.node, "--max-old-space-size=16000", str(Path(args.devtools).resolve() / "run.mjs")]
            # Not the timeline: V8 writes more functions than the header counts, and the engine reads only so many.
            cases["DevTools' engine: snapshot of the same objects"] = [*engine, "heap.heapsnapshot"]
        results = {}
        for command in cases.values():
            measure(command, folder)  # The files are in the page cache after this.
        # In turn, so that a busy moment of the machine does not meet one case alone.
        for turn in range(args.runs):
            for name, command in cases.items():
                took, peak = measure(command, folder)
                result = results.setdefault(name, {"seconds": [], "peak_bytes": []})
                result["seconds"].append(took)
                result["peak_bytes"].append(peak)
            if args.npm:
                name = "speedscope in Chromium: opens 100 MB"
                result = results.setdefault(name, {"seconds": [], "peak_bytes": []})
                result["seconds"].append(speedscope(args, folder / "large.heapprofile"))
    print(f"{'':<40} {'median':>9} {'slowest':>9} {'peak':>9}")
    for name, result in results.items():
        seconds, peak = result["seconds"], max(result["peak_bytes"], default=0)
        print(f"{name:<40} {statistics.median(seconds):>7.2f} s {max(seconds):>7.2f} s {peak / 2**20:>5.0f} MiB")
    if args.out:
        out = Path(args.out)
        out.mkdir(parents=True, exist_ok=True)
        version = subprocess.run([heapsight, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
        node = subprocess.run([args.node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
        about = {"heapsight": version, "node": node, "machine": platform.platform(), "cores": os.cpu_count()}
        write_report(out, about, sizes, results)
        (out / "raw.json").write_text(json.dumps({"about": about, "sizes": sizes, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Measures `heapsight summary` beside Chrome DevTools' engine on generated heaps, and writes the figures down.

What is compared: the whole process, from the file to the table of classes. DevTools' engine runs in Node.js without
its user interface; nothing is drawn, which is in its favour. Both read a file that is in the page cache. Runs of the
peers alternate, and medians are quoted, because machines are noisy; ratios within one run are what counts.

usage: benchsuite.py [--sizes 20000,50000,100000,400000] [--runs 5] [--devtools-runs 1] [--work DIR] [--name NAME]
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
HEAPSIGHT = ROOT / "target/release/heapsight"


def run(command, env=None, capture=False):
    """Runs a command; gives wall and CPU seconds, peak resident bytes and its output."""
    start = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = subprocess.Popen(command, stdout=out, stderr=err, env=env)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - start
        out.seek(0)
        err.seek(0)
        text, notes = out.read().decode(), err.read().decode()
    if status != 0:
        sys.exit(f"{command} failed with {status}:\n{notes[-2000:]}")
    return {
        "wall_s": round(wall, 4),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 4),
        "peak_bytes": usage.ru_maxrss * 1024,
        "output": text,
        "notes": notes,
    }


def median(runs, key):
    return statistics.median(r[key] for r in runs)


def summarise(runs):
    return {
        "wall_s": round(median(runs, "wall_s"), 3),
        "wall_s_all": [round(r["wall_s"], 3) for r in runs],
        "cpu_s": round(median(runs, "cpu_s"), 3),
        "peak_bytes": int(median(runs, "peak_bytes")),
    }


def totals(answer):
    """What both tools must agree on."""
    classes = answer["classes"]
    return {
        "nodes": answer["nodes"],
        "total_size": answer["total_size"],
        "classes": len(classes),
        "count": sum(c["count"] for c in classes),
        "self_size": sum(c["self_size"] for c in classes),
        "retained_size": sum(c["retained_size"] for c in classes),
    }


def phases(notes):
    found = {}
    for line in notes.splitlines():
        parts = line.split(None, 2)
        if len(parts) == 3 and parts[1] == "ms":
            found[parts[2]] = float(parts[0])
    return found


def prepare_devtools(work):
    folder = work / "devtools"
    if not (folder / "engine.mjs").exists():
        shutil.copytree(HERE / "devtools", folder, dirs_exist_ok=True)
        subprocess.run(["npm", "install", "--no-audit", "--no-fund"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["npm", "run", "build"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder


def measure(size, work, args):
    snapshot = work / f"heap-{size}.heapsnapshot"
    if not snapshot.exists():
        print(f"making a heap of {size} customers", flush=True)
        run(["node", "--max-old-space-size=16000", str(HERE / "generate-heap.cjs"), str(size), str(snapshot)])
    cache = work / "cache"
    env = dict(os.environ, HEAPSIGHT_CACHE_DIR=str(cache), HEAPSIGHT_CACHE_FROM_BYTES="0")
    summary = [str(HEAPSIGHT), "summary", str(snapshot), "--json", "--timings"]
    with open(snapshot, "rb") as file:  # into the page cache, in pieces: a child inherits the peak of its parent
        while file.read(1 << 20):
            pass
    time.sleep(0.1)
    results = {"cold": [], "cold_no_cache": [], "again": [], "again_other": [], "devtools": []}
    # What takes a fraction of a second is at the mercy of each moment: the smaller the file, the more runs.
    runs = args.runs * (4 if snapshot.stat().st_size < 200 << 20 else 1)
    for turn in range(runs):
        shutil.rmtree(cache, ignore_errors=True)
        results["cold"].append(run(summary, env))
        results["again"].append(run(summary, env))
        results["again_other"].append(run([str(HEAPSIGHT), "dominators", str(snapshot), "--json", "--timings"], env))
        results["cold_no_cache"].append(run(summary + ["--no-cache"], env))
        if turn < args.devtools_runs:
            engine = prepare_devtools(work)
            command = ["node", "--max-old-space-size=14000", str(engine / "run.mjs"), str(snapshot)]
            results["devtools"].append(run(command))
    index_bytes = sum(f.stat().st_size for f in cache.iterdir())
    shutil.rmtree(cache, ignore_errors=True)
    ours = totals(json.loads(results["cold"][-1]["output"]))
    same = None
    if results["devtools"]:
        theirs = json.loads(results["devtools"][0]["output"])
        same = ours == theirs
        if not same:
            sys.exit(f"the numbers differ on {snapshot}:\n  ours   {ours}\n  theirs {theirs}")
    answer = json.loads(results["cold"][-1]["output"])
    row = {
        "customers": size,
        "file_bytes": snapshot.stat().st_size,
        "nodes": answer["nodes"],
        "edges": answer["edges"],
        "index_bytes": index_bytes,
        "numbers_equal_devtools": same,
        "phases_ms": phases(results["cold_no_cache"][-1]["notes"]),
    }
    for name, runs in results.items():
        if runs:
            row[name] = summarise(runs)
    print(json.dumps({k: row[k] for k in ("customers", "cold", "again")}), flush=True)
    return row


def version(command):
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip().splitlines()[0]


def machine():
    cpu = "unknown"
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_bytes": memory,
        "kernel": platform.release(),
        "node": version(["node", "--version"]),
        "rustc": version(["rustc", "--version"]),
        "heapsight": version([str(HEAPSIGHT), "--version"]),
        "commit": version(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]),
        "devtools_frontend": "1.0.1705227",
    }


def mib(n):
    return f"{n / 1048576:,.0f} MiB"


def markdown(result):
    lines = ["| | " + " | ".join(f"{r['nodes']:,} nodes, {mib(r['file_bytes'])}" for r in result["rows"]) + " |"]
    lines.append("| --- |" + " ---: |" * len(result["rows"]))

    def line(label, cell):
        cells = []
        for row in result["rows"]:
            try:
                cells.append(cell(row))
            except KeyError:
                cells.append("")
        lines.append(f"| {label} | " + " | ".join(cells) + " |")

    line("DevTools' engine: wall", lambda r: f"{r['devtools']['wall_s']:.2f} s")
    line("DevTools' engine: CPU", lambda r: f"{r['devtools']['cpu_s']:.2f} s")
    line("DevTools' engine: peak memory", lambda r: mib(r["devtools"]["peak_bytes"]))
    line("heapsight, first time: wall", lambda r: f"**{r['cold']['wall_s']:.2f} s**")
    line("heapsight, first time: CPU", lambda r: f"{r['cold']['cpu_s']:.2f} s")
    line("heapsight, first time: peak memory", lambda r: f"**{mib(r['cold']['peak_bytes'])}**")
    line("times sooner than DevTools", lambda r: f"{r['devtools']['wall_s'] / r['cold']['wall_s']:.0f} x")
    line("of DevTools' memory", lambda r: f"{100 * r['cold']['peak_bytes'] / r['devtools']['peak_bytes']:.0f} %")
    line("heapsight --no-cache: wall", lambda r: f"{r['cold_no_cache']['wall_s']:.2f} s")
    line("`summary` again, from the index: wall", lambda r: f"**{r['again']['wall_s']:.3f} s**")
    line("`dominators`, from the index: wall", lambda r: f"{r['again_other']['wall_s']:.2f} s")
    line("size of the index", lambda r: mib(r["index_bytes"]))
    line("first time: ns per node and edge", lambda r: f"{1e9 * r['cold_no_cache']['wall_s'] / (r['nodes'] + r['edges']):.0f}")
    line("first time: bytes per node and edge", lambda r: f"{r['cold_no_cache']['peak_bytes'] / (r['nodes'] + r['edges']):.1f}")
    line("same numbers as DevTools", lambda r: "yes" if r["numbers_equal_devtools"] else "not compared")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="20000,50000,100000,400000")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--devtools-runs", type=int, default=1)
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "target/benchsuite")
    parser.add_argument("--name", default=None, help="folder under benchsuite/runs; default: only print")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    result = {"date": datetime.date.today().isoformat(), "machine": machine(), "runs": args.runs, "rows": []}
    for size in args.sizes.split(","):
        result["rows"].append(measure(int(size), args.work, args))
    table = markdown(result)
    print(table)
    if args.name:
        folder = HERE / "runs" / args.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "results.json").write_text(json.dumps(result, indent=1) + "\n")
        m = result["machine"]
        (folder / "README.md").write_text(
            f"# {args.name}\n\n{m['cpu']}, {m['cores']} cores, {mib(m['memory_bytes'])}, Linux {m['kernel']}; "
            f"Node.js {m['node']}, {m['rustc']}, {m['heapsight']} ({m['commit']}), chrome-devtools-frontend "
            f"{m['devtools_frontend']}.\n\nMade by `cargo xtask bench -- {' '.join(sys.argv[1:])}`: medians of "
            f"{args.runs} alternating runs, four times as many of files below 200 MiB ({args.devtools_runs} of DevTools).\n\n{table}"
        )


if __name__ == "__main__":
    main()

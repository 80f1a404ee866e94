#!/usr/bin/env python3
"""Measures `heapsight redact`, its proof, `scan` and `repair` on a large heap.

    cargo build --release && python3 benchsuite/redact/redact.py [--heap FILE] [--runs 5] [--out FOLDER]

The heap is one of generate-heap.cjs (by default the largest that the benchmark of snapshots has left in target/benchsuite).
Plain and packed, to files in memory (/dev/shm), and once to the disk: disks of virtual machines give what the last minutes
have left, which says nothing of a program; beside it `summary` of the same file without an index, which reads it and analyses it, and `cp`,
which is what the disk and the page cache can do. The files are in the page cache. Rates are bytes of plain text a second.
Wall clock and peak resident memory are those that the kernel reports (`wait4`). Writes raw.json and README.md to the folder.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(command, codes=(0,)):
    """Seconds and peak resident bytes of a command."""
    # What the run before has left to be written is not this one's.
    os.sync()
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    error = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    took = time.monotonic() - start
    code = os.waitstatus_to_exitcode(status)
    if code not in codes:
        raise SystemExit(f"{command}: exit code {code}: {error.decode()}")
    return took, usage.ru_maxrss * 1024


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--heap", type=Path)
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/heapsight")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    heaps = sorted((ROOT / "target/benchsuite").glob("heap-*.heapsnapshot"), key=lambda path: path.stat().st_size)
    heap = args.heap or heaps[-1]
    tool = str(args.binary)
    size = heap.stat().st_size
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else heap.parent
    with tempfile.TemporaryDirectory(dir=memory) as folder, tempfile.TemporaryDirectory(dir=heap.parent) as disk:
        folder, disk = Path(folder), Path(disk)
        plain, packed, cut = folder / "out.heapsnapshot", folder / "in.heapsnapshot.zst", folder / "cut.heapsnapshot"
        subprocess.run([tool, "redact", heap, packed, "--quiet"], check=True, stdout=subprocess.DEVNULL)
        with open(cut, "wb") as target:
            subprocess.run(["head", "-c", str(size * 9 // 10), heap], check=True, stdout=target)
        cases = {
            "redact": [tool, "redact", heap, plain, "--force"],
            "redact, to the disk": [tool, "redact", heap, disk / "out.heapsnapshot", "--force"],
            "redact to .zst": [tool, "redact", heap, folder / "out.heapsnapshot.zst", "--force"],
            "redact from .zst to .zst": [tool, "redact", packed, folder / "out.heapsnapshot.zst", "--force"],
            "redact, of standard input (held)": ["sh", "-c", f"{tool} redact - {folder}/held.heapsnapshot --force < {heap}"],
            "redact --verify": [tool, "redact", "--verify", plain, "--against", heap],
            "scan": [tool, "scan", heap, "--no-cache", "--top", "30"],
            "repair, cut at nine tenths": [tool, "repair", cut, folder / "whole.heapsnapshot", "--force"],
            "summary, without an index": [tool, "summary", heap, "--no-cache"],
            "cp": ["cp", heap, folder / "copy"],
            "cp and sync, to the disk": ["sh", "-c", f"cp {heap} {disk}/copy && sync {disk}/copy"],
        }
        measured = {name: [] for name in cases}
        for _ in range(args.runs):
            for name, command in cases.items():
                codes = (0, 1) if name == "scan" else (0,)
                measured[name].append(run([str(part) for part in command], codes))
    version = subprocess.run([tool, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    lines = [
        "# Redaction",
        "",
        f"{version}, machine {platform.platform()}, cores {os.cpu_count()}; a heap of {size:,} bytes, {args.runs} runs",
        "",
        "| | median | fastest to slowest | MB/s | peak memory |",
        "|---|---|---|---|---|",
    ]
    for name, runs in measured.items():
        times = [took for took, _ in runs]
        median = statistics.median(times)
        peak = max(memory for _, memory in runs) / 2**20
        lines.append(
            f"| {name} | {median:.2f} s | {min(times):.2f} to {max(times):.2f} s | {size / median / 1e6:,.0f} | {peak:,.0f} MiB |"
        )
    text = "\n".join(lines) + "\n"
    print(text)
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "README.md").write_text(text)
        (args.out / "raw.json").write_text(json.dumps({"heap_bytes": size, "version": version, "runs": measured}, indent=1) + "\n")


if __name__ == "__main__":
    main()

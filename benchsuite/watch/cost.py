#!/usr/bin/env python3
"""What watching costs: the target's processor time with and without a watcher, and the watcher's own time and memory.

    benchsuite/watch/cost.py HEAPSIGHT NODE [--seconds 120] [--rounds 4] [--heap 200]

The target's time is what the kernel counts for its threads, in nanoseconds (/proc/PID/task/*/schedstat). A busy target does
100 times a second what a request does; windows with and without a watcher take turns, so that a change of the machine falls
on both. An idle target does nothing, so all of its time above that of a window without a watcher is the watcher's. With
defaults of `watch`: kernel every second, heap every 15, profile every 30. The window in which it attaches counts. The last
row takes a snapshot of a heap of 200 MB, for the most memory that the watcher ever has.
"""
import argparse, glob, os, platform, shutil, signal, statistics, subprocess, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))


def cpu(pid):
    """Nanoseconds on a processor, of all threads that live."""
    total = 0
    for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
        try:
            total += int(open(path).read().split()[0])
        except OSError:
            pass
    return total


def memory(pid):
    """Resident bytes now and at most."""
    status = open(f"/proc/{pid}/status").read()
    field = lambda name: int(status.split(name + ":")[1].split()[0]) * 1024
    return field("VmRSS"), field("VmHWM")


def target(node, megabytes, kind):
    process = subprocess.Popen([node, "--inspect-port=127.0.0.1:0", f"{HERE}/target.cjs", str(megabytes), kind],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout.readline() == b"ready\n"
    time.sleep(3)
    return process


def watcher(heapsight, pid, folder, *more):
    return subprocess.Popen([heapsight, "watch", str(pid), "-q", "-o", folder, *more], stdout=subprocess.DEVNULL)


def window(pid, seconds):
    begun, before = time.monotonic(), cpu(pid)
    time.sleep(seconds)
    return (cpu(pid) - before) / 1e9 / (time.monotonic() - begun) * 100


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("heapsight")
    parser.add_argument("node")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--heap", type=int, help="only targets of so many megabytes")
    args = parser.parse_args()
    folder = tempfile.mkdtemp()
    version = subprocess.check_output([args.node, "--version"], text=True).strip()
    print(f"{platform.machine()}, {os.cpu_count()} processors, Node.js {version}, "
          f"{args.rounds} rounds of {args.seconds:g} s without and with a watcher\n")
    print("| target | without, % CPU | with, % CPU | cost, % CPU | watcher, % CPU | resident | at most |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    try:
        for megabytes, kind in [(20, "idle"), (200, "idle"), (20, "busy"), (200, "busy")]:
            if args.heap not in (None, megabytes):
                continue
            process = target(args.node, megabytes, kind)
            alone, watched, own, sizes = [], [], [], []
            for _ in range(args.rounds):
                alone.append(window(process.pid, args.seconds))
                recorder = watcher(args.heapsight, process.pid, folder)
                begun, before = time.monotonic(), cpu(process.pid)
                time.sleep(args.seconds)
                watched.append((cpu(process.pid) - before) / 1e9 / (time.monotonic() - begun) * 100)
                own.append(cpu(recorder.pid) / 1e9 / args.seconds * 100)
                sizes.append(memory(recorder.pid))
                recorder.send_signal(signal.SIGINT)
                recorder.wait(30)
            cost = [b - a for a, b in zip(alone, watched)]
            mib = lambda bytes: f"{bytes / 1048576:.1f} MiB"
            print(f"| {kind}, heap {megabytes} MB | {statistics.median(alone):.2f} | {statistics.median(watched):.2f} | "
                  f"{statistics.median(cost):+.2f} ({min(cost):+.2f} to {max(cost):+.2f}) | {statistics.median(own):.2f} | "
                  f"{mib(max(s[0] for s in sizes))} | {mib(max(s[1] for s in sizes))} |", flush=True)
            process.kill(); process.wait()
        process = target(args.node, 200, "busy")
        recorder = watcher(args.heapsight, process.pid, folder, "--on", "rss > 1MiB", "--cooldown", "1h")
        deadline = time.monotonic() + 180
        while not glob.glob(f"{folder}/*.heapsnapshot.zst") and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(2)
        now, most = memory(recorder.pid)
        print(f"| busy, heap 200 MB, one snapshot | | | | | {now / 1048576:.1f} MiB | {most / 1048576:.1f} MiB |")
        recorder.send_signal(signal.SIGINT); recorder.wait(30)
        process.kill(); process.wait()
    finally:
        shutil.rmtree(folder)


main()

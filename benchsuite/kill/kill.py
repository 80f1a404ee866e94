#!/usr/bin/env python3
"""What a program comes to when Heapsight is killed in the middle of a conversation with it.

    benchsuite/kill/kill.py HEAPSIGHT NODE... [--kills 60]

A watcher asks a server much and often, and is killed (SIGKILL) in the first 40 ms after it has attached. Once alone, and
once together with the process that would end its connections, which is what other clients of the inspector do who are
killed. Counted are servers that crash, and inspectors that are still open a second later.
"""
import argparse, os, platform, random, signal, subprocess, tempfile, time

SERVER = "require('http').createServer((q, r) => r.end('x')).listen(0, '127.0.0.1', () => console.log('ready'));"


def listening(pid):
    """How many TCP sockets of a process listen."""
    inodes = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            inodes.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except OSError:
            pass
    rows = [line.split() for line in open(f"/proc/{pid}/net/tcp").readlines()[1:]]
    return sum(row[3] == "0A" and f"socket:[{row[9]}]" in inodes for row in rows)


def children(pid):
    return [int(child) for task in os.listdir(f"/proc/{pid}/task")
            for child in open(f"/proc/{pid}/task/{task}/children").read().split()]


def server(node, folder):
    environment = {name: value for name, value in os.environ.items() if name != "NODE_OPTIONS"}
    process = subprocess.Popen([node, "--inspect-port=127.0.0.1:0", "-e", SERVER], cwd=folder, env=environment,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    process.stdout.readline()
    return process


def kill(heapsight, target, folder, both):
    """Kills a watcher; whether the target has crashed, whether its inspector is still open, and when it was closed."""
    often = ["--every", "100ms", "--heap-every", "300ms", "--profile-every", "300ms"]
    watcher = subprocess.Popen([heapsight, "watch", str(target.pid), "-o", f"{folder}/out", "--json", *often],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    for line in watcher.stdout:
        if b'"attached"' in line:
            break
    guards = children(watcher.pid) if both else []
    time.sleep(random.random() * 0.04)
    for pid in [*guards, watcher.pid]:
        os.kill(pid, signal.SIGKILL)
    watcher.wait()
    begun = time.monotonic()
    while time.monotonic() - begun < 1:
        time.sleep(0.01)
        if target.poll() is not None:
            return True, False, None
        if listening(target.pid) == 1:
            time.sleep(0.05)
            return target.poll() is not None, False, time.monotonic() - begun
    return False, True, None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("heapsight")
    parser.add_argument("node", nargs="+")
    parser.add_argument("--kills", type=int, default=60)
    args = parser.parse_args()
    print(f"# Heapsight killed in the middle of a conversation\n\n{platform.machine()}, {os.cpu_count()} processors, "
          f"{args.kills} kills each\n")
    print("| Node.js | killed | crashed | inspector still open | closed after, longest |\n| --- | --- | --- | --- | --- |")
    for node in args.node:
        version = subprocess.run([node, "--version"], capture_output=True, text=True).stdout.strip()
        for both in (False, True):
            crashed = left = 0
            times = [0.0]
            with tempfile.TemporaryDirectory() as folder:
                for _ in range(args.kills):
                    target = server(node, folder)
                    has_crashed, is_open, after = kill(args.heapsight, target, folder, both)
                    crashed, left = crashed + has_crashed, left + is_open
                    times.append(after or 0)
                    target.kill()
                    target.wait()
            whom = "with its second process" if both else "alone"
            longest = "" if both else f"{max(times) * 1000:.0f} ms"
            print(f"| {version} | {whom} | {crashed} | {left} | {longest} |", flush=True)


if __name__ == "__main__":
    main()

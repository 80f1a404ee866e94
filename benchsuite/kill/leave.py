#!/usr/bin/env python3
"""What a program comes to when a client leaves its inspector in the moment when the program closes it.

    benchsuite/kill/leave.py NODE... [--rounds 100]

A client, which is not Heapsight, connects to the inspector of a program. The program is told to call `inspector.close()`, and
the client leaves within 2 ms: with the closing frame of WebSockets, or by ending the line. Then the same while the program has
always something to send (events of the console): both ways, and in a third way after the client has had it stop that. Counted
are programs that end by a signal.
"""
import argparse, base64, json, os, platform, random, re, socket, subprocess, threading, time

CLOSES = """const inspector = require('inspector'); inspector.open(0, '127.0.0.1'); console.log(inspector.url());
process.stdin.on('data', () => { inspector.close(); process.exit(0); });"""
TALKS = """const inspector = require('inspector'); inspector.open(0, '127.0.0.1'); process.stdout.write(inspector.url() + '\\n');
setInterval(() => { for (let i = 0; i < 20; i++) console.debug('x'); }, 1); process.stdin.on('data', () => process.exit(0));"""


def connect(url):
    host, port, path = re.search(r"ws://([^:]+):(\d+)(/\S+)", url).groups()
    line = socket.create_connection((host, int(port)))
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line.settimeout(5)
    key = base64.b64encode(os.urandom(16)).decode()
    line.sendall((f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                  f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n").encode())
    reply = b""
    while b"\r\n\r\n" not in reply:
        reply += line.recv(1)
    return line


def call(line, number, method):
    text = json.dumps({"id": number, "method": method}).encode()
    line.sendall(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)


def wait_for(line, number):
    """Reads until an answer is there."""
    seen, deadline = b"", time.monotonic() + 5
    while f'"id":{number}'.encode() not in seen and time.monotonic() < deadline:
        seen = seen[-100:] + line.recv(65536)


def leave(line, way):
    try:
        if way == "silence, end of the line":
            call(line, 2, "Runtime.disable")
            wait_for(line, 2)
        if way == "frame":
            line.sendall(bytes([0x88, 0x80, 0, 0, 0, 0]))
        else:
            line.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def once(node, program, way):
    process = subprocess.Popen([node, "-e", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    line = connect(process.stdout.readline().decode())
    threading.Thread(target=process.stdout.read, daemon=True).start()
    if program is TALKS:
        call(line, 1, "Runtime.enable")
        wait_for(line, 1)
        time.sleep(0.05)
    else:
        time.sleep(0.03)
        process.stdin.write(b"x")
        process.stdin.flush()
    until = time.perf_counter() + random.random() * 0.002
    while time.perf_counter() < until:
        pass
    leave(line, way)
    if program is TALKS:
        try:
            while line.recv(65536):
                pass
            time.sleep(0.02)
            process.stdin.write(b"x")
            process.stdin.flush()
        except OSError:
            pass
    try:
        code = process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    line.close()
    return code < 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("node", nargs="+")
    parser.add_argument("--rounds", type=int, default=100)
    args = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} processors, of {args.rounds} programs each\n")
    print("| Node.js | the program | the client leaves with | ended by a signal |\n| --- | --- | --- | --- |")
    cases = [(CLOSES, "closes its inspector", ["frame", "end of the line"]),
             (TALKS, "has always something to send", ["frame", "end of the line", "silence, end of the line"])]
    for node in args.node:
        version = subprocess.check_output([node, "--version"], text=True).strip()
        for program, name, ways in cases:
            for way in ways:
                crashed = sum(once(node, program, way) for _ in range(args.rounds))
                print(f"| {version} | {name} | {way} | {crashed} |", flush=True)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Judges the leak finder: runs it on small servers, each with one planted leak or with none, and writes the score down.

Each program of manifest.json is started with Node.js, `heapsight leak` hunts in it while requests are made, and its
first suspect is compared with what the manifest expects: the holder's name, and the file and line. A program without
a leak must have no suspect. Every run is bound in time, every process is ended by its id, all is on the loopback.

usage: run.py [--programs a,b] [--nodes 20,24] [--ways live,files,memlab,memlab-all] [--keep DIR] [--name NAME]
       run.py --check       only looks whether the manifest fits the programs
       run.py --verify      measures, without Heapsight, that what should grow grows and the rest does not
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PROGRAMS = HERE / "programs"
RUNTIMES = ROOT / "target/runtimes"
MEMLAB = HERE / "memlab"
# How long one hunt, one series of snapshots or one memlab may take.
LIMIT_S = 60
READY_S = 20
ROUNDS = 3
# For --verify alone: functions that are compiled, optimised and forgotten would blur the figures.
STEADY_CODE = ["--no-opt", "--no-sparkplug", "--no-flush-bytecode"]


def leak_command(args, program, server):
    """The hunt in a running server: the one place that knows how the command is spelt."""
    return [args.heapsight, "leak", str(server.pid), *load_options(args, program, server), *thread(program), "--json"]


def leak_files_command(args, program, files):
    """The same question on snapshots that were taken around equal rounds of load."""
    return [args.heapsight, "leak", *files, "--requests", str(args.requests), "--json"]


def load_options(args, program, server):
    load = program["load"]
    if set(load) == {"path"}:
        return ["--load", server.base + load["path"].replace("{id}", "{n}"), "-n", str(args.requests), "-c", str(args.connections)]
    return ["--during", shlex.join(load_command(args, program, server)), "-n", str(args.requests)]


def load_command(args, program, server):
    command = ["node", str(HERE / "load.mjs"), server.base, "-n", str(args.requests), "-c", str(args.connections)]
    for option, value in program["load"].items():
        command += [f"--{option}"] if value is True else [f"--{option}", value]
    return command


def thread(program):
    return ["--thread", str(program["thread"])] if "thread" in program else []


class Server:
    """A program of the suite, started and ready; ends with the block."""

    def __init__(self, program, node, options=(), env=None):
        self.program = program
        self.output = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            # Not V8's port 9229 when its inspector is opened: other programs of the machine may have it.
            [node, "--inspect-port=0", *options, *program["command"]],
            cwd=PROGRAMS / program["name"],
            env=dict(os.environ, PORT="0", NODE_ENV="production", **(env or {})),
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=subprocess.STDOUT,
        )
        self.pid = self.process.pid
        deadline = time.monotonic() + READY_S
        while not (found := re.search(r"listening on (http://[\d.]+:\d+)", self.text())):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise RuntimeError(f"{program['name']} did not start: {self.text()[-2000:]}")
            time.sleep(0.02)
        self.base = found[1]

    def text(self):
        return os.pread(self.output.fileno(), 1 << 20, 0).decode(errors="replace")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for end in (self.process.terminate, self.process.kill):
            if self.process.poll() is None:
                end()
                try:
                    self.process.wait(timeout=2)
                except subprocess.TimeoutExpired:
                    pass
        self.process.wait()
        self.output.close()


def bounded(command, seconds=LIMIT_S, **more):
    """Runs a command in a group of its own; gives exit code (nothing: too late), both outputs and seconds."""
    start = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True, **more
        )
        try:
            code = child.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            code = None
            end(child)
        took = time.monotonic() - start
        out.seek(0)
        err.seek(0)
        return code, out.read().decode(errors="replace"), err.read().decode(errors="replace"), round(took, 1)


def end(child):
    """Ends a process that was started here, and its group: in order, then by force."""
    for number in (signal.SIGINT, signal.SIGKILL):
        if child.poll() is None:
            os.killpg(child.pid, number)
            try:
                child.wait(timeout=5)
            except subprocess.TimeoutExpired:
                pass


def make_load(args, program, server, times=1):
    command = load_command(args, program, server)
    command[command.index("-n") + 1] = str(args.requests * times)
    code, _, errors, _ = bounded(command, 30)
    if code != 0:
        raise RuntimeError(f"load of {program['name']} failed: {errors.strip() or 'took too long'}")


# --- what is right ---


def first(suspects):
    return min(suspects, key=lambda s: s.get("rank", 1)) if suspects else None


def names_holder(program, suspect):
    """Whether title or holder is spelt in one of the ways that the manifest takes."""
    if not suspect:
        return False
    holder = suspect.get("holder") or ""
    text = f"{suspect.get('title') or ''}\n{holder if isinstance(holder, str) else json.dumps(holder)}"
    return any(re.search(pattern, text, re.IGNORECASE) for pattern in program["holder"])


def place(suspect):
    location = (suspect or {}).get("location") or {}
    if not location.get("url"):
        return None
    url = urllib.parse.unquote(re.sub(r"^file://", "", location["url"]))
    return url, location.get("line")


def at_line(program, suspect):
    found = place(suspect)
    if not found or not found[1]:
        return False
    url, line = found
    return any(
        ("/" + url).endswith("/" + where["file"]) and where["lines"][0] <= line <= where["lines"][1]
        for where in program["where"]
    )


def judge(program, code, output, errors, took):
    """The verdict on one hunt; `holder` and `line` for a leak, `unclaimed` for a clean program."""
    row = {"seconds": took}
    if code is None:
        return row | {"failed": f"not done after {LIMIT_S} s"}
    try:
        suspects = json.loads(output)["suspects"]
    except (ValueError, KeyError):
        return row | {"failed": (errors.strip() or output.strip() or f"exit code {code}")[-400:]}
    top = first(suspects)
    found = place(top)
    row |= {
        "suspects": len(suspects),
        "title": top and top.get("title"),
        "location": found and f"{shortened(found[0])}:{found[1]}",
    }
    if program["leak"]:
        ranks = [s.get("rank") for s in suspects if names_holder(program, s)]
        return row | {"holder": names_holder(program, top), "rank": min(ranks, default=None), "line": at_line(program, top)}
    return row | {"unclaimed": not suspects}


def shortened(path):
    """A file's name within its program or package, for the table."""
    for mark in ("/programs/", "node_modules/"):
        if mark in path:
            return path.split(mark)[-1].split("/", 1)[1] if mark == "/programs/" else mark + path.split(mark)[-1]
    return path


# --- the ways ---


def hunt_live(args, program, node, _):
    with Server(program, node) as server:
        return judge(program, *bounded(leak_command(args, program, server), env=tool_env(args)))


def take_series(args, program, node, folder):
    """Warms up, then ROUNDS + 1 snapshots whose ids can be compared, with a round of load between each two."""
    command = [args.heapsight, "snapshot", None, "--stable-ids", "--repeat", str(ROUNDS + 1)]
    with Server(program, node) as server:
        start = time.monotonic()
        make_load(args, program, server)
        # The next snapshot must not begin before its round of load has ended.
        every = max(args.every, round(2 * (time.monotonic() - start)) + 1)
        time.sleep(0.5)
        command[2] = str(server.pid)
        command += ["--every", f"{every}s", "-o", str(folder), "--quiet", *thread(program)]
        run = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
        )
        deadline = time.monotonic() + LIMIT_S
        try:
            for done in range(1, ROUNDS + 2):
                while len(files := snapshots(folder)) < done:
                    if run.poll() not in (None, 0) or time.monotonic() > deadline:
                        raise RuntimeError(f"{shlex.join(command)}: {run.stderr.read(2000) if run.poll() else 'too late'}")
                    time.sleep(0.02)
                if done <= ROUNDS:
                    start = time.monotonic()
                    make_load(args, program, server)
                    if time.monotonic() - start > every - 0.2:
                        raise RuntimeError(f"a round of {program['name']} took longer than the {every} s between snapshots")
            run.wait(timeout=READY_S)
        finally:
            end(run)
            run.stderr.close()
    return files


def snapshots(folder):
    return sorted(map(str, pathlib.Path(folder).glob("*.heapsnapshot")), key=os.path.getmtime)


def hunt_files(args, program, node, series):
    return judge(program, *bounded(leak_files_command(args, program, series()), env=tool_env(args)))


def hunt_memlab(args, program, node, series, *options):
    """memlab on three of the same snapshots: before, after the rounds, and the last one as the final state.

    It needs a target action to be over in `final`; a server's third snapshot is after one more round, so that what
    was allocated in the rounds before and is still there is its leak.
    """
    files = series()
    with tempfile.TemporaryDirectory() as work:
        command = [
            "node", MEMLAB / "node_modules/.bin/memlab", "find-leaks",
            "--baseline", files[0], "--target", files[-2], "--final", files[-1], "--work-dir", work, *options,
        ]
        env = dict(os.environ, COLUMNS="120", LINES="40")
        code, output, errors, took = bounded(command, LIMIT_S, env=env, cwd=work)
    row = {"seconds": took}
    said = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", f"{output}\n{errors}")
    clusters = re.split(r"^-+Similar leaks in this run.*$", said, flags=re.MULTILINE)[1:]
    if code is None:
        return row | {"failed": f"not done after {LIMIT_S} s"}
    if code != 0:
        return row | {"failed": (errors.strip() or output.strip())[-400:]}
    row |= {"clusters": len(clusters), "first": clusters[0].strip()[:3000] if clusters else None}
    if program["leak"]:
        return row | {"holder": bool(clusters) and any(re.search(p, clusters[0], re.IGNORECASE) for p in program["holder"])}
    return row | {"unclaimed": not clusters}


def hunt_memlab_all(args, program, node, series):
    """The same without its filter, which is made for web pages: every object may be part of a leak."""
    return hunt_memlab(args, program, node, series, "--trace-all-objects")


WAYS = {"live": hunt_live, "files": hunt_files, "memlab": hunt_memlab, "memlab-all": hunt_memlab_all}


def tool_env(args):
    return dict(os.environ, HEAPSIGHT_CACHE_DIR=str(pathlib.Path(args.work) / "cache"), NO_COLOR="1")


# --- preparations ---


def manifest():
    return json.loads((HERE / "manifest.json").read_text())["programs"]


def chosen(args):
    programs = manifest()
    if args.programs:
        names = args.programs.split(",")
        unknown = set(names) - {p["name"] for p in programs}
        if unknown:
            sys.exit(f"unknown programs: {', '.join(sorted(unknown))}")
        programs = [p for p in programs if p["name"] in names]
    return programs


def install(args):
    """npm dependencies by their lock files, once, and the bundles of the programs that have a build."""
    folders = [HERE] + ([MEMLAB] if "memlab" in args.ways and not args.verify else [])
    for folder in folders:
        kept = folder / "node_modules/.package-lock.json"
        if kept.exists() and kept.stat().st_mtime >= (folder / "package-lock.json").stat().st_mtime:
            continue
        # memlab's browser is not needed to read files.
        env = dict(os.environ, PUPPETEER_SKIP_DOWNLOAD="1")
        subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
            cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL, timeout=600,
        )
        kept.touch()
    for program in manifest():
        if "build" in program:
            command = [HERE / "node_modules/.bin" / program["build"][0], *program["build"][1:]]
            subprocess.run(command, cwd=PROGRAMS / program["name"], check=True, capture_output=True, timeout=60)


def check(programs):
    """That each line range begins where the manifest says, and that each program's folder exists."""
    wrong = []
    for program in programs:
        name = program["name"]
        if bool(program.get("where")) != program["leak"] or bool(program.get("holder")) != program["leak"]:
            wrong.append(f"{name}: a leak has a holder and places, a clean program has none")
        for where in program.get("where", []):
            base = HERE if where["file"].startswith("node_modules/") else PROGRAMS / name
            lines = (base / where["file"]).read_text().splitlines()
            low, high = where["lines"]
            if not (1 <= low <= high <= len(lines)) or where["text"] not in lines[low - 1]:
                wrong.append(f"{name}: {where['file']}:{low} does not have {where['text']!r}")
    listed = {p["name"] for p in programs}
    for folder in PROGRAMS.iterdir():
        if folder.is_dir() and folder.name not in listed:
            wrong.append(f"{folder.name}: not in the manifest")
    return wrong


def nodes(args):
    """Version and path of each Node.js that is asked for."""
    paths = [shutil.which("node")] if not args.nodes else []
    for major in filter(None, (args.nodes or "").split(",")):
        found = sorted(RUNTIMES.glob(f"node-{major}.*/node_modules/node/bin/node"))
        if not found:
            sys.exit(f"Node.js {major} is not in {RUNTIMES}: run `cargo xtask runtimes`")
        paths.append(str(found[-1]))
    return [(text_of([path, "--version"]).lstrip("v"), path) for path in paths]


def runs_on(program, version):
    return int(version.split(".")[0]) >= program.get("node", 18)


def text_of(command):
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S).stdout.strip()


# --- without Heapsight ---


def verify(args, programs, runtimes):
    """Bytes a request over four long rounds after a long warm-up, garbage collected before each reading.

    The mean of the last three decides, because slots of arrays and tables come in steps: a leak grows by more than 30
    bytes a request, what is clean by less than 20.
    """
    table = ["| program | Node.js | bytes a request, round by round | verdict |", "| --- | --- | --- | --- |"]
    bad = 0
    for program in programs:
        for version, node in runtimes:
            if not runs_on(program, version):
                continue
            with tempfile.TemporaryDirectory() as work:
                out = pathlib.Path(work) / "probe"
                out.touch()
                options = ["--expose-gc", *STEADY_CODE, "-r", str(HERE / "probe.cjs")]
                with Server(program, node, options, {"PROBE_OUT": str(out)}) as server:
                    make_load(args, program, server, 6)
                    readings = [reading(server, out)]
                    for _ in range(4):
                        make_load(args, program, server, 3)
                        readings.append(reading(server, out))
            growth = [round((b - a) / args.requests / 3) for a, b in zip(readings, readings[1:])]
            later = statistics.mean(growth[1:])
            right = later > 30 if program["leak"] else later < 20
            bad += not right
            verdict = ("grows" if program["leak"] else "stays") if right else "**not as planned**"
            table.append(f"| {program['name']} | {version} | {' '.join(f'{g:+,}' for g in growth)} | {verdict} |")
            print(table[-1], flush=True)
    return table, bad


def reading(server, out):
    lines = len(out.read_text().splitlines())
    time.sleep(0.2)
    os.kill(server.pid, signal.SIGUSR2)
    deadline = time.monotonic() + READY_S
    while len(found := out.read_text().splitlines()) == lines:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{server.program['name']} does not answer the probe")
        time.sleep(0.02)
    return int(found[-1])


# --- the report ---


def mark(value):
    return {True: "yes", False: "**no**", None: "-"}[value]


def cells(program, way, row):
    if row is None:
        return ["-"] * (2 if way.startswith("memlab") else 4)
    if "failed" in row:
        reason = row["failed"].splitlines()[-1][:60].replace("|", "/")
        return [f"failed: {reason}"] + ["-"] * (0 if way.startswith("memlab") else 2) + [f"{row['seconds']:.0f} s"]
    if way.startswith("memlab"):
        right = row.get("holder", row.get("unclaimed"))
        return [f"{mark(right)} ({row['clusters']})", f"{row['seconds']:.0f} s"]
    if not program["leak"]:
        claim = "nothing claimed" if row["unclaimed"] else f"**{row['title']}**"
        return [mark(row["unclaimed"]), "-", claim, f"{row['seconds']:.0f} s"]
    said = f"{row['title'] or 'nothing'} ({row['location'] or 'no line'})".replace("|", "/").replace("\n", " ")
    return [mark(row["holder"]), mark(row["line"]), said, f"{row['seconds']:.0f} s"]


def table(results, ways):
    head = ["program", "planted", "Node.js"]
    for way in ways:
        head += [f"{way}: cluster 1 names it (clusters)", "took"] if way.startswith("memlab") else [
            f"{way}: holder is no. 1", "line", "first suspect", "took"]
    rows = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for result in results:
        program = result["program"]
        row = [program["name"], program["kind"], result["node"]]
        for way in ways:
            row += cells(program, way, result["ways"].get(way))
        rows.append("| " + " | ".join(row) + " |")
    return rows


def score(results, ways):
    lines = []
    for way in ways:
        rows = [(r["program"], r["ways"].get(way) or {}) for r in results]
        leaks = [row for program, row in rows if program["leak"]]
        clean = [row for program, row in rows if not program["leak"]]
        count = lambda rows, key: sum(row.get(key) is True for row in rows)
        text = f"**{way if way.startswith('memlab') else 'heapsight leak, ' + way}**: holder no. 1 in {count(leaks, 'holder')} of {len(leaks)}"
        if not way.startswith("memlab"):
            text += f", file and line right in {count(leaks, 'line')} of {len(leaks)}"
        text += f"; nothing claimed in {count(clean, 'unclaimed')} of {len(clean)} clean ones"
        slowest = max((row.get("seconds", 0) for _, row in rows), default=0)
        lines.append(f"{text}; the slowest took {slowest:.0f} s.")
    return lines


def write(args, results, ways, rows, scores, runtimes):
    folder = HERE.parent / "runs" / f"{args.name}-leaks"
    folder.mkdir(parents=True, exist_ok=True)
    cpu = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), platform.machine())
    version = text_of([args.heapsight, "--version"])
    commit = text_of(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"])
    locks = [json.loads((f / "package-lock.json").read_text())["packages"] for f in (HERE, MEMLAB)]
    memlab = locks[1]["node_modules/@memlab/cli"]["version"]
    shown = shlex.join(["run.py", *sys.argv[1:]])
    text = [
        f"# {args.name}-leaks",
        "",
        f"{cpu}, {os.cpu_count()} cores, Linux {platform.release()}; Node.js {', '.join(v for v, _ in runtimes)}, "
        f"{version} ({commit}), memlab {memlab}, {datetime.date.today()}. {args.requests} requests a round over "
        f"{args.connections} connections. Made by `benchsuite/leaks/{shown}`.",
        "",
        *[f"* {line}" for line in scores],
        "",
        *rows,
        "",
    ]
    (folder / "README.md").write_text("\n".join(text))
    raw = [{"program": r["program"]["name"], "node": r["node"], **r["ways"]} for r in results]
    (folder / "results.json").write_text(json.dumps(raw, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", help="only these, by name")
    parser.add_argument("--nodes", help="major versions among target/runtimes; default is node of PATH")
    parser.add_argument("--ways", default="live", help="live, files, memlab, memlab-all; default live")
    parser.add_argument("--requests", type=int, default=307, help="requests a round")
    parser.add_argument("--connections", type=int, default=5)
    parser.add_argument("--every", type=float, default=3, help="least seconds between the snapshots of a series")
    parser.add_argument("--heapsight", default=str(ROOT / "target/release/heapsight"))
    parser.add_argument("--keep", help="a folder that keeps the series of snapshots; found there again, they are not taken anew")
    parser.add_argument("--name", help="write runs/NAME-leaks/")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--verify", action="store_true")
    args = parser.parse_args()
    ways = [way for way in WAYS if way in args.ways.split(",")]
    programs = chosen(args)
    install(args)
    wrong = check(manifest())
    if wrong:
        sys.exit("\n".join(wrong))
    if args.check:
        return
    runtimes = nodes(args)
    if args.verify:
        _, bad = verify(args, programs, runtimes)
        sys.exit(1 if bad else 0)
    results = []
    with tempfile.TemporaryDirectory() as work:
        args.work = work
        for program in programs:
            for version, node in runtimes:
                if not runs_on(program, version):
                    continue
                folder = pathlib.Path(args.keep or work) / f"{program['name']}-{version}"
                result = {"program": program, "node": version, "ways": {}}

                def series():
                    folder.mkdir(parents=True, exist_ok=True)
                    if len(snapshots(folder)) <= ROUNDS:
                        for stale in folder.iterdir():
                            stale.unlink()
                        take_series(args, program, node, folder)
                    return snapshots(folder)

                for way in ways:
                    try:
                        row = WAYS[way](args, program, node, series)
                    except (RuntimeError, subprocess.SubprocessError, OSError) as error:
                        row = {"seconds": 0, "failed": str(error)}
                    result["ways"][way] = row
                    print(program["name"], version, way, json.dumps(row), flush=True)
                if not args.keep:
                    shutil.rmtree(folder, ignore_errors=True)
                results.append(result)
    rows, scores = table(results, ways), score(results, ways)
    print("\n".join(rows + [""] + scores))
    if args.name:
        write(args, results, ways, rows, scores, runtimes)


if __name__ == "__main__":
    main()

#!/usr/bin/env bash
# What Node.js' guide tells people to do by hand: SIGUSR1, websocat, jq. usage: websocat.sh PID OUT WEBSOCAT
# Waits are bounded and files have names of their own; the steps are those of the guide.
set -euo pipefail
pid=$1 out=$2 websocat=$3
kill -USR1 "$pid"
url=
for _ in $(seq 100); do
  url=$(curl -s http://127.0.0.1:9229/json | jq -r '.[0].webSocketDebuggerUrl' || true)
  [ -n "$url" ] && break
  sleep 0.1
done
log=$out.log
(
  echo '{"id":1,"method":"HeapProfiler.enable"}'
  echo '{"id":2,"method":"HeapProfiler.takeHeapSnapshot"}'
  for _ in $(seq 6000); do
    if tail -n1 "$log" 2>/dev/null | head -c 200 | grep -q '"id":2'; then break; fi
    sleep 0.1
  done
) | "$websocat" -B 10000000000 -t "$url" > "$log"
jq -r 'select(.method == "HeapProfiler.addHeapSnapshotChunk") | .params.chunk' "$log" | tr -d '\n' > "$out"
rm -f "$log"

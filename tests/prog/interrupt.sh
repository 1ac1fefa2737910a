#!/bin/sh
# limit: 200
# Handlers that fork or compute wherever they come, and another thread in the loader: nobody waits for ever.
. "$(dirname "$0")/lib.sh"
export LD_LIBRARY_PATH="$netlib" XDG_CACHE_HOME="$tmp" CDM_REPORT="$tmp/r.json"

try()
{
	timeout -s KILL 60 env LD_PRELOAD="$lib" "$B/tests/prog/interrupt" "$@" >"$tmp/out" 2>&1 ||
		fail "$*: exit status $? $(tail -n 3 "$tmp/out")"
}
try loader
try opening
try cancel 600
try cancel 32
try fork 2000
try compute 12000
report "$tmp/r.json" 'r["calls"]["forwarded"] > 5000' || fail "compute: nothing was forwarded"

# Who waits is inside the better library, but for moments between two calls: then the child may forward, at most once here.
forwarding=0
for run in 1 2 3; do
	rm -f "$tmp"/r.*.json
	CDM_REPORT="$tmp/r.%p.json" && try wait
	for r in "$tmp"/r.*.json; do
		report "$r" 'r["calls"]["forwarded"] not in range(1, 20000)' >/dev/null || forwarding=$((forwarding + 1))
	done
done
[ $forwarding -lt 2 ] || fail "wait: $forwarding of 3 children have forwarded calls"
export CDM_THREADS=4 # more than two callers could share
try leave
export CDM_THREADS=1
try compute 12000
finish

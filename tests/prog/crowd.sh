#!/bin/sh
# limit: 120
# Several processes on two CPUs, each with small calls that a team is best for when it has the CPUs to itself. A member without a CPU
# makes such a call a hundred times as long: most are to run on one thread each.
. "$(dirname "$0")/lib.sh"
command -v taskset >/dev/null || skip "no taskset"
cpus=$($python -c 'import os; print(*sorted(os.sched_getaffinity(0))[:2], sep=",")')
case $cpus in *,*) ;; *) skip "one CPU" ;; esac
export LD_LIBRARY_PATH=$netlib
unset CDM_POLICY
export CDM_MIN_WORK=64 # such calls are computed at once, otherwise, where the CPU has AVX-512

# crowd PROCESSES SECONDS N: the reports are $tmp/r.1.json and so on.
crowd()
{
	pids=
	rm -f "$tmp"/out.*
	for i in $(seq "$1"); do
		preloaded env CDM_REPORT="$tmp/r.$i.json" taskset -c "$cpus" "$B/tests/prog/crowd" "$2" "$3" >"$tmp/out.$i" 2>&1 &
		pids="$pids $!"
	done
	for pid in $pids; do
		wait "$pid" || fail "$1 processes, order $3: exit status $?"
	done
	cat "$tmp"/out.*
}

# The part of the offloaded calls that had several threads is all that matters, and $2 bounds it.
team='sum(l["calls"] for l in r["libraries"] if " 1 thread" not in l["name"])'
for n in 128 256; do
	crowd 1 0.5 $n # calibrates, the first time
	report "$tmp/r.1.json" "$team > 0" || { echo "order $n: no call for a team here, left out"; continue; }
	for processes in 2 4; do
		crowd $processes 3 $n
		for i in $(seq $processes); do
			report "$tmp/r.$i.json" "r['calls']['offloaded'] > 0 and 2 * $team <= r['calls']['offloaded']" ||
				fail "order $n, process $i of $processes: most calls had a team"
		done
	done
done
finish

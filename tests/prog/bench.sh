#!/bin/sh
# limit: 300
# The benchmark itself: it judges known times rightly, refuses what it does not understand, and a small run writes what it
# promises. No figure decides anything here.
. "$(dirname "$0")/lib.sh"
bench="$python tests/bench/bench.py --build $B"
[ "$lib" ] && bench="$bench --lib $lib" || bench="$bench --lib="

$python tests/bench/selftest.py || fail "selftest"

refused()
{
	$bench "$@" >"$tmp/out" 2>"$tmp/err"
	[ $? = 2 ] || fail "not refused: $*"
	[ -s "$tmp/err" ] || fail "refused without a word: $*"
}
refused nonsense
refused --quick --smoke sweep
refused --sizes 3
refused --lib "$tmp/nowhere.so" sweep

for program in sweep callers; do
	if echo 'dgemm 0 8 8 10' | "$B/tests/bench/$program" >"$tmp/out" 2>&1; then
		fail "$program takes anything: $(cat "$tmp/out")"
	fi
done
echo 'dgemm 9 8 7 100
zgetrf 20 10 1 100' | LD_LIBRARY_PATH=$netlib "$B/tests/bench/sweep" >"$tmp/out" || fail "sweep: exit status $?"
awk '$1 > 0 { n++ } END { exit n != 2 }' "$tmp/out" || fail "sweep: $(cat "$tmp/out")"
now=$($python -c 'import time; print(time.monotonic())')
echo "$($python -c "print($now + 1, $now + 1.1)")" | LD_LIBRARY_PATH=$netlib "$B/tests/bench/callers" 3 mixed 64 >"$tmp/out" ||
	fail "callers: exit status $?"
awk 'NR == 1 { ok = $0 == "ready" } NR == 2 { ok = ok && $1 > 0 } END { exit !(ok && NR == 2) }' "$tmp/out" ||
	fail "callers: $(cat "$tmp/out")"

if [ ! -f "$openblas/libopenblas.so.0" ]; then
	skip "the small run needs OpenBLAS in $openblas"
fi
$bench --smoke --json "$tmp/bench.json" --out "$tmp/plots" >"$tmp/out" 2>"$tmp/err" || fail "--smoke: exit status $?"
cat "$tmp/out" "$tmp/err"
$python tests/prog/judge.py report "$tmp/bench.json" '
	r["version"] == 2 and r["mode"] == "smoke"
	and all(r["machine"][k] for k in ("machine", "cpu", "cpus", "kernel", "libraries", "date", "memory_kib"))
	and {"commit", "governor", "hypervisor", "transparent_hugepages"} <= set(r["machine"])
	and {l["name"] for l in r["machine"]["libraries"]} >= {"OpenBLAS", "netlib BLAS"}
	and all(l["version"] for l in r["machine"]["libraries"])
	and all({"what", "op", "bar", "measured", "unit", "met"} <= set(row) for row in r["rows"])
	and len(r["sweep"]["points"]) == 3
	and all(p["ratio"] > 0 and p["best"] in p["ns"] and p["ns"]["libcdm"] > 0 for p in r["sweep"]["points"])
	and "libcdm" in r["sweep"]["columns"] and not r["sweep"]["lost"] and r["sweep"]["singles"]
	and len(r["programs"]["programs"]) >= 2 and all(p["agree"] and p["ratio"] > 0 for p in r["programs"]["programs"])
	and r["throughput"][0]["ratio"] > 0 and r["throughput"][0]["gflops"]["libcdm"] > 0' || fail "the JSON says otherwise"
[ -z "$lib" ] || report "$tmp/bench.json" 'r["choice"] and "cdm-choice" in r["choice"]["file"]' || fail "no choice of libcdm's"
if command -v gnuplot >/dev/null; then
	for plot in dgemm-square dpotrf-square ratios; do
		$python -c 'import sys, xml.dom.minidom as x; sys.exit(x.parse(sys.argv[1]).documentElement.tagName != "svg")' \
			"$tmp/plots/sweep-$plot.svg" || fail "no SVG: $plot"
	done
else
	grep -q 'gnuplot is missing' "$tmp/out" || fail "nothing is said about gnuplot"
fi
finish

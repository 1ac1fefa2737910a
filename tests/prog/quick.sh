#!/bin/sh
# limit: 240
# Small calls, computed at once or forwarded to a better library: the results of every routine in every form, legal and illegal,
# are those of the program's own library; fork(2) finds nobody inside.
. "$(dirname "$0")/lib.sh"
export LD_LIBRARY_PATH="$netlib" XDG_CACHE_HOME="$tmp" CDM_REPORT="$tmp/r.json"
seed=${SEED:-$(date +%s)}
printf 'seed %s\n' "$seed"
quick=$B/tests/prog/quick
"$B/cdm" calibrate --child >"$tmp/choice" || fail "calibration"

for i in 1 2 3; do
	"$quick" results $((seed + i)) 12000 "$tmp/plain" || fail "without libcdm: exit status $?"
	LD_PRELOAD=$lib "$quick" results $((seed + i)) 12000 "$tmp/with" || fail "exit status $?"
	"$python" tests/prog/quick.py "$tmp/plain" "$tmp/with" || fail "results differ"
	report "$tmp/r.json" 'r["calls"]["tiny"] > 3000' || fail "tiny calls were not computed at once"
	report "$tmp/r.json" 'r["calls"]["forwarded"] > 3000' || fail "small calls were not forwarded"
	report "$tmp/r.json" 'r["calls"]["declined"]["invalid"] > 20' || fail "illegal calls are missing"
done
LD_PRELOAD=$lib "$quick" forks 300 || fail "forks: exit status $?"
report "$tmp/r.json" 'r["calls"]["forwarded"] > 1000' || fail "forks: nothing was forwarded"

# No thread has the work by itself that a library is worth, all of them have.
LD_PRELOAD=$lib "$quick" turns 8 2000 || fail "turns: exit status $?"
report "$tmp/r.json" 'r["calls"]["forwarded"] > 1000' || fail "turns: nothing was forwarded"
LD_PRELOAD=$lib "$quick" turns 1 2000 || fail "a thread alone: exit status $?"
report "$tmp/r.json" 'r["calls"]["forwarded"] == 0' || fail "a thread alone: a library was opened for little work"

# A program that has nothing but large calls of level 2, none of which is worth opening a library for.
echo 'dgemv 1024 1024 1 400000' | LD_PRELOAD=$lib "$B/tests/bench/sweep" >"$tmp/out" || fail "level 2: exit status $?"
report "$tmp/r.json" 'r["calls"]["offloaded"] + r["calls"]["forwarded"] > 50' || fail "level 2: no library was opened"

# One whose calls the quick look takes for larger than they are: worth offloading, which they are not.
echo 'dsyrk 1 140 40 400000' | LD_PRELOAD=$lib "$B/tests/bench/sweep" >"$tmp/out" || fail "syrk: exit status $?"
report "$tmp/r.json" 'r["calls"]["offloaded"] + r["calls"]["forwarded"] > 100' || fail "syrk: no library was opened"

# One whose first product opens the library and whose others, all worth offloading from reference BLAS, are better forwarded. With one
# thread: where the team begins is the machine's.
CDM_THREADS=1 "$B/cdm" calibrate --child >"$tmp/choice" || fail "calibration for one thread"
CDM_THREADS=1 CDM_REPORT="$tmp/r1.json" LD_PRELOAD=$lib "$B/tests/bench/sweep" <<END >"$tmp/out" || fail "products: exit status $?"
dgemm 85 85 85 1
dgemm 70 70 70 400000
END
report "$tmp/r1.json" 'r["calls"]["forwarded"] > 5000' || fail "products: not forwarded"

# Whoever sets a threshold, or wants no device, gets the program's own library.
for more in CDM_MIN_WORK=1e6 CDM_MIN_WORK=0 CDM_POLICY=never CDM_DEVICE=none CDM_DEVICE=emu:private; do
	env $more LD_PRELOAD="$lib" "$quick" results "$seed" 2000 "$tmp/with" || fail "$more: exit status $?"
	report "$tmp/r.json" 'r["calls"]["forwarded"] == 0 and r["calls"]["tiny"] == 0' || fail "$more: quick calls"
done
finish

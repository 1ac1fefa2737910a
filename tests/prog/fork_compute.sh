#!/bin/sh
# limit: 300
# fork(2) in one thread while others are inside offloaded calls. (OpenBLAS by itself hangs here.)
. "$(dirname "$0")/lib.sh"
export LD_LIBRARY_PATH=$netlib CDM_MIN_WORK=0 CDM_REPORT=$tmp/r.json

run()
{
	label=$1
	shift
	env "$@" LD_PRELOAD="$lib" "$B/tests/prog/fork_compute" 200 200 || fail "$label: exit status $?"
	report "$tmp/r.json" 'r["calls"]["offloaded"] > 0' || fail "$label: nothing was offloaded"
}
run "first-use, move" CDM_MECHANISM=move
run "first-use, remap" CDM_MECHANISM=remap
run "copy" CDM_POLICY=copy
if [ -d "$openblas" ]; then run "the program's own library is OpenBLAS" LD_LIBRARY_PATH="$openblas"; fi
run "a small device" CDM_DEVICE_MEM=8M
finish

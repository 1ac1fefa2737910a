#!/bin/sh
# limit: 300
# exit() and exec from one thread while others are inside offloaded calls: the program ends at once, with its status and its
# report. (OpenBLAS by itself hangs at such an exit now and then: it joins its threads.)
. "$(dirname "$0")/lib.sh"

export LD_LIBRARY_PATH="$netlib" CDM_MIN_WORK=0
for device in emu emu:private; do
	for mechanism in move remap; do
		for run in 1 2 3; do
			rm -f "$tmp/r.json"
			timeout -s KILL 20 env LD_PRELOAD="$lib" CDM_DEVICE=$device CDM_MECHANISM=$mechanism \
				CDM_REPORT="$tmp/r.json" "$B/tests/prog/exit" >"$tmp/out" 2>&1
			[ $? = 7 ] && [ ! -s "$tmp/out" ] || fail "$device $mechanism exit, run $run: $(cat "$tmp/out")"
			report "$tmp/r.json" 'r["calls"]["offloaded"] > 15' || fail "$device $mechanism: no report"
			out=$(timeout -s KILL 20 env LD_PRELOAD="$lib" CDM_DEVICE=$device CDM_MECHANISM=$mechanism \
				"$B/tests/prog/exit" exec 2>&1)
			[ "$out" = 'another program' ] || fail "$device $mechanism exec: $out"
		done
	done
done
finish

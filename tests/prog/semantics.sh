#!/bin/sh
# limit: 240
# What a program does to its memory while libcdm moves it, under both mechanisms, with a small device.
. "$(dirname "$0")/lib.sh"

for mechanism in move remap; do
	for case in locked limited over_freed refused remapped coroutine blocked closed timed dontfork wipeonfork; do
		env LD_LIBRARY_PATH="$netlib" LD_PRELOAD="$lib" CDM_MIN_WORK=0 CDM_DEVICE_MEM=32M \
			CDM_MECHANISM=$mechanism timeout -s KILL 30 "$B/tests/prog/semantics" $case >"$tmp/out" 2>&1
		status=$?
		[ $status = 0 ] || fail "$mechanism: $case: exit status $status"
		sed "s/^/$mechanism: /" "$tmp/out"
	done
done
finish

#!/bin/sh
# limit: 240
# The allocation and mapping families: by themselves, preloaded, with a low limit for regions, and beside another
# preloaded allocator in either order.
. "$(dirname "$0")/lib.sh"
t=$B/tests/prog
seconds=${SECONDS_EACH:-4}

all()
{
	label=$1
	shift
	for program in alloc maps; do
		env "$@" "$t/$program" >"$tmp/out" 2>&1 || { fail "$label: $program: exit status $?"; tail -n 5 "$tmp/out"; }
	done
	env "$@" "$t/stress" "$seconds" >"$tmp/out" 2>&1 || { fail "$label: stress: exit status $?"; tail -n 8 "$tmp/out"; }
	printf '%s: %s\n' "$label" "$(grep operations "$tmp/out")"
}
all "by itself" LD_PRELOAD=
all preloaded LD_PRELOAD="$lib"
all "preloaded, low limit" LD_PRELOAD="$lib" CDM_MIN_ALLOC=64K
all "preloaded, no device" LD_PRELOAD="$lib" CDM_DEVICE=none

for other in "$arch/libjemalloc.so.2" "$arch/libtcmalloc_minimal.so.4"; do
	[ -f "$other" ] || { echo "$other: not here, left out"; continue; }
	for order in "$lib:$other" "$other:$lib"; do
		for command in "alloc portable" "maps" "stress $seconds"; do
			env LD_PRELOAD="$other" "$t"/$command >"$tmp/out" 2>&1 ||
				{ echo "$other by itself fails $command, left out"; continue; }
			env LD_PRELOAD="$order" "$t"/$command >"$tmp/out" 2>&1 ||
				{ fail "$order: $command: exit status $?"; tail -n 5 "$tmp/out"; }
		done
	done
done
finish

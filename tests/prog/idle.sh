#!/bin/sh
# limit: 200
# Freed memory goes back to the system while a program sleeps; with CDM_CONTROL=off, before.
. "$(dirname "$0")/lib.sh"

try()
{
	label=$1
	shift
	env LD_PRELOAD="$lib" "$@" >"$tmp/out" 2>&1 || { fail "$label: exit status $?"; tail -n 8 "$tmp/out"; }
	echo "$label: $(tail -n 1 "$tmp/out")"
}
try "with a thread" "$B/tests/prog/idle"
try "without" CDM_CONTROL=off "$B/tests/prog/idle" alone
try "without a device" CDM_DEVICE=none "$B/tests/prog/idle"
finish

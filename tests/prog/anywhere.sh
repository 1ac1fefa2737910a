#!/bin/sh
# limit: 120
# A handler that forks, at each instruction of an operation: parent and child come to its end.
. "$(dirname "$0")/lib.sh"
export LD_LIBRARY_PATH="$netlib" PRELOAD="$lib"

try()
{
	"$B/tests/prog/anywhere" "$@" >"$tmp/out" 2>&1 || fail "$(tail -n 3 "$tmp/out")"
}
try malloc 1000
try fork 300
try small 300
finish

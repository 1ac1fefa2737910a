#!/bin/sh
# limit: 200
# Handlers that fork or compute wherever they come, and another thread in the loader: nobody waits for ever.
. "$(dirname "$0")/lib.sh"
export LD_LIBRARY_PATH="$netlib" XDG_CACHE_HOME="$tmp"

try()
{
	LD_PRELOAD=$lib timeout -s KILL 60 "$B/tests/prog/interrupt" "$@" >"$tmp/out" 2>&1 ||
		fail "$*: exit status $? $(tail -n 3 "$tmp/out")"
}
try loader
try opening
try fork 2000
finish

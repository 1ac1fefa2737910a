#!/bin/sh
# limit: 240
# 200,000 blocks of 1 MiB, and 40,000 of 2 MiB, where vm.max_map_count is 65530: all that libc can give is given, and half of
# the mappings stay the program's own.
. "$(dirname "$0")/lib.sh"
limit=$(cat /proc/sys/vm/max_map_count)
[ "$limit" -le 100000 ] || skip "vm.max_map_count is $limit: too high to come near it"

for what in "200000 1048576" "40000 2097152"; do
	"$B/tests/prog/many" $what >"$tmp/out" 2>&1 || { echo "$what: libc fails, left out"; tail -n 2 "$tmp/out"; continue; }
	preloaded "$B/tests/prog/many" $what $((limit / 8 * 5)) >"$tmp/out" 2>&1 || fail "$what: exit status $?"
	printf '%s: %s\n' "$what" "$(head -n 20 "$tmp/out" | tr '\n' ';')"
done
finish

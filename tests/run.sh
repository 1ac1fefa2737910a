#!/bin/sh
# Runs tests one after the other and counts them.
#
#   tests/run.sh PROGRAM...     each program is a test, named after its path
#   tests/run.sh < LIST         each line is a test: NAME SECONDS COMMAND...; '#' starts a comment
#
# Exit status 0 of a test is passed, 77 skipped (its last line of output says why), anything else failed. A
# program may state its own time limit in a line "limit: SECONDS" near its top. Output goes to LOGS
# (default build/tests/logs); what a failed test printed last is shown. The last line is the count, and the exit
# status is 1 when a test failed.

: "${LOGS:=build/tests/logs}" "${LIMIT:=120}"
passed=0 failed=0 skipped=0
mkdir -p "$LOGS" || exit 1

result()
{
	printf '%-7s %-44s %4s s%s\n' "$1" "$2" "$3" "${4:+  $4}"
}

# run_one NAME SECONDS COMMAND...
run_one()
{
	name=$1 limit=$2
	shift 2
	log=$LOGS/$(printf %s "$name" | tr '/ ' '__').log
	begin=$(date +%s)
	timeout --kill-after=10 "$limit" "$@" >"$log" 2>&1 </dev/null
	status=$?
	took=$(($(date +%s) - begin))
	case $status in
	0) passed=$((passed + 1)); result passed "$name" $took ;;
	77) skipped=$((skipped + 1)); result skipped "$name" $took "$(tail -n 1 "$log")" ;;
	124 | 137)
		why="over its limit of $limit s"
		[ $took -ge "$limit" ] || why="killed, exit status $status"
		failed=$((failed + 1)); result FAILED "$name" $took "$why ($log)" ;;
	*) failed=$((failed + 1)); result FAILED "$name" $took "exit status $status ($log)" ;;
	esac
	case $status in 0 | 77) ;; *) tail -n "${TAIL:-25}" "$log" | sed 's/^/    | /' ;; esac
}

# A program's own limit, from its source or script.
own_limit()
{
	for file in "$1" "$1.c" "tests/${1##*/tests/}.c"; do
		case $file in *.sh | *.c | *.py) ;; *) continue ;; esac
		if [ -f "$file" ]; then
			head -n 30 "$file" | sed -n 's/^.*limit: \([0-9][0-9]*\).*$/\1/p' | head -n 1
			return
		fi
	done
}

if [ $# -gt 0 ]; then
	for test in "$@"; do
		limit=$(own_limit "$test")
		run_one "${test#build/}" "${limit:-$LIMIT}" "$test"
	done
else
	while read -r name limit command; do
		case $name in '' | '#'*) continue ;; esac
		eval "run_one $name $limit $command"
	done
fi

printf '%d passed, %d failed, %d skipped\n' $passed $failed $skipped
[ $failed = 0 ]

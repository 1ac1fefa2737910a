#!/bin/sh
# limit: 900
# Runs the scenario programs on every device with every mechanism and prints the matrix.
#
#   tests/scenarios/run.sh [-d DEVICE]... [-m MECHANISM]... [NUMBER|NAME]...
#
# -d and -m select columns, numbers (12, 29-32) and parts of names select scenarios. A cell is passed (exit status 0),
# refused (77: the program or the machine says why, and nothing was wrong) or failed. Exit status 1: a cell failed.
#
# A program's first 30 lines may contain
#    * env: NAME=VALUE...    in its environment
#    * args: WORD...         its arguments
#    * limit: SECONDS        instead of 60
# A line of libcdm's own is an error: it is silent. `* says: N` allows N such lines.
#
# Builds nothing, and needs no more than sh, sed and the coreutils, so that it runs in a bare virtual machine:
# PROGS, SOURCES, LIB, NETLIB and BLAS say where the programs, their sources (.c), the library, the program's own BLAS
# (a search path) and the device's are; SLOW multiplies all limits.

cd "$(dirname "$0")/../.." || exit 1
B=${B:-build}
PROGS=${PROGS:-$B/tests/scenarios}
SOURCES=${SOURCES:-tests/scenarios}
LIB=${LIB:-${TEST_LIB:-$B/libcdm.so}}
arch=/usr/lib/$(uname -m)-linux-gnu
NETLIB=${NETLIB:-$arch/blas:$arch/lapack}
SLOW=${SLOW:-1}
case $LIB in /*) ;; *) LIB=$PWD/$LIB ;; esac
tmp=${TMPDIR:-/tmp}/scenarios.$$
mkdir -p "$tmp" || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
unset LD_PRELOAD
for name in $(env | sed -n 's/^\(CDM_[A-Z_]*\)=.*/\1/p'); do
	unset "$name"
done

devices='' mechanisms='' chosen=''
while [ $# -gt 0 ]; do
	case $1 in
	-d) devices="$devices $2"; shift ;;
	-m) mechanisms="$mechanisms $2"; shift ;;
	*) chosen="$chosen $1" ;;
	esac
	shift
done
columns=''
for device in ${devices:-emu emu:private}; do
	for mechanism in ${mechanisms:-move remap}; do
		columns="$columns $device,$mechanism"
	done
done

[ -f "$LIB" ] || { echo "$LIB is not built"; exit 1; }
[ -x "$PROGS/probe" ] || { echo "$PROGS is not built"; exit 1; }

# ---- one run ----

# with COLUMN SECONDS [NAME=VALUE]... PROGRAM [ARGUMENT]...: under libcdm, on that device with that mechanism.
with()
{
	column=$1 seconds=$(($2 * SLOW))
	shift 2
	timeout -s KILL $seconds env LD_LIBRARY_PATH="$NETLIB" CDM_DEVICE="${column%,*}" CDM_MECHANISM="${column#*,}" \
		CDM_MIN_WORK=0 CDM_POLICY=first-use CDM_THREADS=1 ${BLAS:+CDM_BLAS="$BLAS"} LD_PRELOAD="$LIB" "$@" </dev/null
}

# header FILE WORD: what the program says of itself.
header()
{
	sed -n "1,30s/^ \* $2: *\(.*\)/\1/p" "$1"
}

# why_not COLUMN: why nothing can be tried in this column: "refused REASON", "failed REASON" or nothing.
why_not()
{
	rm -f "$tmp/probe.json"
	with "$1" 60 CDM_REPORT="$tmp/probe.json" "$PROGS/probe" >"$tmp/probe.out" 2>&1 || {
		echo "failed the probe ended with status $?"
		return
	}
	device=$(sed -n 's/.*"device": *{"name": *"\([^"]*\)".*/\1/p' "$tmp/probe.json")
	mechanism=$(sed -n 's/.*"mechanism": *"\([^"]*\)".*/\1/p' "$tmp/probe.json")
	if [ "$device" != "${1%,*}" ]; then
		echo "failed the device in force is ${device:-none}"
	elif [ "$mechanism" != "${1#*,}" ]; then
		echo "refused no ${1#*,}: the mechanism in force on Linux $(uname -r) is ${mechanism:-none}"
	fi
}

# cell NAME COLUMN LOG: runs the scenario; sets $verdict and $reason.
cell()
{
	source=$SOURCES/$1.c
	limit=$(header "$source" limit)
	# shellcheck disable=SC2046 # words, on purpose
	with "$2" "${limit:-60}" $(header "$source" env) "$PROGS/$1" $(header "$source" args) >"$3" 2>&1
	status=$?
	said=$(sed -n '/^libcdm: /=' "$3" | sed -n '$=')
	allowed=$(header "$source" says)
	verdict=failed reason=
	case $status in
	0 | 77)
		if [ "${said:-0}" -gt "${allowed:-0}" ]; then
			reason="libcdm said something"
		elif [ $status = 0 ]; then
			verdict=passed
		else
			verdict=refused
			reason=$(sed -n 's/^refused: //p' "$3" | sed -n '$p')
		fi ;;
	137) reason="killed; the limit is $((${limit:-60} * SLOW)) s" ;;
	*) reason="exit status $status" ;;
	esac
}

# ---- the matrix ----

# selected NAME: by number, by a range of numbers, by a part of the name; without a selection all are.
selected()
{
	[ "$chosen" ] || return 0
	number=${1%%_*}
	number=${number#0}
	for word in $chosen; do
		case $word in
		*[!0-9-]*) case $1 in *"$word"*) return 0 ;; esac ;;
		*-*) [ "$number" -ge "${word%-*}" ] && [ "$number" -le "${word#*-}" ] && return 0 ;;
		*) [ "$number" = "${word#0}" ] && return 0 ;;
		esac
	done
	return 1
}

refusals=$tmp/refusals
failures=$tmp/failures
: >"$refusals"
: >"$failures"

passed=0 refused=0 failed=0
count()
{
	case $1 in
	passed) passed=$((passed + 1)) ;;
	refused) refused=$((refused + 1)) ;;
	*) failed=$((failed + 1)) ;;
	esac
}

printf '%-28s' ''
for column in $columns; do
	printf ' %-18s' "$column"
done
echo
n=0
for column in $columns; do
	n=$((n + 1))
	verdict=$(why_not "$column")
	eval "blocked$n=\$verdict"
	case $verdict in
	refused*) printf '%s: %s\n' "$column" "${verdict#refused }" >>"$refusals" ;;
	failed*)
		printf '%s: %s\n' "$column" "${verdict#failed }" >>"$failures"
		sed 's/^/    | /' "$tmp/probe.out" >>"$failures" ;;
	esac
done

for source in "$SOURCES"/[0-9][0-9]*_*.c; do
	name=${source##*/}
	name=${name%.c}
	selected "$name" || continue
	printf '%-28s' "${name%%_*} ${name#*_}"
	n=0
	for column in $columns; do
		n=$((n + 1))
		eval "blocked=\$blocked$n"
		if [ "$blocked" ]; then
			count "${blocked%% *}"
			case $blocked in
			refused*) printf ' %-18s' "no ${column#*,}" ;;
			*) printf ' %-18s' "no ${column%,*}" ;;
			esac
			continue
		fi
		cell "$name" "$column" "$tmp/log"
		count "$verdict"
		printf ' %-18s' "$verdict"
		case $verdict in
		refused) printf '%s: %s: %s\n' "${name%%_*} ${name#*_}" "$column" "$reason" >>"$refusals" ;;
		failed)
			printf '%s: %s: %s\n' "${name%%_*} ${name#*_}" "$column" "$reason" >>"$failures"
			sed -n 's/^/    | /; 1,25p' "$tmp/log" >>"$failures" ;;
		esac
	done
	echo
done

if [ -s "$refusals" ]; then
	printf '\nrefused:\n'
	cat "$refusals"
fi
if [ -s "$failures" ]; then
	printf '\nFAILED:\n'
	cat "$failures"
fi
printf '\n%d passed, %d refused, %d failed\n' $passed $refused $failed
[ $failed = 0 ]

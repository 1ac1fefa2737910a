#!/bin/sh
# limit: 300
# `cdm offline`, `online` and `status` of a running program: what they do to its data, that it computes on, and that it
# notices nothing else.
. "$(dirname "$0")/lib.sh"
export LD_LIBRARY_PATH=$netlib CDM_MIN_WORK=0
chmod 755 "$tmp"
cp "$B/cdm" "$tmp/cdm" # where another user can run it

# try CASE [VAR=VALUE...]
try()
{
	case=$1
	shift
	env "$@" LD_PRELOAD="$lib" timeout -s KILL 60 "$B/tests/prog/offline" "$case" "$tmp/cdm" >"$tmp/out" 2>&1
	status=$?
	[ $status = 0 ] || fail "$case $*: exit status $status"
	sed "s/^/${*:+$* }/" "$tmp/out"
}

for device in emu emu:private; do
	for mechanism in move remap; do
		try cycle CDM_DEVICE=$device CDM_MECHANISM=$mechanism
		try busy CDM_DEVICE=$device CDM_MECHANISM=$mechanism
	done
	try busy CDM_DEVICE=$device CDM_DEVICE_MEM=8M
	try forked CDM_DEVICE=$device
	try closed CDM_DEVICE=$device
done
try ends
try alone
try alone CDM_THREADS=1
try users
try signals
try junk
try unused
env timeout -s KILL 60 "$B/tests/prog/offline" unused "$tmp/cdm" || fail "without libcdm: exit status $?"

# refused STATUS WORDS ARGUMENT...: `cdm ARGUMENT...` ends with STATUS, one line on stderr that has WORDS, and nothing else.
refused()
{
	want=$1 words=$2
	shift 2
	"$B/cdm" "$@" >"$tmp/out" 2>"$tmp/err"
	status=$?
	if [ $status != "$want" ] || [ -s "$tmp/out" ] || [ "$(wc -l <"$tmp/err")" != 1 ] || ! grep -qF -- "$words" "$tmp/err"; then
		fail "cdm $*: exit status $status: $(cat "$tmp/out" "$tmp/err")"
	fi
}
for verb in offline online status; do
	refused 2 "usage: cdm $verb PID" $verb
	refused 2 "usage: cdm $verb PID" $verb 1 2
	for bad in '' 0 -1 +1 ' 1' 12x 0x10 1.0 99999999999 9999999999999999999999; do
		refused 2 "usage: cdm $verb PID" $verb "$bad"
	done
	refused 1 'does not exist' $verb 2147483647
	refused 1 'runs without libcdm' $verb $$
done
finish

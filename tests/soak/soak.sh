#!/bin/sh
# limit: 420
# Eight threads do everything at once to memory on a device that is too small and comes and goes; see soak.c. The four
# cells share SOAK_SECONDS (30; 1200 for the long run), one after the other; each then rests for some seconds while
# the next one runs. SOAK_SEED repeats a run's draws (not its interleavings). SOAK_PLAIN=1 runs without libcdm, which
# tests the test.
SOAK_SECONDS=${SOAK_SECONDS:-30} SOAK_SEED=${SOAK_SEED-}
export SOAK_SECONDS SOAK_SEED
. "$(dirname "$0")/../prog/lib.sh"
program=$B/tests/soak/soak
[ -n "$lib" ] || SOAK_PLAIN=1
make -s --no-print-directory B="${B#"$PWD/"}" soak || { echo 'the program does not compile'; exit 1; }
seconds=$((SOAK_SECONDS / 4))
[ $seconds -gt 2 ] || seconds=3
export LD_LIBRARY_PATH="$netlib" # OpenBLAS hangs when it is forked in the middle of a call

# start NAME ENVIRONMENT...: in the background; returns when it is at rest or has ended.
start()
{
	name=$1
	shift
	names="$names $name"
	mkdir "$tmp/$name"
	(
		cd "$tmp/$name" || exit 1
		env "$@" timeout -s KILL $((seconds + 120)) "$program" "$seconds" $SOAK_SEED >out 2>&1
		echo $? >status
	) &
	until [ -f "$tmp/$name/status" ] || grep -q '^soak: at rest' "$tmp/$name/out" 2>/dev/null; do
		sleep 0.2
	done
}

names=
if [ "$SOAK_PLAIN" ]; then
	start plain LD_PRELOAD=
else
	for device in emu emu:private; do
		for mechanism in move remap; do
			start "$device-$mechanism" LD_PRELOAD="$lib" CDM_DEVICE=$device CDM_MECHANISM=$mechanism CDM_MIN_WORK=0 \
				CDM_DEVICE_MEM=24M CDM_THREADS=1 SOAK_DEVICE=1
		done
	done
fi
wait
for name in $names; do
	status=$(cat "$tmp/$name/status")
	[ "$status" = 0 ] || fail "$name: exit status $status"
	sed "s/^/$name: /" "$tmp/$name/out"
done
finish

#!/bin/sh
# limit: 180
# Programs that are hard to get right: patched functions whose callers know which registers they use, calls in constructors
# and signal handlers, libraries opened while others run.
. "$(dirname "$0")/../prog/lib.sh"
src=tests/doors
cc=${CC:-cc}
flags="-O2 -w -fno-builtin"
reference=$(ls "$arch/blas/libblas.a" 2>/dev/null)
[ "$reference" ] || skip "no static reference BLAS"
pic=$(ls "$openblas/libopenblas.a" 2>/dev/null)

extra= # variables for both runs
# run LABEL SETTINGS COMMAND...: as without libcdm; CALLS in the output are seen.
run()
{
	label=$1 settings=$2
	shift 2
	env LD_LIBRARY_PATH="$netlib" $extra timeout 60 "$@" >"$tmp/want" 2>&1 || fail "$label: exit status $? without libcdm"
	rm -f "$tmp/r.json"
	# shellcheck disable=SC2086
	timeout -s KILL 60 env LD_LIBRARY_PATH="$netlib" $extra $settings CDM_REPORT="$tmp/r.json" LD_PRELOAD="$lib" "$@" \
		>"$tmp/got" 2>&1 || fail "$label ($settings): exit status $?"
	cmp -s "$tmp/want" "$tmp/got" || { fail "$label ($settings): differs"; diff "$tmp/want" "$tmp/got" | head -n 4; }
	made=$(sed -n 's/^CALLS //p' "$tmp/want")
	[ -z "$made" ] || report "$tmp/r.json" "r['calls']['seen'] == $made" >/dev/null || fail "$label ($settings): not all seen"
	echo "$label ($settings): $(head -n 1 "$tmp/got")"
}

$cc $flags -o "$tmp/own" $src/own.c && $cc $flags -o "$tmp/hard" $src/hard.c -L"$arch/blas" -lblas -lpthread -ldl &&
	$cc $flags -o "$tmp/static" $src/hard.c "$reference" -lgfortran -lm -lpthread -ldl &&
	$cc $flags -shared -fPIC -DPLUGIN -o "$tmp/plugin.so" $src/hard.c -L"$arch/blas" -lblas -lpthread || fail building
for settings in CDM_MIN_WORK=auto CDM_MIN_WORK=0 CDM_POLICY=never; do
	run "one file" $settings "$tmp/own"
	# With everything offloaded the thread would open the device's library, and wait for the constructor's lock.
	extra=CONSTRUCTOR=1
	[ $settings = CDM_MIN_WORK=0 ] ||
		run "a call in a constructor" $settings "$tmp/hard" constructor "$tmp/plugin.so"
	extra=
	run "calls in a signal handler" $settings "$tmp/hard" handler "$tmp/plugin.so"
	run "both interfaces of a static library" $settings "$tmp/static" mixed
	run "an empty product" $settings "$tmp/hard" empty
done
if [ "$pic" ] && $cc $flags -shared -fPIC -DPLUGIN -Wl,-Bsymbolic -o "$tmp/symbolic.so" $src/hard.c "$pic" -lgfortran -lm -lpthread; then
	run "threads in a plugin" CDM_MIN_WORK=auto "$tmp/hard" live "$tmp/symbolic.so" libm.so.6
fi
finish

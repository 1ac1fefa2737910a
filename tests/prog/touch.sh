#!/bin/sh
# limit: 60
# CDM_TOUCH=thread: system calls that nobody interposes work on memory that a private device has; with signals they are
# refused, and the memory is whole. Without the privilege the thread is refused in one line, and signals serve.
. "$(dirname "$0")/lib.sh"

export CDM_DEVICE=emu:private CDM_MECHANISM=move
touch_it()
{
	preloaded env "$@" "$B/tests/prog/touch" 2>"$tmp/err"
}

out=$(touch_it CDM_TOUCH=signal) || fail "signal: $out"
[ "$out" = 'read -14 readv -14 arrived 0' ] || {
	CDM_REPORT=$tmp/r.json preloaded "$B/tests/prog/touch" >/dev/null 2>&1
	grep -q '"mechanism":"move"' "$tmp/r.json" || skip "no UFFDIO_MOVE here"
	fail "signal: $out"
}
out=$(touch_it CDM_TOUCH=thread) || fail "thread: $out"
if grep -q 'CDM_TOUCH=thread does not work here' "$tmp/err"; then
	[ "$(wc -l <"$tmp/err")" = 1 ] || fail "more than a line: $(cat "$tmp/err")"
	[ "$(id -u)" != 0 ] || fail "root has the privilege: $(cat "$tmp/err")"
elif [ "$out" != 'read 100000 readv 5000 arrived 1' ]; then
	fail "thread: $out $(cat "$tmp/err")"
fi
[ -s "$tmp/err" ] && [ "$(id -u)" = 0 ] && fail "stderr: $(cat "$tmp/err")"
# The programs that compute there do so in this mode, too.
for example in gemm_c lu_fortran; do
	env LD_LIBRARY_PATH="$netlib" "$B/examples/$example" 400 | grep checksum >"$tmp/plain"
	preloaded env LD_LIBRARY_PATH="$netlib" CDM_TOUCH=thread CDM_MIN_WORK=0 "$B/examples/$example" 400 2>/dev/null |
		grep checksum >"$tmp/out"
	agree "$tmp/plain" "$tmp/out" 1e-10 || fail "$example: $(cat "$tmp/plain" "$tmp/out")"
done
finish

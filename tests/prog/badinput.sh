#!/bin/sh
# Bad settings: one clear line each on stderr, and the program's output and exit status as without libcdm.
. "$(dirname "$0")/lib.sh"
[ "$lib" ] || skip "no library under test"
export LD_LIBRARY_PATH=$netlib

"$B/examples/gemm_c" 200 >"$tmp/plain" || fail "the example by itself"

# bad VARIABLE=VALUE WORD...: one line, with each of the words; everything else as it was.
bad()
{
	setting=$1
	shift
	env CDM_MIN_WORK=0 "$setting" LD_PRELOAD="$lib" "$B/examples/gemm_c" 200 >"$tmp/out" 2>"$tmp/err" ||
		fail "$setting: exit status $?"
	agree "$tmp/plain" "$tmp/out" || fail "$setting: another result"
	lines=$(wc -l <"$tmp/err")
	[ "$lines" = 1 ] || fail "$setting: $lines lines on stderr"
	grep -q '^libcdm: ' "$tmp/err" || fail "$setting: no line of libcdm"
	for word in "${setting%%=*}" "$@"; do
		grep -qF -- "$word" "$tmp/err" || fail "$setting: the line does not say $word"
	done
	cat "$tmp/err"
}

bad CDM_DEVICE=foo foo emu none
bad CDM_DEVICE_MEM=banana banana
bad CDM_DEVICE_MEM=-5 -5
bad CDM_DEVICE_MEM=900% 900
bad CDM_POLICY=maybe maybe never copy first-use
bad CDM_POLCY=never CDM_POLICY
bad CDM_MIN_WORK=many many
bad CDM_MIN_ALLOC=1 1
bad CDM_THREADS=0x 0x
bad CDM_MECHANISM=teleport teleport move remap
bad CDM_LOG=loud loud error debug
bad CDM_BLAS=/nonexistent /nonexistent
bad CDM_REPORT=/nonexistent/report /nonexistent/report

# Values that are right say nothing.
for setting in CDM_DEVICE=none CDM_DEVICE=emu CDM_DEVICE_MEM=300M CDM_DEVICE_MEM=10% CDM_POLICY=never CDM_POLICY=copy \
	CDM_MIN_WORK=1e9 CDM_MIN_ALLOC=2M CDM_THREADS=1 CDM_MECHANISM=remap CDM_LOG=error; do
	env $setting LD_PRELOAD="$lib" "$B/examples/gemm_c" 200 >"$tmp/out" 2>"$tmp/err" || fail "$setting: exit status $?"
	[ ! -s "$tmp/err" ] || fail "$setting: $(head -n 1 "$tmp/err")"
	agree "$tmp/plain" "$tmp/out" || fail "$setting: another result"
done
finish

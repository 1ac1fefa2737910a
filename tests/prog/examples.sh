#!/bin/sh
# limit: 400
# The examples, with netlib, OpenBLAS and BLIS as the program's own library: the same results with the preload,
# and the report says that the work was offloaded.
. "$(dirname "$0")/lib.sh"

balanced='r["calls"]["seen"] == r["calls"]["offloaded"] + sum(r["calls"]["declined"].values())'
offloaded='r["version"] == 1 and r["calls"]["offloaded"] > 0 and 0 < r["device"]["peak"] <= r["device"]["capacity"]'

# try LABEL TOLERANCE CHECK COMMAND...: without and with the preload.
try()
{
	label=$1 tolerance=$2 check=$3
	shift 3
	rm -f "$tmp/report.json"
	"$@" >"$tmp/plain" 2>"$tmp/plain.err" || { fail "$label: by itself: exit status $?"; cat "$tmp/plain"; return; }
	CDM_REPORT=$tmp/report.json preloaded "$@" >"$tmp/out" 2>"$tmp/err" || fail "$label: exit status $?"
	agree "$tmp/plain" "$tmp/out" "$tolerance" || fail "$label: $(grep checksum "$tmp/plain" "$tmp/out")"
	cmp -s "$tmp/plain.err" "$tmp/err" || fail "$label: stderr: $(head -n 2 "$tmp/err")"
	report "$tmp/report.json" "$check" || fail "$label: the report says otherwise"
	printf '%s: %s -> %s\n' "$label" "$(grep seconds= "$tmp/plain")" "$(grep seconds= "$tmp/out")"
}

for own in netlib openblas blis; do
	eval "dir=\$$own"
	[ -d "${dir%%:*}" ] || { echo "$own: not here, left out"; continue; }
	export LD_LIBRARY_PATH="$dir"
	for example in gemm_c lu_fortran chol_cpp bss; do
		[ -x "$B/examples/$example" ] || { fail "$example is not built"; continue; }
		try "$own $example" 1e-10 "$offloaded and $balanced" "$B/examples/$example" 600
	done
	try "$own numpy" 1e-6 "$offloaded" $python examples/numpy_linalg.py 600
	if command -v octave-cli >/dev/null; then
		try "$own octave" 1e-8 "$offloaded" octave-cli examples/octave_linalg.m 500
	fi
done

# Each policy and mechanism.
export LD_LIBRARY_PATH=$netlib CDM_MIN_WORK=0
try "policy never" 1e-15 'r["calls"]["offloaded"] == 0 and r["calls"]["declined"]["policy"] > 0
	and r["bytes"]["to_device"] == 0' env CDM_POLICY=never "$B/examples/gemm_c" 400
for policy in copy first-use; do
	for mechanism in move remap; do
		for example in gemm_c bss; do
			try "$policy $mechanism $example" 1e-10 "$offloaded and $balanced" \
				env CDM_POLICY=$policy CDM_MECHANISM=$mechanism "$B/examples/$example" 500
		done
	done
done
# The private device: what is computed there comes home by itself.
for mechanism in move remap; do
	private="env CDM_DEVICE=emu:private CDM_MECHANISM=$mechanism"
	for example in gemm_c lu_fortran chol_cpp bss; do
		try "private $mechanism $example" 1e-10 "$offloaded and $balanced" $private "$B/examples/$example" 500
	done
	try "private $mechanism numpy" 1e-6 "$offloaded and r['faults']['host'] > 0 and r['bytes']['to_host'] > 0" \
		$private $python examples/numpy_linalg.py 600
	try "private $mechanism in-place" 1e-10 "$offloaded and r['bytes']['staged'] > 0 and r['faults']['host'] == 0" \
		$private CDM_POLICY=in-place "$B/examples/gemm_c" 400
done
try "in-place" 1e-10 "r['calls']['offloaded'] > 0 and r['bytes']['to_device'] == 0 and r['bytes']['in_place'] > 0" \
	env CDM_POLICY=in-place "$B/examples/gemm_c" 400
try "copy stages" 1e-10 'r["bytes"]["staged"] > 0 and r["device"]["peak"] <= r["device"]["capacity"]' \
	env CDM_POLICY=copy "$B/examples/gemm_c" 400
try "first use moves once" 1e-10 '0 < r["bytes"]["to_device"] + r["bytes"]["first_touch"] < 4 * 8 * 512 * 512 * 2
	and r["bytes"]["staged"] == 0' "$B/examples/gemm_c" 512 20
finish

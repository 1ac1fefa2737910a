#!/bin/sh
# The default policy with programs that use their matrices once, and often: what moves, what does not, and that the results agree.
. "$(dirname "$0")/lib.sh"
unset CDM_POLICY
export LD_LIBRARY_PATH="$openblas"

# try LABEL CHECK ENVIRONMENT... -- ARGUMENT...: gemm_c, two products of its three to four matrices a round.
try()
{
	label=$1 check=$2
	shift 2
	settings=
	while [ "$1" != -- ]; do
		settings="$settings $1"
		shift
	done
	shift
	rm -f "$tmp/report.json"
	"$B/examples/gemm_c" "$@" >"$tmp/plain" || fail "$label: by itself: exit status $?"
	env $settings CDM_REPORT="$tmp/report.json" LD_PRELOAD="$lib" "$B/examples/gemm_c" "$@" >"$tmp/out" 2>&1 ||
		fail "$label: exit status $?"
	agree "$tmp/plain" "$tmp/out" 1e-10 || fail "$label: $(grep checksum "$tmp/plain" "$tmp/out")"
	report "$tmp/report.json" "$check" || fail "$label: the report says otherwise"
}

all='r["calls"]["offloaded"] == r["calls"]["seen"]'
matrix=$((600 * 600 * 8))
try once "$all and r['bytes']['to_device'] == 0 and r['bytes']['in_place'] == 6 * $matrix" -- 600 1
# 12000 / 600 = 20 uses of A, whose third is each round's second product.
try "not often enough" "$all and r['bytes']['to_device'] == 0" -- 600 6
try often "$all and r['bytes']['to_device'] >= 3 * $matrix and r['bytes']['reused'] > 20 * $matrix
	and 0 < r['device']['peak'] <= r['device']['capacity']" -- 600 16
try "often, remap" "$all and r['bytes']['to_device'] >= 3 * $matrix" CDM_MECHANISM=remap -- 600 16
try "a small device" "$all and r['device']['peak'] <= r['device']['capacity']" CDM_DEVICE_MEM=8M -- 600 16
try "by name" "$all and r['bytes']['to_device'] == 0" CDM_POLICY=adaptive -- 600 1
try first-use "$all and r['bytes']['to_device'] + r['bytes']['first_touch'] >= 3 * $matrix" CDM_POLICY=first-use -- 600 1
try private "$all and r['bytes']['to_device'] >= 2 * $matrix and r['bytes']['to_host'] > 0" CDM_DEVICE=emu:private -- 600 1
finish

#!/bin/sh
# limit: 180
# A working set of three times the device memory: right results, evictions, and never more than the capacity.
. "$(dirname "$0")/lib.sh"
export LD_LIBRARY_PATH=$netlib CDM_DEVICE_MEM=64M CDM_MIN_WORK=0 CDM_REPORT=$tmp/r.json

for mechanism in move remap; do
	preloaded env CDM_MECHANISM=$mechanism "$B/tests/prog/oversub" 32 512 3 || fail "$mechanism: wrong results"
	report "$tmp/r.json" 'r["evictions"] > 0 and 0 < r["device"]["peak"] <= r["device"]["capacity"] == 64 << 20
		and r["calls"]["offloaded"] > 0 and r["bytes"]["to_host"] > 0' || fail "$mechanism: the report says otherwise"
done
# One product alone is larger than the device: the host answers, or the operands are staged.
preloaded env CDM_DEVICE_MEM=4M "$B/tests/prog/oversub" 3 600 2 || fail "a device smaller than one operand"
report "$tmp/r.json" 'r["device"]["peak"] <= r["device"]["capacity"]' || fail "small device: the report says otherwise"
preloaded env CDM_POLICY=copy "$B/tests/prog/oversub" 32 512 1 || fail "copy: wrong results"
report "$tmp/r.json" 'r["device"]["peak"] <= r["device"]["capacity"]' || fail "copy: the report says otherwise"
finish

#!/bin/sh
# limit: 90
# Kernel accesses to memory that moves: as root and, where the test runs as root, as an ordinary user.
. "$(dirname "$0")/lib.sh"
chmod 777 "$tmp"
cp "$lib" "$B/tests/prog/kernel" "$tmp"
user=
[ "$(id -u)" = 0 ] && user='setpriv --reuid=65534 --regid=65534 --clear-groups'
for who in '' ${user:+ordinary}; do
	for mechanism in move remap; do
		${who:+$user} env HOME="$tmp" XDG_CACHE_HOME= LD_LIBRARY_PATH="$netlib" LD_PRELOAD="$tmp/libcdm.so" CDM_MIN_WORK=0 CDM_DEVICE_MEM=16M \
			CDM_BLAS="$openblas/libopenblas.so.0" CDM_THREADS=1 CDM_MECHANISM=$mechanism \
			CDM_REPORT="$tmp/report-$who-$mechanism.json" "$tmp/kernel" >"$tmp/out" 2>&1 ||
			fail "$mechanism ${who:-as called}: exit status $?"
		tail -n 5 "$tmp/out"
	done
done
"$python" - "$tmp" <<'PY' || fail 'nothing moved, so nothing was tested'
import glob, json, sys
for path in glob.glob(sys.argv[1] + "/report-*.json"):
    report = json.load(open(path))
    print(report["device"]["mechanism"], report["bytes"], report["evictions"])
    assert report["bytes"]["to_device"] > 0 and report["evictions"] > 0, path
PY
finish

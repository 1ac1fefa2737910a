#!/bin/sh
# libcdm.so by itself, without the tool that measures: it finds a library that has LAPACK, too, and adds up (dev/blas_check.h).
. "$(dirname "$0")/lib.sh"
[ -d "$openblas" ] || skip "no OpenBLAS here"
cp "$lib" "$tmp/libcdm.so"
export LD_LIBRARY_PATH="$netlib"
"$B/examples/lu_lapack" 600 >"$tmp/plain" || fail "by itself: exit status $?"
CDM_REPORT="$tmp/r.json" LD_PRELOAD="$tmp/libcdm.so" XDG_CACHE_HOME="$tmp" "$B/examples/lu_lapack" 600 >"$tmp/out" ||
	fail "exit status $?"
agree "$tmp/plain" "$tmp/out" 1e-10 || fail "results differ"
report "$tmp/r.json" '"OpenBLAS" in r["device"]["blas"] and "not calibrated" in r["device"]["blas"]' || fail "another library"
report "$tmp/r.json" 'r["calls"]["offloaded"] > 0' || fail "nothing was offloaded"
finish

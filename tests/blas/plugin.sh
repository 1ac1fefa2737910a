#!/bin/sh
# A plugin opened with RTLD_LOCAL has its BLAS to itself: libcdm must find it there, and must look it up once for each
# routine and module rather than for each call. LIB names libcdm.so (build/libcdm.so).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
lib=$(realpath "${LIB:-$here/../../build/libcdm.so}")
blas=$(ldconfig -p | sed -n 's/.*libblas\.so\.3 (.*=> //p' | head -n 1)
[ -n "$blas" ] || { echo 'no libblas.so.3'; exit 77; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
${CC:-cc} -O2 -shared -fPIC -o plugin_lib.so "$here/plugin_lib.c" "$blas"
${CC:-cc} -O2 -o plugin "$here/plugin.c" -ldl

status=0
for settings in CDM_POLICY=never 'CDM_POLICY=first-use CDM_MIN_WORK=0' 'CDM_DEVICE=none'; do
	for rounds in 10 1000; do
		# shellcheck disable=SC2086
		env $settings LD_PRELOAD="$lib" ./plugin ./plugin_lib.so $rounds || status=1
		# shellcheck disable=SC2086
		env $settings LD_PRELOAD="$lib" LD_DEBUG=symbols LD_DEBUG_OUTPUT=debug ./plugin ./plugin_lib.so $rounds
		cat debug.* | grep -cE 'symbol=(cblas_dgemm|dgemm_);' >lookups.$rounds || true
		rm -f debug.*
	done
	echo "$settings: $(cat lookups.10) lookups for 10 rounds, $(cat lookups.1000) for 1000"
	cmp -s lookups.10 lookups.1000 || status=1
done
exit $status

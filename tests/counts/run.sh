#!/bin/sh
# limit: 300
# Instructions of the hot paths, counted by callgrind: more than expected is a failure, however busy the machine is.
#
#   tests/counts/run.sh             compares with tests/counts/expected
#   tests/counts/run.sh --update    accepts what is counted now, also with clang; so after a merge whose expected counts conflict
#
# B=build/clang CC=clang counts what clang makes of it, alone. The counts are those of the default CFLAGS.
cd "$(dirname "$0")/../.." || exit 1
if [ "$1" = --update ] && [ -z "$B" ] && command -v clang >/dev/null; then
	B=build/clang CC=clang tests/counts/run.sh --update || exit 1
fi
: "${B:=build}"
command -v valgrind >/dev/null || { echo "valgrind is not installed"; exit 77; }
unset LD_PRELOAD
make -s --no-print-directory B="$B" all counts || exit 1

# clang-14, gcc-12: start-up files carry GCC's mark in either case.
lib=$(realpath "$B/libcdm.so")
label=$(readelf -p .comment "$lib" | sed -n 's/.*clang version \([0-9]*\).*/clang-\1/p' | head -n 1)
[ "$label" ] || label=$(readelf -p .comment "$lib" | sed -n 's/.*GCC: .* \([0-9]*\)\.[0-9.]*$/gcc-\1/p' | tail -n 1)
exec /usr/bin/python3 tests/counts/counts.py "$@" "$lib" "$(realpath "$B")/tests/counts" "${label:-unknown}"

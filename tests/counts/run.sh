#!/bin/sh
# limit: 300
# Instructions of the hot paths, counted by callgrind: more than expected is a failure, however busy the machine is.
#
#   tests/counts/run.sh             compares with tests/counts/expected
#   tests/counts/run.sh --update    accepts what is counted now, for the compiler that the library was built with
#
# B=build/clang CC=clang counts what clang makes of it. The counts are those of the default CFLAGS.
cd "$(dirname "$0")/../.." || exit 1
: "${B:=build}"
command -v valgrind >/dev/null || { echo "valgrind is not installed"; exit 77; }
unset LD_PRELOAD
make -s --no-print-directory B="$B" all counts || exit 1

# clang-14, gcc-12: start-up files carry GCC's mark in either case.
lib=$(realpath "$B/libcdm.so")
label=$(readelf -p .comment "$lib" | sed -n 's/.*clang version \([0-9]*\).*/clang-\1/p' | head -n 1)
[ "$label" ] || label=$(readelf -p .comment "$lib" | sed -n 's/.*GCC: .* \([0-9]*\)\.[0-9.]*$/gcc-\1/p' | tail -n 1)
case " $* " in *" --update "*) update=--update ;; *) update= ;; esac
exec /usr/bin/python3 tests/counts/counts.py $update "$lib" "$(realpath "$B")/tests/counts" "${label:-unknown}"

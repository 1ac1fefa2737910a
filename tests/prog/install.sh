#!/bin/sh
# make install into a directory, `cdm run` and `cdm env` from there, and make uninstall.
. "$(dirname "$0")/lib.sh"
[ "$lib" ] || skip "no library under test"

if ! make --no-print-directory install DESTDIR="$tmp/root" PREFIX=/opt/cdm >"$tmp/log" 2>&1; then
	cat "$tmp/log"
	fail install
	finish
fi
root=$tmp/root/opt/cdm
for file in lib/libcdm.so bin/cdm; do
	[ -f "$root/$file" ] || fail "$file was not installed"
done
[ ! -f shim/cdm.h ] || [ -f "$root/include/cdm.h" ] || fail "include/cdm.h was not installed"

export LD_LIBRARY_PATH=$netlib
"$root/bin/cdm" run -o CDM_MIN_WORK=0 -o CDM_REPORT="$tmp/r.json" -- "$B/examples/gemm_c" 300 >"$tmp/out" \
	2>"$tmp/err" ||
	fail "cdm run: exit status $?: $(head -n 2 "$tmp/err")"
[ ! -s "$tmp/err" ] || fail "cdm run: $(head -n 1 "$tmp/err")"
report "$tmp/r.json" 'r["calls"]["offloaded"] > 0' || fail "cdm run: nothing was offloaded"
"$root/bin/cdm" run -- sh -c 'exit 6'
[ $? = 6 ] || fail "cdm run: the exit status is lost"
"$root/bin/cdm" run sh -c "grep -c $root/lib/libcdm.so /proc/self/maps" >"$tmp/out" ||
	fail "cdm run: not its own library"
"$root/bin/cdm" env | grep -q CDM_DEVICE_MEM || fail "cdm env does not print the table"
"$root/bin/cdm" run -- /nonexistent/program 2>"$tmp/err" && fail "cdm run of nothing succeeds"
[ "$(wc -l <"$tmp/err")" = 1 ] || fail "cdm run of nothing: $(wc -l <"$tmp/err") lines"

make --no-print-directory uninstall DESTDIR="$tmp/root" PREFIX=/opt/cdm >/dev/null || fail uninstall
[ -z "$(find "$root" -type f)" ] || fail "uninstall leaves $(find "$root" -type f)"
finish

#!/bin/sh
# Checks that libcdm.so exports exactly the written list of libc names (shim/libcdm.map.in) and, for each row of
# shim/blas.def, the names in use for it, which are spelled out here once more.   Usage: check-exports.sh [libcdm.so]
set -eu
cd "$(dirname "$0")/.."
so=${1:-build/libcdm.so}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
export LC_ALL=C

# "name doors" for each routine.
routines() {
	sed -n '/^#/d; s/^CDM_\([A-Z]*\)(\([a-z0-9_]*\), .*, \([A-Z]*\))$/\1 \2 \3/p; s/) CDM_/)\nCDM_/g' shim/blas.def |
		awk '$1 == "ROUTINE" { print $2, $3 }
		     $1 ~ /^S/ { print "s" $2, $3; print "d" $2, $3 }
		     $1 ~ /CZ$/ { print "c" $2, $3; print "z" $2, $3 }'
}

blas_names() {
	routines | awk '{
		n = split("_ - 64_ _64_ _64 64", s)
		for (i = 1; i <= n; i++) print $1 (s[i] == "-" ? "" : s[i])
		print "scipy_" $1 "_"; print "scipy_" $1 "64_"; print "scipy_" $1 "_64_"
		if ($2 == "F") next
		c = "cblas_" $1 ($2 == "FS" ? "_sub" : "")
		print c; print c "64_"; print c "_64_"; print c "_64"; print c "64"
		print "scipy_" c; print "scipy_" c "64_"
	}'
}

# What the map lists by hand: names and semicolons alone on their lines.
libc_names() {
	sed -n -e 's|/\*.*\*/||' -e '/^#/d' -e '/global:/,/local:/p' shim/libcdm.map.in |
		tr -s ' \t;' '\n\n\n' | grep -E '^[A-Za-z_][A-Za-z0-9_]*$' | grep -v '^[{}]$'
}

{ blas_names; libc_names; } | sort >"$tmp/want"
nm -D --defined-only "$so" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort >"$tmp/have"
rows=$(routines | wc -l)
[ "$rows" -gt 200 ] || { echo "check-exports: only $rows rows found in shim/blas.def"; exit 1; }
if ! diff -u "$tmp/want" "$tmp/have" >"$tmp/diff"; then
	echo "check-exports: names exported by $so:"
	sed -n -e '/^---/d' -e '/^+++/d' -e 's/^-/  missing: /p' -e 's/^+/  extra:   /p' "$tmp/diff" | head -40
	exit 1
fi
echo "check-exports: $(wc -l <"$tmp/have") names, for $rows routines"

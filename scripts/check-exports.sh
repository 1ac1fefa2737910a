#!/bin/sh
# Checks that libcdm.so exports exactly the names of shim/libcdm.map, and that the map has exactly the BLAS names
# that shim/blas.def generates.   Usage: scripts/check-exports.sh [build/libcdm.so]
set -eu
cd "$(dirname "$0")/.."
so=${1:-build/libcdm.so}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
export LC_ALL=C

# One "name_" and one "cblas_name" for each routine of the table.
generated() {
	printf '%s\n' '#define ROUTINE(t, T, name) @ t##name' \
		'#define CDM_BLAS(name, family, shape, types, ...) CDM_EACH_##types(ROUTINE, name)' \
		'#include "shim/blas_shapes.h"' '#include "shim/blas.def"' |
		${CC:-cc} -E -P -I. -x c - | tr -s ' \n' '\n\n' | sed -n '/^[a-z]/{s/.*/&_ cblas_&/p;}' | tr ' ' '\n' | sort
}

# The names between "global:" and "local:".
mapped() {
	sed -e 's/#.*//' -e 's|/\*.*\*/||' shim/libcdm.map | sed -n '/global:/,/local:/p' |
		tr -s ' \t;' '\n\n\n' | grep -E '^[A-Za-z_][A-Za-z0-9_]*$' | sort
}

exported() {
	nm -D --defined-only "$so" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort
}

status=0
compare() { # description, list that is right, list to check
	if ! diff -u "$2" "$3" >"$tmp/diff"; then
		echo "check-exports: $1:"
		sed -n -e '/^---/d' -e '/^+++/d' -e 's/^-/  missing: /p' -e 's/^+/  extra:   /p' "$tmp/diff"
		status=1
	fi
}

generated >"$tmp/generated"
mapped >"$tmp/mapped"
exported >"$tmp/exported"
[ -s "$tmp/generated" ] || { echo 'check-exports: no names generated from shim/blas.def'; exit 1; }
# By the shape of their names: a letter of a type and lower case up to the underscore.
grep -E '^(cblas_[sdcz][a-z0-9]+|[sdcz](ge|sy|he|tr)[a-z0-9]+_)$' "$tmp/mapped" >"$tmp/blas" || true
compare 'BLAS names in shim/libcdm.map against shim/blas.def' "$tmp/generated" "$tmp/blas"
compare "names exported by $so against shim/libcdm.map" "$tmp/mapped" "$tmp/exported"
[ "$status" = 0 ] && echo "check-exports: $(wc -l <"$tmp/exported") names, $(wc -l <"$tmp/generated") of them BLAS"
exit "$status"

#!/bin/sh
# Runs the reference BLAS testers (Debian package libblas-test) against netlib BLAS.
#
#   tests/blas/run-testers.sh [VAR=VALUE...]
#   tests/blas/run-testers.sh LD_PRELOAD=$PWD/build/libcdm.so CDM_MIN_WORK=0 CDM_POLICY=copy
#
# The variables are set for the testers alone. One line per program, then "N passed, N failed". Exit status: 0 all
# passed, 1 some failed, 77 the testers are not installed. ONLY="xblat3d xdcblat3" picks programs, LIMIT=seconds
# bounds each (300), BLAS_DIR=DIR names another directory for libblas.so.3. BITS=64: the testers and libraries with
# 64-bit integers (libblas64-test, libblas64.so.3), whose routines have the same names (dgemm_, cblas_dgemm).
set -u
bits=${BITS:-}
package=libblas$bits-test
dir=$(dirname "$(dpkg -L "$package" 2>/dev/null | grep '/xblat3d$')" 2>/dev/null)
[ -x "$dir/xblat3d" ] || { echo "run-testers: the package $package is not installed"; exit 77; }
blas=${BLAS_DIR:-$dir}
[ -f "$blas/libblas$bits.so.3" ] || { echo "run-testers: no libblas$bits.so.3 in $blas"; exit 77; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM
cd "$tmp" || exit 1
libs=$blas:$(dirname "$dir")/lapack$bits

# How many "PASSED THE" lines a complete run prints: for each routine that the input enables one for its error exits
# and one for each storage order it computes in.
expected() { # input file, lines per routine
	awk -v per="$2" '/ T +PUT F FOR NO TEST/ { n += per } END { print n + 0 }' "$1"
}

# Sets $want and $got: sections that should and did pass.
judge() { # program, output
	case $1 in
	*blat1*)
		want=$(grep -c 'Test of subprogram number' "$2")
		got=$(grep -c -- '----- PASS -----' "$2")
		;;
	*)
		want=$(expected "$input" "$per")
		got=$(grep -c 'PASSED THE .*TESTS' "$2")
		grep -q 'END OF TESTS' "$2" || got=0
		;;
	esac
	[ "$want" -gt 0 ] || got=-1
	if grep -qE 'FAIL|\*\*\*\*\*|SUSPECT|libcdm:' "$2"; then got=-1; fi
}

inputs() { # program: sets $input, $per
	per=2 input=/dev/null
	case $1 in
	xblat[23]?) level=${1#xblat} type=${1##xblat[23]}; input=$dir/${type}blat${level%?}.in ;;
	x?cblat[23]) type=${1#x} level=${1##x?cblat}; type=${type%cblat?}; input=$dir/${type}in$level per=3 ;;
	esac
}

passed=0 failed=0
for path in "$dir"/xblat[123][sdcz] "$dir"/x[sdcz]cblat[123]; do
	program=${path##*/}
	[ -z "${ONLY:-}" ] || case " $ONLY " in *" $program "*) ;; *) continue ;; esac
	inputs "$program"
	rm -f ./*.out
	timeout "${LIMIT:-300}" env LD_LIBRARY_PATH="$libs" "$@" "$path" <"$input" >output 2>&1
	rc=$?
	cat ./*.out >>output 2>/dev/null
	if grep -q 'undefined symbol: RowMajorStrg' output; then
		echo "-     $program: left out, it needs a variable of netlib's CBLAS"
		continue
	fi
	judge "$program" output
	if [ "$rc" = 0 ] && [ "$got" = "$want" ]; then
		passed=$((passed + 1))
		echo "ok    $program: $got sections passed"
	else
		failed=$((failed + 1))
		echo "FAIL  $program: exit status $rc, $(grep -cE 'PASSED THE .*TESTS|----- PASS' output) of $want sections passed"
		grep -E 'FAIL|\*\*\*\*\*|SUSPECT|libcdm:' output | head -5 | sed 's/^/      /'
	fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]

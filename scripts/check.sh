#!/bin/sh
# make check, after scripts/setup.sh: builds with gcc and clang, then runs every test; the last line is the count.
# Words given select tests by name: scripts/check.sh unit prog/alloc.
cd "$(dirname "$0")/.." || exit 1
export LC_ALL=C LOGS="$PWD/build/tests/logs"
make="make --no-print-directory -j$(nproc)"
lib=$PWD/build/libcdm.so
unset LD_PRELOAD LD_LIBRARY_PATH MAKEFLAGS MAKELEVEL MFLAGS
mkdir -p "$LOGS"

# The programs under test come first: without them nothing else means anything.
if ! $make all unit-build examples progs >"$LOGS/build.log" 2>&1; then
	tail -n 30 "$LOGS/build.log"
	echo '0 passed, 1 failed, 0 skipped'
	exit 1
fi

# Lines of NAME SECONDS COMMAND for tests/run.sh.
list()
{
	echo "check/layers 20 scripts/check-layers.sh"
	echo "check/names 30 scripts/check-names.sh"
	echo "check/exports 30 scripts/check-exports.sh"
	echo "check/readme 20 scripts/check-readme.sh"
	echo "build/clang 300 $make B=build/clang CC=clang all unit-build"
	echo "counts/clang 300 env B=build/clang CC=clang tests/counts/run.sh"
	echo "build/debug 300 $make B=build/debug DEBUG=1 all"
	for unit in tests/unit/test_*.c; do
		name=$(basename "$unit" .c)
		echo "unit/$name 180 build/tests/unit/$name"
	done
	echo "build/asan 600 $make asan-build"
	for unit in tests/unit/test_*.c; do
		name=$(basename "$unit" .c)
		echo "asan/$name 300 env CDM_TEST_SECONDS=10 build/asan/tests/unit/$name"
	done
	for script in tests/*/*.sh; do
		[ -x "$script" ] || continue
		case $script in */run-testers.sh | */lapack/run.sh) continue ;; esac
		limit=$(head -n 30 "$script" | sed -n 's/^# limit: \([0-9]*\).*/\1/p' | head -n 1)
		name=${script#tests/}
		echo "${name%.sh} ${limit:-120} $script"
	done
	testers="tests/blas/run-testers.sh LD_PRELOAD=$lib CDM_MIN_WORK=0"
	arch=/usr/lib/$(uname -m)-linux-gnu
	echo "blas/never 300 $testers CDM_POLICY=never"
	echo "blas/patched 300 $testers CDM_HOOK=patch"
	echo "blas/openblas 300 env BLAS_DIR=$arch/openblas-pthread $testers"
	echo "blas64/netlib 300 env BITS=64 $testers"
	echo "blas64/openblas 300 env BITS=64 BLAS_DIR=$arch/openblas64-pthread $testers"
	lapack="tests/lapack/run.sh LD_PRELOAD=$lib CDM_MIN_WORK=0"
	for own in netlib openblas; do
		echo "lapack/$own 500 env OWN=$own $lapack"
	done
	echo "python/lapack 240 tests/python/ops.sh '[sdcz]gemm' lapack"
	for policy in copy first-use; do
		for mechanism in move remap; do
			echo "blas/$policy-$mechanism 300 $testers CDM_POLICY=$policy CDM_MECHANISM=$mechanism"
		done
	done
	for mechanism in move remap; do
		echo "blas/private-$mechanism 300 $testers CDM_DEVICE=emu:private CDM_MECHANISM=$mechanism"
	done
}

select_tests()
{
	[ $# -gt 0 ] || set -- ''
	while read -r line; do
		for word in "$@"; do
			case ${line%% *} in *"$word"*) printf '%s\n' "$line"; break ;; esac
		done
	done
}

list | select_tests "$@" | tests/run.sh

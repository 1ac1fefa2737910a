#!/bin/sh
# Installs what is missing for the groups named: build, demo, check (default: build).
#
#   build   a C compiler and make: all that libcdm.so needs
#   demo    NumPy, netlib BLAS and LAPACK, OpenBLAS and BLIS
#   bench   what `make bench` compares and plots with, on top of demo: Fortran, LAPACK, other BLAS libraries, gnuplot
#   check   what the tests need on top: Criterion, clang, gfortran, BLAS and LAPACK testers, pytest, Octave, ...
#
# Run again, it finds nothing to do. Exit status 1: something required could not be installed.
# "a|b": whichever the distribution has. "?a": what needs it is left out without it.

build_pkgs="gcc make libc6-dev"
demo_pkgs="libblas3 liblapack3 libblas-dev libopenblas0-pthread libblis4-pthread python3 python3-numpy"
bench_pkgs="g++ gfortran git liblapack-dev ?libatlas3-base ?python3-scipy ?octave ?gnuplot-nox|gnuplot-qt|gnuplot-x11"
check_pkgs="g++ gfortran clang binutils git perl libcriterion-dev libcapstone-dev libunwind-dev liblapack-dev
	?libopenblas-pthread-dev ?libblis-pthread-dev ?libblas-test ?libblas64-test ?libblas64-3 ?liblapack-test ?liblapack64-test ?liblapack64-3
	?libopenblas64-0-pthread ?python3-scipy ?python3-pytest ?python3-hypothesis ?python3-venv
	?spin ?qemu-system-x86 ?busybox-static ?cpio valgrind ?octave ?libjemalloc2 ?libtcmalloc-minimal4|libtcmalloc-minimal4t64"

set -f # "?name" is a mark, not a pattern
say() { printf 'setup: %s\n' "$*"; }

wanted()
{
	for group in "$@"; do
		case $group in
		build) printf '%s ' $build_pkgs ;;
		demo) printf '%s ' $demo_pkgs ;;
		bench) printf '%s ' $bench_pkgs ;;
		check) printf '%s ' $check_pkgs ;;
		*) say "no such group: $group (build, demo, bench, check)" >&2; return 1 ;;
		esac
	done
}

other_system()
{
	say "no apt-get here: please see that these (Debian's names) are installed:"
	say "  $(printf '%s ' "$@" | tr -d '?')"
	if command -v dnf >/dev/null; then
		say "  with dnf: dnf install gcc gcc-c++ gcc-gfortran clang make python3-numpy openblas blis blas-devel" \
			"lapack criterion-devel capstone-devel libunwind-devel valgrind octave python3-scipy python3-pytest" \
			"python3-hypothesis"
	elif command -v pacman >/dev/null; then
		say "  with pacman: pacman -S gcc gcc-fortran clang make python-numpy blas lapack blas-openblas criterion" \
			"capstone libunwind valgrind octave python-scipy python-pytest python-hypothesis"
	fi
	command -v cc >/dev/null || command -v gcc >/dev/null
}

as_root()
{
	if [ "$(id -u)" = 0 ]; then
		env DEBIAN_FRONTEND=noninteractive "$@"
	elif command -v sudo >/dev/null; then
		sudo env DEBIAN_FRONTEND=noninteractive "$@"
	else
		say "neither root nor sudo: cannot run $*" >&2
		return 1
	fi
}

# The packages of the arguments that are not installed, with their marks.
missing()
{
	have=" $(dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null |
		sed -n 's/^installed //p' | tr '\n' ' ')"
	for pkg in "$@"; do
		found=
		for alternative in $(printf %s "${pkg#\?}" | tr '|' ' '); do
			case $have in *" $alternative "*) found=1 ;; esac
		done
		[ "$found" ] || printf '%s ' "$pkg"
	done
}

installable()
{
	apt-cache policy "$1" 2>/dev/null | grep -q 'Candidate: [0-9]'
}

# From the marked list: the names that apt can install now. Optional ones that it does not know are named.
choose()
{
	for pkg in "$@"; do
		names=$(printf %s "${pkg#\?}" | tr '|' ' ')
		chosen=
		for name in $names; do
			if [ -z "$chosen" ] && installable "$name"; then chosen=$name; fi
		done
		case $chosen$pkg in
		\?*) say "no package for $names here: what needs it is left out" >&2 ;;
		*) printf '%s ' "${chosen:-${names%% *}}" ;;
		esac
	done
}

main()
{
	[ $# -gt 0 ] || set -- build
	list=$(wanted "$@") || exit 1
	if ! command -v apt-get >/dev/null; then
		other_system $list
		exit
	fi
	todo=$(missing $list)
	if [ -z "$todo" ]; then
		say "nothing to install for: $*"
		exit 0
	fi
	say "installing for $*: $(printf %s "$todo" | tr -d '?')"
	as_root apt-get update -qq || say "apt-get update failed; going on with the lists that are here" >&2
	names=$(choose $todo)
	[ "$names" ] || exit 0
	log=$(mktemp)
	as_root apt-get install -y -qq --no-install-recommends $names >"$log" 2>&1
	status=$?
	[ $status = 0 ] || tail -n 20 "$log" >&2
	rm -f "$log"
	case " $names " in
	*" libopenblas0-pthread "*)
		say "note: libopenblas0-pthread is now Debian's choice for libblas.so.3 and liblapack.so.3" \
			"(update-alternatives changes it; the demo and the tests pick theirs with LD_LIBRARY_PATH)" ;;
	esac
	required=$(missing $list | tr ' ' '\n' | grep -v '^?' | tr '\n' ' ')
	[ -z "$(printf %s "$required" | tr -d ' ')" ] || { say "still missing: $required" >&2; exit 1; }
	[ $status = 0 ] && say "done" || say "some optional packages could not be installed; their tests are skipped"
	exit 0
}

main "$@"

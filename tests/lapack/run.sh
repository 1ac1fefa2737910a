#!/bin/sh
# Runs LAPACK's testers (Debian package liblapack-test) without and with variables, and demands the same counts.
#
#   tests/lapack/run.sh [VAR=VALUE...]
#   tests/lapack/run.sh LD_PRELOAD=$PWD/build/libcdm.so CDM_MIN_WORK=0
#
# The variables are set for the testers alone; without any, the counts of one run are shown. Environment:
#
#   OWN=netlib    the testers' own library: netlib, openblas, or, with 64-bit integers, netlib64, openblas64
#   FORM=short    without the slowest inputs (3/4 of the time), or full: all of them
#   ONLY=WORDS    the runs whose names (as in "xlintstd dtest") contain one of the words; implies full
#   LIMIT=300     seconds for each run
#
# Each path of the testers (DGE, ZSV, ...) must run as many tests, pass its error exits, and fail no more than without
# the variables, or than OpenBLAS by itself, which may be the one that computes. Not counted are failures by a hair
# (the residual within 100 times epsilon, thresholds being 20 to 50), and those of eigenvalue drivers that compare two
# computations bit by bit, which an optimized BLAS does not promise. One line per run, then "N passed, N failed".
# Exit status: 0 all passed, 1 some failed, 77 the testers or the library are not installed.
set -u
export LC_ALL=C
own=${OWN:-netlib} form=${FORM:-short} limit=${LIMIT:-300}
[ -z "${ONLY:-}" ] || form=full
here=$(cd "$(dirname "$0")" && pwd)
case $own in *64) ints=64 ;; *) ints= ;; esac
package=liblapack$ints-test
dir=$(dirname "$(dpkg -L "$package" 2>/dev/null | grep '/xlintstd$')" 2>/dev/null)
[ -x "$dir/xlintstd" ] || { echo "lapack: the package $package is not installed"; exit 77; }
arch=$(dirname "$dir")
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM
cd "$tmp" || exit 1

path() { # library: where its libblas.so.3 and liblapack.so.3 are
	case $1 in
	netlib*) echo "$arch/blas$ints:$arch/lapack$ints" ;;
	*) echo "$arch/openblas$ints-pthread" ;;
	esac
}
case $own in netlib | netlib64 | openblas | openblas64) ;; *) echo "lapack: no library $own"; exit 1 ;; esac
[ -f "$(path "$own" | sed 's/.*://')/liblapack$ints.so.3" ] || { echo "lapack: $own is not installed"; exit 77; }

# Lines of PROGRAM INPUT, as in LAPACK's own lapack_testing.py.
runs()
{
	for t in s d c z; do
		case $form-$t in short-[sc]) ;; *) echo "xlintst$t ${t}test" ;; esac
		echo "xlintstrf$t ${t}test_rfp"
		case $t in d) echo 'xlintstds dstest' ;; z) echo 'xlintstzc zctest' ;; esac
		for input in nep sep se2 svd ec ed gg gd sb sg bb glm gqr gsv csd lse bal bak gbal gbak; do
			case $form-$t$input in short-?ec | short-[scz]svd) continue ;; esac
			case $input in e[cd] | g[gd] | s[bg] | bb | *b[ak]*) input=$t$input ;; esac
			[ ! -f "$dir/$input.in" ] || echo "xeigtst$t $input"
		done
	done
}

wanted()
{
	[ "${ONLY:-}" ] || return 0
	for word in $ONLY; do
		case $1 in *"$word"*) return 0 ;; esac
	done
	return 1
}

# run OUTPUT PROGRAM INPUT COMMAND...: OUTPUT.paths gets what LAPACK says of each path, lines of PATH RUN FAILED
# COUNTED, and OUTPUT what else must be the same.
run()
{
	out=$1 program=$2 input=$3
	shift 3
	timeout -s KILL "$limit" "$@" "$dir/$program" <"$dir/$input.in" >"$out.log" 2>&1
	echo "exit status $?" >"$out"
	case $input in [sdcz][eg]d) bits=1 ;; *) bits=0 ;; esac
	awk -v bits=$bits -f "$here/paths.awk" "$out.log" >"$out.paths"
	grep -E 'error exits|\*\*\*|[Ii]llegal|not available|INFO|number of examples|not zero|wrong|End of tests|libcdm:' \
		"$out.log" | grep -vE 'threshold|Failure\(s\) while testing' | sed 's/ *$//' >>"$out"
}

# Of "$1" (without), "$2" (with) and "$3" (OpenBLAS by itself): the paths that count against us.
worse()
{
	awk 'FILENAME == ARGV[1] { run[$1] = $2; failed[$1] = $3; counted[$1] = $4; next }
		FILENAME == ARGV[2] { ran[$1] = $2; now[$1] = $3; counts[$1] = $4; next }
		$4 > counted[$1] { counted[$1] = $4 }
		END {
			for (p in run) if (!(p in ran)) print p ": did not finish"
			for (p in ran)
				if (!(p in run)) print p ": not run without"
				else if (counts[p] > counted[p]) print p ": " counts[p] " of " ran[p] " failed, " counted[p] " without"
				else if (now[p] + failed[p] == 0 && ran[p] != run[p]) print p ": " ran[p] " tests run, " run[p] " without"
		}' "$@" | sort
}

# judge PROGRAM INPUT: $why, empty if the two runs agree; $note.
judge()
{
	note=
	why=$(worse without.paths with.paths)
	if [ "$why" ] && [ -d "$(path "openblas$ints")" ]; then
		run other "$1" "$2" env LD_LIBRARY_PATH="$(path "openblas$ints")"
		why=$(worse without.paths with.paths other.paths)
		[ "$why" ] || note=', as OpenBLAS does'
	fi
	why=$why$(diff without with | grep '^[<>]' | head -n 6)
}

now() { date +%s.%N; }
took() { awk "BEGIN { printf \"%.1f s\", $2 - $1 }"; }

passed=0 failed=0 tests=0 bad=0 begin=$(now)
runs >list
while read -r program input; do
	wanted "$program $input" || continue
	t0=$(now)
	run without "$program" "$input" env LD_LIBRARY_PATH="$(path "$own")"
	t1=$(now)
	why='' note='' time=$(took "$t0" "$t1")
	if [ $# -gt 0 ] && ! grep -q '^exit status 0' without; then
		echo "-     $program $input: left out, by itself its $(head -n 1 without)"
		continue
	fi
	if [ $# -gt 0 ]; then
		run with "$program" "$input" env LD_LIBRARY_PATH="$(path "$own")" "$@"
		time="$time -> $(took "$t1" "$(now)")"
		judge "$program" "$input"
		result=with
	else
		result=without
	fi
	grep -q '^exit status 0' $result || why="$(head -n 2 $result)
$(tail -n 2 $result.log)"
	awk '{ run += $2; over += $3 } END { print NR, run + 0, over + 0 }' $result.paths >counts
	read -r paths run over <counts
	tests=$((tests + run)) bad=$((bad + over))
	counts="$paths paths, $run tests run, $over failed$note ($time)"
	if [ -z "$why" ]; then
		passed=$((passed + 1))
		echo "ok    $program $input: $counts"
	else
		failed=$((failed + 1))
		echo "FAIL  $program $input: $counts"
		printf '%s\n' "$why" | head -n 12 | sed 's/^/      /'
	fi
done <list
echo "$own: $tests tests run, $bad over LAPACK's threshold ($(took "$begin" "$(now)"))"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]

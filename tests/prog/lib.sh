# Sourced by tests/prog/*.sh: paths, comparison of runs, and the report. Runs in the repository root.
#
# TEST_LIB names the library under test (default: the one in $B, or build/); empty: none, which tests
# the tests themselves.

cd "$(dirname "$0")/../.." || exit 1
: "${B:=build}"
case $B in /*) ;; *) B=$PWD/$B ;; esac
lib=${TEST_LIB-$B/libcdm.so}
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
arch=/usr/lib/$(uname -m)-linux-gnu
netlib=$arch/blas:$arch/lapack
openblas=$arch/openblas-pthread
blis=$arch/blis-pthread
python=/usr/bin/python3
failures=0
unset LD_PRELOAD
for name in $(env | sed -n 's/^\(CDM_[A-Z_]*\)=.*/\1/p'); do
	unset "$name"
done
# The policy under which whatever the device touches moves, small as it is here; prog/adaptive.sh has the default's.
export CDM_POLICY=first-use

fail()
{
	printf 'FAILED: %s\n' "$*"
	failures=$((failures + 1))
}
skip()
{
	printf '%s\n' "$*"
	exit 77
}
finish()
{
	[ $failures = 0 ] || printf '%d failures\n' $failures
	[ $failures = 0 ]
	exit
}
if [ "$lib" ] && [ ! -f "$lib" ]; then
	printf '%s is not built\n' "$lib"
	exit 1
fi

# preloaded COMMAND...: with the library under test.
preloaded()
{
	env LD_PRELOAD="$lib" "$@"
}

# compare NAME COMMAND...: the same stdout, stderr and exit status without and with the preload.
# Each run has an empty directory of its own, $tmp/run, as the current one.
compare()
{
	label=$1
	shift
	for side in without with; do
		rm -rf "$tmp/run" && mkdir "$tmp/run"
		preload=
		[ $side = without ] || preload=$lib
		(cd "$tmp/run" && exec env LD_PRELOAD="$preload" "$@") >"$tmp/$side.out" 2>"$tmp/$side.err" </dev/null
		echo $? >"$tmp/$side.status"
	done
	for part in out err status; do
		if ! cmp -s "$tmp/without.$part" "$tmp/with.$part"; then
			fail "$label: $part differs"
			diff "$tmp/without.$part" "$tmp/with.$part" | head -n 8
		fi
	done
	printf '%s: exit status %s, %s bytes\n' "$label" "$(cat "$tmp/without.status")" "$(wc -c <"$tmp/without.out")"
}

# agree FILE FILE [TOLERANCE]: the checksum= lines of two outputs, relatively.
agree()
{
	$python tests/prog/judge.py agree "$1" "$2" "${3:-1e-8}"
}

# report FILE EXPRESSION: of r, the JSON report; true without a library under test.
report()
{
	[ -z "$lib" ] || $python tests/prog/judge.py report "$1" "$2"
}

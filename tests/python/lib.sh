# Sourced by tests/python/*.sh: runs a test suite without and with libcdm and compares. Runs in the repository root.
#
# TEST_LIB names the library under test (default: the one in $B, or build/); FORM=full runs whole suites (default:
# short); LIMIT bounds each run in seconds.

. "$(dirname "$0")/../prog/lib.sh"
: "${FORM:=short}" "${LIMIT:=580}"
here=$PWD/tests/python
trap 'exit 1' INT TERM
export LC_ALL=C PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1

# one SIDE VAR=VALUE... -- ARGUMENTS: pytest in an empty directory; $tmp/SIDE gets lines of TEST OUTCOME.
one()
{
	side=$1
	shift
	settings=
	while [ "$1" != -- ]; do settings="$settings $1"; shift; done
	shift
	rm -rf "$tmp/run" "$tmp"/report.*.json && mkdir "$tmp/run"
	begin=$(date +%s)
	(cd "$tmp/run" && exec timeout -s KILL "$LIMIT" env TMPDIR="$tmp/run" $settings "$python" -m pytest -v -rN \
		--tb=short -o console_output_style=classic -p no:cacheprovider "$@") >"$tmp/$side.log" 2>&1 </dev/null
	status=$?
	sed -nE 's/^([^ ].*::.*) (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)( .*)?$/\1 \2/p' "$tmp/$side.log" |
		sort -u >"$tmp/$side"
	printf '%s, %s: %s (%d s)\n' "$label" "$side" "$(tail -n 1 "$tmp/$side.log" | tr -d =)" \
		$(($(date +%s) - begin))
	case $status in
	0 | 1) ;;
	*) fail "$label, $side: pytest's exit status is $status"; tail -n 12 "$tmp/$side.log" ;;
	esac
}

# The tests that went otherwise than in the run without. Those that failed there may do as they like, and a failure
# that is expected (XFAIL) may be none.
differing()
{
	awk '{ outcome = $NF; sub(/ [A-Z]+$/, ""); sub(/^X(FAIL|PASS)$/, "XFAIL", outcome) }
		FILENAME == ARGV[1] { was[$0] = outcome; next }
		{ is[$0] = outcome }
		END {
			for (t in was) if (was[t] !~ /FAILED|ERROR/ && is[t] != was[t])
				print t ": " was[t] " without, " (t in is ? is[t] : "not run") " with"
			for (t in is) if (!(t in was) && is[t] ~ /FAILED|ERROR/) print t ": not run without, " is[t] " with"
		}' "$tmp/without" "$tmp/$1" | sort
}

# suite LABEL ARGUMENTS: pytest without libcdm, with everything offloaded, and with the defaults.
suite()
{
	label=$1
	shift
	one without -- "$@"
	[ "$(grep -c PASSED "$tmp/without")" -gt 0 ] || fail "$label: nothing passed without libcdm"
	for side in everything defaults; do
		settings="LD_PRELOAD=$lib CDM_REPORT=$tmp/report.%p.json"
		[ $side = defaults ] || settings="$settings CDM_MIN_WORK=0"
		one $side $settings -- "$@"
		differing $side >"$tmp/differing"
		[ ! -s "$tmp/differing" ] || fail "$label, $side: $(wc -l <"$tmp/differing") tests went otherwise"
		head -n 20 "$tmp/differing"
		if [ -s "$tmp/differing" ]; then
			grep -E '^E  |^libcdm:|_{5,} ' "$tmp/$side.log" | head -n 30
		fi
		calls=$("$python" "$here/ops.py" calls "$tmp"/report.*.json)
		printf '  %s\n' "$calls"
		case $side-$calls in
		everything-*' 0 offloaded' | *' 0 calls seen'*) fail "$label, $side: libcdm offloaded nothing" ;;
		esac
	done
}

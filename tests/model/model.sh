#!/bin/sh
# limit: 900
# The model of the page states, residency.pml, checked exhaustively with spin: its transitions are the source's, its
# properties hold, each of them is reached, and each mutant (a protocol broken on purpose) is caught.
#
# MODEL_ALL=1 checks all eight shapes instead of four: minutes more.
cd "$(dirname "$0")/../.." || exit 1
model=$PWD/tests/model/residency.pml
for tool in spin "${CC:=gcc}"; do
	command -v "$tool" >/dev/null || { echo "$tool is not installed"; exit 77; }
done
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
failures=0

fail()
{
	printf 'FAILED: %s\n' "$*"
	failures=$((failures + 1))
}

# Triples "FROM event TO", sorted, from text with calls of $1 whose last three arguments they are.
triples()
{
	grep -o "$1([^()]*)" | sed 's/^.*(//; s/)$//; s/ *, */ /g' | awk '{ print $(NF - 2), $(NF - 1), $NF }' | sort -u
}

# The table in the source: CDM_TRANSITIONS, wherever it stands.
source_table()
{
	cat offload/mem/*.h | awk '/#define CDM_TRANSITIONS/ { on = 1 } on { print } on && !/\\$/ { exit }' | triples X
}

# The model as written: mutants and the macro itself left out.
model_table()
{
	awk '/^#if MUTANT == / { skip = 1 } /^#else|^#endif|^#if MUTANT !=/ { skip = 0 } !skip' "$model" |
		grep -v '#define\|^ \*' | triples trans
}

same()
{
	if ! diff "$1" "$2" >"$tmp/diff"; then
		fail "$3"
		sed -n 's/^< /  only in the first:  /p; s/^> /  only in the second: /p' "$tmp/diff"
	fi
}

# build FLAGS-OF-SPIN FLAGS-OF-CC
build()
{
	rm -rf "$tmp/run" && mkdir "$tmp/run"
	(cd "$tmp/run" && spin $1 -a "$model" >spin.out 2>&1 && "$CC" -w -O2 -DMEMLIM=3900 $2 -o pan pan.c) ||
		{ echo "spin $1: it cannot be built"; cat "$tmp/run/spin.out"; return 1; }
}

# search FLAGS-OF-SPIN FLAGS-OF-CC FLAGS-OF-PAN: to the end; prints "errors states seconds", errors "?" when it was cut
# short.
search()
{
	build "$1" "$2" >&2 || { echo '? 0 0'; return; }
	begin=$(date +%s)
	(cd "$tmp/run" && ./pan -m3000000 -w26 $3 >out 2>&1)
	sed -n 's/^reached //p' "$tmp/run/out" >>"$tmp/reached"
	errors=$(sed -n 's/.*errors: \([0-9]*\).*/\1/p' "$tmp/run/out")
	grep -q 'max search depth too small\|out of memory\|reached -DMEMLIM' "$tmp/run/out" && errors='?'
	states=$(sed -n 's/^ *\([0-9e.+]*\) states, stored.*/\1/p' "$tmp/run/out")
	echo "${errors:-?} ${states:-0} $(($(date +%s) - begin))"
}

why()
{
	sed -n 's/^pan:1: //p' "$tmp/run/out" | cut -c1-60
}

# holds NAME FLAGS...: no error in any state.
holds()
{
	name=$1
	shift
	found=$(search "$@")
	[ "${found%% *}" = 0 ] || { fail "$name: $found: $(why)"; tail -n 3 "$tmp/run/out" 2>/dev/null; }
	set -- $found
	printf '%-44s %10s states, %3s s\n' "$name" "$2" "$3"
}

# caught NUMBER WHAT FLAGS...
caught()
{
	what="mutant $1: $2"
	shift 2
	found=$(search "$@")
	case ${found%% *} in
	[1-9]*) printf '%-70s caught: %s\n' "$what" "$(why)" ;;
	*) fail "$what: not caught ($found)" ;;
	esac
}

mutant()
{
	caught "$1" "$2" "-DMUTANT=$1 $safe" -DSAFETY
}

source_table >"$tmp/source"
model_table >"$tmp/model"
printf '%d transitions in the source, %d in the model\n' "$(wc -l <"$tmp/source")" "$(wc -l <"$tmp/model")"
[ -s "$tmp/source" ] || fail 'no CDM_TRANSITIONS in offload/mem/*.h'
same "$tmp/source" "$tmp/model" 'the source (first) and the model (second) have different transitions'

shapes='MOVE:1:1 MOVE:2:1 REMAP:1:1 REMAP:2:2'
[ -z "$MODEL_ALL" ] || shapes="$shapes MOVE:1:2 MOVE:2:2 REMAP:1:2 REMAP:2:1"
for shape in $shapes; do
	set -- $(echo $shape | tr : ' ')
	holds "$1, $2 regions, capacity $3" "-DMECHANISM=$1 -DREGIONS=$2 -DCAPACITY=$3 -DREACHED" -DSAFETY
done
sort -u "$tmp/reached" >"$tmp/all"
same "$tmp/model" "$tmp/all" 'transitions of the model (first) and those that were reached (second)'
# Starvation is looked for among touches and operations alone.
live='-DLIVE -DMECHANISM=MOVE -DREGIONS=2 -DCAPACITY=1'
holds 'nobody starves, 2 regions, capacity 1' "$live" -DNFAIR=4 '-a -f'

safe='-DMECHANISM=REMAP -DREGIONS=1 -DCAPACITY=1'
mutant 1 'copied out before it is write-protected'
mutant 2 'HOST before the page is installed'
mutant 3 'brought home without a look at busy'
mutant 4 'an operation looks at moving, then counts busy'
mutant 5 'a system call looks at moving, then pins'
mutant 6 'an operation looks at offline before the gate'
mutant 7 'a refused operation touches memory while it holds some'
mutant 8 'waits for operations with the move lock held'
caught 9 'operations do not give way to touchers' "-DMUTANT=9 $live" -DNFAIR=4 '-a -f'
mutant 10 'a written SHARED page keeps its device copy'
mutant 11 'fork and offline do not wait for operations'
mutant 12 'DEVICE before the host lets go of a SHARED page'
mutant 13 'no look at the room after an eviction'

[ $failures = 0 ] || printf '%d failures\n' $failures
[ $failures = 0 ]

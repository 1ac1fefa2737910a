#!/bin/sh
# limit: 240
# `cdm bench faults`: what it prints and writes, that wrong data is noticed, that it needs nothing and leaves nothing. Its
# figures are nobody's business here.
. "$(dirname "$0")/lib.sh"

# run LABEL WANTED-STATUS ARGUMENT...: into $tmp/out and $tmp/err
run()
{
	label=$1 want=$2
	shift 2
	timeout -s KILL 100 "$B/cdm" bench faults "$@" >"$tmp/out" 2>"$tmp/err"
	status=$?
	[ $status = "$want" ] || fail "$label: exit status $status: $(head -n 3 "$tmp/err")"
}

# judge FILE [EXPRESSION OF r, THE JSON, AND rows, BY id]...: it has its keys, each mechanism is measured or says why, and the
# expressions hold.
judge()
{
	$python - "$@" <<-'END' || fail "the JSON of $1"
		import json, sys
		r = json.load(open(sys.argv[1]))
		bad = []
		def need(ok, what):
		    if not ok:
		        bad.append(what)
		def keys(o, names, what):
		    need(set(names.split()) <= set(o), f"{what} lacks {set(names.split()) - set(o)}")
		keys(r, "version benchmark cdm quick threads wall_s machine conditions mechanisms rows", "the object")
		keys(r["machine"], """cpu arch cpus_online cpus_allowed hypervisor kernel memory_bytes page_bytes huge_page_bytes
		    thp_enabled thp_defrag thp_shmem thp_other_sizes numa_nodes numa_memory_nodes numa_balancing overcommit_memory
		    max_map_count userfaultfd userfaultfd_features unprivileged_userfaultfd clocksource clock_ns""", "machine")
		need([c["name"] for c in r["conditions"]] == "quiet forking collapsing balancing".split(), "conditions")
		for c in r["conditions"]:
		    need(c["measured"] or c["why"], f"no reason: {c}")
		    need(c["measured"] == any(x["condition"] == c["name"] for x in r["rows"]), f"no row of {c}")
		names = """memcpy minor_fault madv_dontneed_refault segv_mprotect segv_mprotect_copy uffd_sigbus_copy uffd_thread_copy
		    uffd_wp_sigbus uffd_wp_thread uffd_wp_async pagemap_scan_wp soft_dirty uffd_copy uffd_move mremap_fixed
		    mremap_dontunmap mprotect_ro memfd_map_fixed move_pages""".split()
		need([m["name"] for m in r["mechanisms"]] == names, "the mechanisms")
		rows = {}
		for x in r["rows"]:
		    keys(x, """id mechanism bytes pages threads condition measured why samples min_ns p10_ns p50_ns p90_ns gbps
		        per_memcpy per_minor_fault refused ebusy eagain retries mappings_added events events_refused wrong""", x["id"])
		    need(x["id"] not in rows, f"twice: {x['id']}")
		    rows[x["id"]] = x
		    need(x["wrong"] == 0, f"wrong data: {x}")
		    need(x["measured"] != bool(x["why"]), f"neither measured nor a reason: {x}")
		    if x["samples"]:
		        need(x["min_ns"] <= x["p10_ns"] <= x["p50_ns"] <= x["p90_ns"] and x["gbps"] > 0, f"times: {x}")
		    elif x["measured"]:
		        need(x["refused"] > 0, f"nothing was done: {x}")
		for m in r["mechanisms"]:
		    mine = [x for x in r["rows"] if x["mechanism"] == m["name"]]
		    need(m["available"] != bool(m["why"]), f"available: {m}")
		    if m["available"]:
		        need(any(x["measured"] for x in mine), f"never measured: {m['name']}: {[x['why'] for x in mine]}")
		    else:
		        need([x["why"] for x in mine] == [m["why"]], f"no row says why: {m}")
		for expression in sys.argv[2:]:
		    need(eval(expression), expression)
		for line in bad[:8]:
		    print(line)
		sys.exit(bool(bad))
	END
}

run quick 0 --quick --json "$tmp/quick.json"
[ ! -s "$tmp/err" ] || fail "quick: $(head -n 1 "$tmp/err")"
for name in memcpy uffd_move soft_dirty move_pages; do
	grep -q "^$name " "$tmp/out" || fail "quick: no line of $name"
done
# Every kernel has these; two threads at most, so that the ends are one and two.
judge "$tmp/quick.json" 'r["quick"]' \
	'all(rows[f"{m}/4K/small/1/quiet"]["measured"] for m in "memcpy minor_fault segv_mprotect mremap_fixed".split())' \
	'rows["memcpy/4K/small/1/quiet"]["mappings_added"] == 0' 'rows["mprotect_ro/4K/small/1/quiet"]["mappings_added"] == 2' \
	'rows["memcpy/2048K/small/1/quiet"]["per_memcpy"] == 1' \
	'sum(x["events"] for x in r["rows"] if x["condition"] == "forking") > 0'
cat "$tmp/out"

run threads 0 --quick --threads 3 --all --only mprotect_ro,memfd_map_fixed --json "$tmp/three.json"
[ "$($python -c 'import json, sys
print(*sorted({(x["mechanism"], x["threads"]) for x in json.load(open(sys.argv[1]))["rows"]
	if x["mechanism"] == "mprotect_ro"}))' "$tmp/three.json")" = "('mprotect_ro', 1) ('mprotect_ro', 3)" ] || fail 'threads 1 and 3'
grep -q '^mprotect_ro .* 3 quiet ' "$tmp/out" || fail '--all: no line of three threads'

# A byte that changes in each mechanism's hands is noticed in each.
run spoil 1 --quick --spoil --threads 1 --json "$tmp/spoilt.json"
$python - "$tmp/spoilt.json" <<'EOF2' || fail 'a spoilt byte was not noticed'
import json, sys
unseen = [x["id"] for x in json.load(open(sys.argv[1]))["rows"] if x["samples"] and x["condition"] == "quiet" and not x["wrong"]]
print(*unseen)
sys.exit(bool(unseen))
EOF2
grep -q '^cdm: bench faults: uffd_\|^cdm: bench faults: mremap_fixed' "$tmp/err" || fail "spoil: $(head -n 1 "$tmp/err")"

if [ "$lib" ]; then
	LD_PRELOAD=$lib
	export LD_PRELOAD
	run preloaded 0 --quick --json "$tmp/preloaded.json"
	unset LD_PRELOAD
	[ ! -s "$tmp/err" ] || fail "preloaded: $(head -n 1 "$tmp/err")"
	judge "$tmp/preloaded.json"
fi

# refused WORDS ARGUMENT...: exit status 2 and one line on stderr that has WORDS.
refused()
{
	words=$1
	shift
	"$B/cdm" bench "$@" >"$tmp/out" 2>"$tmp/err"
	status=$?
	if [ $status != 2 ] || [ -s "$tmp/out" ] || [ "$(wc -l <"$tmp/err")" != 1 ] || ! grep -qF -- "$words" "$tmp/err"; then
		fail "bench $*: exit status $status: $(cat "$tmp/out" "$tmp/err")"
	fi
}
refused 'which benchmark'
refused 'which benchmark' nothing
refused "'--fast'" faults --fast
refused "'3'" faults 3
refused 'needs a value' faults --threads
for bad in '' 0 -1 +2 ' 2' 2x 1025 99999999999999999999; do
	refused "not '$bad'" faults --threads "$bad"
done
refused 'needs a value' faults --json
refused "'/nonexistent/file'" faults --json /nonexistent/file
refused "'$tmp'" faults --json "$tmp"
refused "''" faults --json ''
refused 'uffd_move' faults --only uffd
refused 'uffd_move' faults --only memcpy,
refused 'uffd_move' faults --only ''

# session: the processes of the session $1 that have not ended.
session()
{
	for stat in /proc/[0-9]*/stat; do
		sed -n "s/^\([0-9]*\) (.*) \([^Z]\) [0-9]* [0-9]* $1 .*/\1 \2/p" "$stat" 2>/dev/null
	done
}

# Killed in the middle, in the quiet part and while a child forks: no process and no file stay.
for after in 1 3; do
	mkdir "$tmp/empty"
	(cd "$tmp/empty" && exec setsid "$B/cdm" bench faults --threads 1 --only uffd_thread_copy,uffd_move --json killed.json) \
		>/dev/null 2>&1 &
	pid=$!
	sleep $after
	[ "$(session $pid | wc -l)" -ge 1 ] || fail "killed after $after s: it had ended"
	kill -KILL $pid
	wait $pid 2>/dev/null
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		left=$(session $pid)
		[ "$left" ] || break
		sleep 0.3
	done
	[ -z "$left" ] || fail "killed after $after s: processes stay: $left"
	[ -z "$(ls -A "$tmp/empty")" ] || fail "killed after $after s: files stay: $(ls -A "$tmp/empty")"
	rmdir "$tmp/empty"
done
finish

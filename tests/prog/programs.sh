#!/bin/sh
# limit: 240
# Everyday programs print the same and end the same with the preload, and libcdm says nothing.
. "$(dirname "$0")/lib.sh"

have() { command -v "$1" >/dev/null || { echo "$1: not here, left out"; false; }; }
export GIT_AUTHOR_DATE='2001-02-03T04:05:06Z' GIT_COMMITTER_DATE='2001-02-03T04:05:06Z' \
	GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b GIT_CONFIG_GLOBAL=/dev/null
ulimit -c 0

compare true true
compare "bash, pipes and status" bash -c 'for i in 1 2 3; do echo $i | cat; done
	x=$(seq 1000 | wc -l); echo $x; exit 3'
compare "stderr and closed files" sh -c 'ls /nonexistent; ls . >&-; exec 2>&-; ls /nonexistent; exit 5'
compare "little address space" sh -c 'ulimit -v 400000; seq 100000 | sort -n | tail -n 1'
compare "few files" sh -c 'ulimit -n 8; seq 1000 | sort | head -n 3'
compare "sort, threads" sh -c 'seq 400000 | sort -r --parallel=4 -S 64M | md5sum'
compare "tar and gzip" sh -c "tar -C '$PWD' --mtime=@0 --sort=name --owner=0 --group=0 -cf - offload policy |
	gzip -n | md5sum"
compare "dd in large blocks" sh -c 'dd if=/dev/zero bs=32M count=3 2>/dev/null | md5sum
	dd if=/dev/zero of=f bs=8M count=2 status=none; cksum f'
printf 'all: a b c d\na b c d:\n\t@sleep 0.01; expr $(words $^) + 1\n' >"$tmp/mk"
compare "make -j" make -sOtarget -j1 -f "$tmp/mk"
compare "killed by itself, TERM" sh -c 'kill -TERM $$'
compare "killed by itself, KILL" sh -c 'kill -KILL $$'
compare "a segmentation fault" sh -c '/usr/bin/python3 -c "import ctypes; ctypes.string_at(0)"; echo $?'

if have git; then
	compare "git" sh -c 'git init -q -b main r && cd r && seq 200000 >f && git add f && git commit -qm one &&
		seq 2 200000 >f && git commit -qam two && git gc -q && git fsck && git log --format=%H%s && git show --stat HEAD;
		git frobnicate'
fi
if have gcc; then
	compare "gcc" sh -c 'printf "#include <stdio.h>\nint main(void) { puts(\"hi\"); return 7; }\n" >a.c &&
		gcc -O2 -o a a.c && ./a; echo $?; printf "int x = ;\n" >b.c; gcc -c b.c'
fi
if have perl; then
	compare "perl" perl -e 'my %h; $h{$_ % 977} .= $_ for 1..300000;
		print length(join "", sort values %h), "\n"; die "end\n"'
fi
have java && compare "java -version" java -version

cat >"$tmp/p.py" <<'END'
import hashlib, json, mmap, multiprocessing, subprocess, sys, threading
def work(n):
    data = bytearray(n * 700_000)
    data[::4096] = b"x" * len(data[::4096])
    return hashlib.sha256(data).hexdigest()
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(3) as pool:
        print(pool.map(work, range(1, 7)))
    out = []
    threads = [threading.Thread(target=lambda i=i: out.append((i, work(i)))) for i in range(1, 5)]
    [t.start() for t in threads], [t.join() for t in threads]
    print(sorted(out) == [(i, work(i)) for i in range(1, 5)])
    m = mmap.mmap(-1, 8 << 20)
    m.write(b"abc" * 1000); m.resize(16 << 20); print(m[:9], len(m))
    print(subprocess.run(["sh", "-c", "echo $((6*7)); exit 9"], capture_output=True))
    raise SystemExit(json.loads("[4]")[0])
END
compare "python3" $python "$tmp/p.py"
compare "python3, an exception" $python -c 'def f(n): return 1 // n
f(0)'
compare "numpy" $python -c 'import numpy as np
a = np.arange(250000.0).reshape(500, 500)
print((a * 2).sum(), a.T.copy()[3, 4])'
compare "C++ that throws across libraries" "$B/tests/prog/throw"
compare "a fork server" "$B/tests/prog/forkserver"

# An allocator linked into the program, which ends it when it is asked for the impossible.
printf '#include <stdio.h>\n#include <stdlib.h>\nint main(void) { char *p = calloc(3, 1 << 20); p[5] = 7; printf("%%d\\n", p[5]); free(p); }\n' >"$tmp/a.c"
if ${CC:-cc} -fsanitize=address -static-libasan -o "$tmp/sanitized" "$tmp/a.c" 2>/dev/null; then
	compare "a program with the address sanitizer inside" "$tmp/sanitized"
fi

# Killed from outside, while it computes.
for signal in TERM:143 KILL:137; do
	LD_LIBRARY_PATH=$netlib LD_PRELOAD=$lib CDM_MIN_WORK=0 "$B/examples/gemm_c" 600 100000 >"$tmp/out" 2>"$tmp/err" &
	pid=$!
	sleep 1
	kill -${signal%:*} $pid
	wait $pid 2>/dev/null
	status=$?
	[ $status = ${signal#*:} ] || fail "killed by $signal: exit status $status"
	[ ! -s "$tmp/err" ] || fail "killed by $signal: something on stderr: $(head -n 1 "$tmp/err")"
done
finish

#!/bin/sh
# A program's environment and arguments are its own, whichever of BLAS and LAPACK it is linked to, and in whichever order.
. "$(dirname "$0")/lib.sh"

cat >"$tmp/p.c" <<'END'
#include <stdio.h>
#include <stdlib.h>
extern char **environ, *program_invocation_name;
void dgemm_(void), dpotrf_(void);
static void *volatile used[] = {USED};
static int at_start;
__attribute__((constructor)) static void start(int argc, char **argv, char **envp)
{
	at_start = argc > 1 && argv[1] && envp && *envp;
}
int main(void)
{
	const char *home = getenv("HOME"), *mine = getenv("OF_THE_TEST");
	printf("%s %s %d %d %s\n", home ? home : "-", mine ? mine : "-", environ && *environ, at_start, program_invocation_name);
	return !used[0];
}
END
export OF_THE_TEST=kept
for own in netlib openblas blis; do
	eval "export LD_LIBRARY_PATH=\$$own:$arch/lapack"
	for what in 'dpotrf_ -llapack' 'dgemm_ -lblas' 'dgemm_,dpotrf_ -lblas -llapack' 'dpotrf_,dgemm_ -llapack -lblas'; do
		${CC:-cc} -D_GNU_SOURCE "-DUSED=${what%% *}" -o "$tmp/p" "$tmp/p.c" -Wl,--as-needed ${what#* } 2>"$tmp/cc" ||
			skip "no BLAS and LAPACK to link to: $(head -n 1 "$tmp/cc")"
		compare "$own, $what" "$tmp/p" argument
		grep -q '^[^-].* kept 1 1 ' "$tmp/with.out" || fail "$own, $what: $(cat "$tmp/with.out")"
		compare "$own, $what, patched" env CDM_HOOK=patch "$tmp/p" argument
	done
done
finish

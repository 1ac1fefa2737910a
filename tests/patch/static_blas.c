/* A program with BLAS and LAPACK linked into it: all of their entry points patched and called (survey.h). Exit status
 * 77: capstone is not installed. */
#include <errno.h>

#include "shim/decode.h"
#include "tests/patch/survey.h"

int main(int argc, char **argv)
{
	const char *why;

	(void)argc;
	if (cdm_decode_open(&why) == -ENOENT)
		return 77;
	return survey_run(survey_new((void *)survey_quiet_xerbla, true), argv[0], NULL);
}

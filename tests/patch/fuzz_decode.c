/* libFuzzer target (make fuzz): any bytes as a function. Without -fsanitize=fuzzer it is not built. */
#include <string.h>

#include "shim/decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cdm_relocated r;
	const char *why = NULL;

	if (size < 2)
		return 0;
	size_t avail = size - 1, known = data[0] < 64 ? 0 : data[0] < 128 ? avail : avail * data[0] / 256;
	struct cdm_code code = {data + 1, known, avail, 0x10000000};
	int err = cdm_decode_relocate(&code, 5, 0x10000000 + ((uintptr_t)data[0] << 24), &r, &why);

	if (err ? !why : r.len > sizeof(r.code) || r.displaced < r.kept + 5 || r.displaced > avail)
		__builtin_trap();
	return 0;
}

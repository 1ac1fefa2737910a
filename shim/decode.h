/* The first instructions of a function, and the same instructions at another address.
 *
 * What capstone answers (disassembler.h) is a length and where a displacement lies; what an instruction means for
 * relocation is read from its bytes, and a relocated operand is decoded once more and compared.
 */
#ifndef CDM_SHIM_DECODE_H
#define CDM_SHIM_DECODE_H

#include <stddef.h>
#include <stdint.h>

/* The longest result: four short instructions, a call of the longest form and the jump back are 53 bytes. */
#define CDM_TRAMPOLINE_MAX 96

struct cdm_relocated {
	uint8_t code[CDM_TRAMPOLINE_MAX];
	size_t len;
	size_t kept;      /* bytes of a leading endbr64: it stays where it is, and the result begins with one too */
	size_t displaced; /* bytes that the result stands for, kept included */
	size_t count;     /* instructions among them, without the endbr64 and without padding behind the end */
};

struct cdm_code {
	const uint8_t *bytes;
	size_t size;    /* of the function; 0 when unknown */
	size_t avail;   /* readable at bytes, at least size; what lies there behind size belongs to no other function */
	uintptr_t from; /* where the function runs: the address of bytes, except in tests */
};

/* Opens capstone; later calls give the same answer. No lock is held while the loader runs. 0, or a negative errno
 * and *why: -ENOENT not installed, -ENOTSUP a version that is not known, -EBUSY the program uses it itself, -EAGAIN
 * another thread is still opening it. */
int cdm_decode_open(const char **why);
/* Decodes whole instructions until at least need bytes (behind a leading endbr64) are covered and relocates them to
 * run at to. The result behaves as the function did at its beginning, in registers, flags, memory and the return
 * addresses that it pushes, and ends with a jump back to from + displaced.
 *
 * 0, or a negative errno and *why, a static sentence; *out is then undefined. -ERANGE: something is out of reach from
 * to, another place may do. Refused are functions whose rest jumps into the displaced bytes; not seen are jumps
 * through a table or from another function. Thread-safe; what cdm_decode_open() gives goes for it too. */
int cdm_decode_relocate(const struct cdm_code *code, size_t need, uintptr_t to, struct cdm_relocated *out,
			const char **why);
/* Fork child: locks. */
void cdm_decode_after_fork(void);

#endif

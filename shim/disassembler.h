/* Capstone: how long an instruction is, and where its operand's displacement lies.
 *
 * disassembler.c is the only user of capstone, decode.c the only caller of disassembler.c. The library is opened when first
 * needed (never a DT_NEEDED) and built against none of its headers: what is read of its answers is probed when it is opened.
 */
#ifndef CDM_SHIM_DISASSEMBLER_H
#define CDM_SHIM_DISASSEMBLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cdm_answer {
	size_t length;
	int64_t disp;
	uint8_t modrm, modrm_at, disp_at; /* *_at: offsets in the instruction; 0: it has none */
};

/* As cdm_decode_open(). Thread-safe. */
int cdm_disassembler_open(const char **why);
/* One instruction, as if it stood at address; false when capstone does not know it. After an open that gave 0, and one caller at
 * a time. Allocates nothing. */
bool cdm_disassembler_ask(const uint8_t *code, size_t avail, uint64_t address, struct cdm_answer *a);
/* Fork child: an opening thread is not there. */
void cdm_disassembler_after_fork(void);

#endif

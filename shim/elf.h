/* The function symbols of loaded objects, from memory and from their files. */
#ifndef CDM_SHIM_ELF_H
#define CDM_SHIM_ELF_H

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* dynamic: the symbol is one of the dynamic symbol table. size 0: the table does not say. Non-zero ends the walk. */
typedef int cdm_elf_symbol(const char *name, void *addr, size_t size, bool dynamic, void *arg);

/* Calls fn for every function (STT_FUNC; global, weak or local; no indirect functions) that the object defines in its
 * executable segments: those of its dynamic symbol table, then, with file, those of the .symtab of its file (path;
 * NULL or empty: what info says, the program itself where that is empty). A name in both tables comes twice, and one
 * address may have several names. name lives as long as the call of fn.
 *
 * Returns what fn returned if not 0; else 0, or a negative errno for the file, whose symbols are then missing: -ESTALE
 * when it is not the file that was loaded (program headers or build-id differ), -ENOEXEC when it is no such file.
 * Allocates nothing but mappings of its own; the object must stay loaded, as it does in dl_iterate_phdr(). */
int cdm_elf_each(const struct dl_phdr_info *info, const char *path, bool file, cdm_elf_symbol *fn, void *arg);
/* The address of the function that the object's dynamic symbol table defines under name, by its GNU hash table; or NULL. Takes no
 * lock. */
void *cdm_elf_lookup(const struct dl_phdr_info *info, const char *name);
/* References inside the object to its own functions cannot be interposed: DT_SYMBOLIC or DF_SYMBOLIC. */
bool cdm_elf_symbolic(const struct dl_phdr_info *info);

/* What the dynamic symbol table of the object at an address knows about it. */
struct cdm_elf_place {
	size_t size;    /* of the function that begins there, 0: unknown */
	uintptr_t next; /* where the next symbol of the table begins, UINTPTR_MAX: none */
	bool indirect;  /* the resolver of an indirect function begins there */
};
/* Takes the loader's lock. False, and a place of which nothing is known, when no object is there. */
bool cdm_elf_at(uintptr_t addr, struct cdm_elf_place *place);

#endif

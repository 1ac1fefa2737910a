/* Symbols of loaded objects. See elf.h. */
#include "shim/elf.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "offload/base/sys.h"

/* ---- the object in memory ----------------------------------------------------------------------------- */

struct object {
	uintptr_t base;
	const ElfW(Phdr) * phdr;
	size_t phnum;
};

struct table {
	const ElfW(Sym) * sym;
	size_t count;
	const char *str;
	size_t strsize;
};

static struct object object_of(const struct dl_phdr_info *info)
{
	return (struct object){info->dlpi_addr, info->dlpi_phdr, info->dlpi_phnum};
}

/* Whether [addr, addr + n) lies in a segment that is loaded, with these flags. */
static bool is_loaded(const struct object *o, uintptr_t addr, size_t n, unsigned flags)
{
	for (size_t i = 0; i < o->phnum; i++) {
		const ElfW(Phdr) *p = &o->phdr[i];
		uintptr_t start = o->base + p->p_vaddr;

		if (p->p_type == PT_LOAD && (p->p_flags & flags) == flags && addr >= start &&
		    addr - start <= p->p_memsz && n <= p->p_memsz - (addr - start))
			return true;
	}
	return false;
}

static const ElfW(Dyn) * dynamic_of(const struct object *o)
{
	for (size_t i = 0; i < o->phnum; i++)
		if (o->phdr[i].p_type == PT_DYNAMIC)
			return (const ElfW(Dyn) *)(o->base + o->phdr[i].p_vaddr);
	return NULL;
}

/* The address in an entry: glibc has added the base already, except where the section is read-only (the vdso). */
static const void *address_in(const struct object *o, const ElfW(Dyn) * d)
{
	uintptr_t p = d->d_un.d_ptr;

	if (!is_loaded(o, p, 1, 0))
		p += o->base;
	return is_loaded(o, p, 1, PF_R) ? (const void *)p : NULL;
}

/* The symbols that a GNU hash table covers: the last one of the last chain ends the table. */
static size_t count_gnu(const uint32_t *hash)
{
	uint32_t buckets = hash[0], first = hash[1], bloom = hash[2], last = 0;
	const uint32_t *bucket = hash + 4 + (size_t)bloom * (sizeof(ElfW(Addr)) / 4);
	const uint32_t *chain = bucket + buckets;

	for (uint32_t i = 0; i < buckets; i++)
		last = bucket[i] > last ? bucket[i] : last;
	if (last < first)
		return first;
	while (!(chain[last - first] & 1))
		last++;
	return (size_t)last + 1;
}

static bool dynamic_table(const struct object *o, struct table *t)
{
	const uint32_t *gnu = NULL, *sysv = NULL;

	*t = (struct table){0};
	for (const ElfW(Dyn) *d = dynamic_of(o); d && d->d_tag != DT_NULL; d++) {
		if (d->d_tag == DT_SYMTAB)
			t->sym = address_in(o, d);
		else if (d->d_tag == DT_STRTAB)
			t->str = address_in(o, d);
		else if (d->d_tag == DT_STRSZ)
			t->strsize = d->d_un.d_val;
		else if (d->d_tag == DT_HASH)
			sysv = address_in(o, d);
		else if (d->d_tag == DT_GNU_HASH)
			gnu = address_in(o, d);
	}
	if (!t->sym || !t->str || (!gnu && !sysv))
		return false;
	t->count = sysv ? sysv[1] : count_gnu(gnu);
	return is_loaded(o, (uintptr_t)t->sym, t->count * sizeof(*t->sym), PF_R);
}

/* GNU hash tables: buckets of chains of hash values in symbol order, the last of a chain with its lowest bit set, behind a
 * filter of two bits a name (as binutils and glibc lay them out). */
static uint32_t find_gnu(const uint32_t *table, const struct table *t, const char *name)
{
	uint32_t h = 5381, buckets = table[0], first = table[1], words = table[2], shift = table[3];
	const uint64_t *filter = (const uint64_t *)(table + 4);
	const uint32_t *bucket = (const uint32_t *)(filter + words), *chain = bucket + buckets;

	for (const unsigned char *c = (const unsigned char *)name; *c; c++)
		h = h * 33 + *c;
	uint64_t word = filter[h / 64 % words], mask = (uint64_t)1 << h % 64 | (uint64_t)1 << (h >> shift) % 64;
	if ((word & mask) != mask || bucket[h % buckets] < first)
		return 0;
	for (uint32_t i = bucket[h % buckets];; i++) {
		if ((chain[i - first] | 1) == (h | 1) && !strcmp(t->str + t->sym[i].st_name, name))
			return i;
		if (chain[i - first] & 1)
			return 0;
	}
}

void *cdm_elf_lookup(const struct dl_phdr_info *info, const char *name)
{
	struct object o = object_of(info);
	struct table t = {0};
	const uint32_t *hash = NULL;

	for (const ElfW(Dyn) *d = dynamic_of(&o); d && d->d_tag != DT_NULL; d++) {
		if (d->d_tag == DT_SYMTAB)
			t.sym = address_in(&o, d);
		else if (d->d_tag == DT_STRTAB)
			t.str = address_in(&o, d);
		else if (d->d_tag == DT_GNU_HASH)
			hash = address_in(&o, d);
	}
	uint32_t i = t.sym && t.str && hash ? find_gnu(hash, &t, name) : 0;
	if (!i || t.sym[i].st_shndx == SHN_UNDEF || ELF64_ST_TYPE(t.sym[i].st_info) != STT_FUNC)
		return NULL;
	return (void *)(o.base + t.sym[i].st_value);
}

bool cdm_elf_symbolic(const struct dl_phdr_info *info)
{
	struct object o = object_of(info);

	for (const ElfW(Dyn) *d = dynamic_of(&o); d && d->d_tag != DT_NULL; d++)
		if (d->d_tag == DT_SYMBOLIC || (d->d_tag == DT_FLAGS && (d->d_un.d_val & DF_SYMBOLIC)))
			return true;
	return false;
}

static int walk(const struct object *o, const struct table *t, bool dynamic, cdm_elf_symbol *fn, void *arg)
{
	for (size_t i = 0; i < t->count; i++) {
		const ElfW(Sym) *s = &t->sym[i];
		uintptr_t addr = o->base + s->st_value;

		if (ELF64_ST_TYPE(s->st_info) != STT_FUNC || s->st_shndx == SHN_UNDEF || s->st_shndx == SHN_ABS ||
		    !s->st_value || s->st_name >= t->strsize || !is_loaded(o, addr, s->st_size, PF_X))
			continue;
		int ret = fn(t->str + s->st_name, (void *)addr, s->st_size, dynamic, arg);
		if (ret)
			return ret;
	}
	return 0;
}

/* ---- the object's file ---------------------------------------------------------------------------------- */

/* Read, not mapped: a file that is cut off meanwhile gives an error, not a SIGBUS. */
struct piece {
	char *at;
	size_t size;
};

static void drop(struct piece *p)
{
	if (p->at)
		(void)cdm_sys_munmap(p->at, cdm_round_up(p->size + 1, CDM_PAGE));
	p->at = NULL;
}

static int read_at(int fd, void *to, size_t n, uint64_t off)
{
	for (size_t got = 0; got < n;) {
		ssize_t r = cdm_sys_pread(fd, (char *)to + got, n - got, (off_t)(off + got));

		if (r == -EINTR)
			continue;
		if (r <= 0)
			return r ? (int)r : -ENOEXEC;
		got += (size_t)r;
	}
	return 0;
}

/* A part of the file, and a NUL behind it. */
static int get(int fd, uint64_t off, uint64_t size, uint64_t file, struct piece *p)
{
	if (off > file || size > file - off)
		return -ENOEXEC;
	p->size = size;
	p->at = cdm_sys_mmap(NULL, cdm_round_up(size + 1, CDM_PAGE), PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (cdm_sys_failed(p->at)) {
		p->at = NULL;
		return -ENOMEM;
	}
	int err = read_at(fd, p->at, size, off);
	if (err)
		drop(p);
	return err;
}

/* The build-id among the notes of [at, at + size): its note, header included, or NULL. */
static const char *build_id(const char *at, size_t size, size_t *len)
{
	for (size_t off = 0; off + sizeof(ElfW(Nhdr)) <= size;) {
		ElfW(Nhdr) n;
		memcpy(&n, at + off, sizeof(n));
		size_t whole = sizeof(n) + cdm_round_up(n.n_namesz, 4) + cdm_round_up(n.n_descsz, 4);

		if (whole > size - off)
			return NULL;
		if (n.n_type == NT_GNU_BUILD_ID && n.n_namesz == 4 && memcmp(at + off + sizeof(n), "GNU", 4) == 0) {
			*len = whole;
			return at + off;
		}
		off += whole;
	}
	return NULL;
}

static int same_notes(const struct object *o, int fd, uint64_t file)
{
	for (size_t i = 0; i < o->phnum; i++) {
		const ElfW(Phdr) *p = &o->phdr[i];
		size_t len = 0;

		if (p->p_type != PT_NOTE || !is_loaded(o, o->base + p->p_vaddr, p->p_filesz, PF_R))
			continue;
		const char *own = build_id((const char *)(o->base + p->p_vaddr), p->p_filesz, &len);
		if (!own)
			continue;
		struct piece notes;
		int err = get(fd, p->p_offset, p->p_filesz, file, &notes);
		if (err)
			return err;
		bool same = memcmp(notes.at + (own - (const char *)(o->base + p->p_vaddr)), own, len) == 0;
		drop(&notes);
		return same ? 0 : -ESTALE;
	}
	return 0; /* without a build-id: the headers are the same */
}

static int same_file(const struct object *o, int fd, const ElfW(Ehdr) * e, uint64_t file)
{
	struct piece phdr;

	if (e->e_phnum != o->phnum || e->e_phentsize != sizeof(ElfW(Phdr)))
		return -ESTALE;
	int err = get(fd, e->e_phoff, o->phnum * sizeof(ElfW(Phdr)), file, &phdr);
	if (err)
		return err;
	bool same = memcmp(phdr.at, o->phdr, phdr.size) == 0;
	drop(&phdr);
	return same ? same_notes(o, fd, file) : -ESTALE;
}

static int read_header(int fd, ElfW(Ehdr) * e, uint64_t *file)
{
	struct stat st;
	int err = (int)cdm_sys3(SYS_fstat, fd, (long)&st, 0);

	if (err)
		return err;
	*file = (uint64_t)st.st_size;
	if (!S_ISREG(st.st_mode) || *file < sizeof(*e))
		return -ENOEXEC;
	err = read_at(fd, e, sizeof(*e), 0);
	if (err)
		return err;
	return memcmp(e->e_ident, ELFMAG, SELFMAG) == 0 && e->e_ident[EI_CLASS] == ELFCLASS64 &&
			       e->e_machine == EM_X86_64 && (e->e_type == ET_DYN || e->e_type == ET_EXEC)
		       ? 0
		       : -ENOEXEC;
}

static int walk_section(const struct object *o, int fd, const ElfW(Shdr) * symtab, const ElfW(Shdr) * strtab,
			uint64_t file, cdm_elf_symbol *fn, void *arg)
{
	struct piece sym = {0}, str = {0};
	int err = get(fd, symtab->sh_offset, symtab->sh_size, file, &sym);

	if (!err)
		err = get(fd, strtab->sh_offset, strtab->sh_size, file, &str);
	if (!err) {
		struct table t = {(const ElfW(Sym) *)sym.at, sym.size / sizeof(ElfW(Sym)), str.at, str.size};
		err = walk(o, &t, false, fn, arg);
	}
	drop(&sym);
	drop(&str);
	return err;
}

static int walk_sections(const struct object *o, int fd, const ElfW(Ehdr) * e, const ElfW(Shdr) * s, uint64_t file,
			 cdm_elf_symbol *fn, void *arg)
{
	bool known = false;
	int err = 0;

	for (size_t i = 0; i < e->e_shnum && !err; i++) {
		if (s[i].sh_type != SHT_SYMTAB || s[i].sh_link >= e->e_shnum)
			continue;
		if (!known)
			err = same_file(o, fd, e, file);
		known = true;
		if (!err)
			err = walk_section(o, fd, &s[i], &s[s[i].sh_link], file, fn, arg);
	}
	return err;
}

#define FEW_SECTIONS 48 /* on the stack: most files are stripped, and then this is all there is to read */

static int walk_open(const struct object *o, int fd, cdm_elf_symbol *fn, void *arg)
{
	ElfW(Ehdr) e;
	ElfW(Shdr) few[FEW_SECTIONS];
	uint64_t file;
	struct piece sections;
	int err = read_header(fd, &e, &file);

	if (err || !e.e_shnum || e.e_shentsize != sizeof(ElfW(Shdr)))
		return err;
	if (e.e_shnum <= FEW_SECTIONS) {
		err = read_at(fd, few, (size_t)e.e_shnum * sizeof(*few), e.e_shoff);
		return err ? err : walk_sections(o, fd, &e, few, file, fn, arg);
	}
	err = get(fd, e.e_shoff, (uint64_t)e.e_shnum * sizeof(ElfW(Shdr)), file, &sections);
	if (err)
		return err;
	err = walk_sections(o, fd, &e, (const ElfW(Shdr) *)sections.at, file, fn, arg);
	drop(&sections);
	return err;
}

static int walk_file(const struct object *o, const char *path, cdm_elf_symbol *fn, void *arg)
{
	int fd = cdm_sys_open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);

	if (fd < 0)
		return fd;
	int ret = walk_open(o, fd, fn, arg);
	(void)cdm_sys_close(fd);
	return ret;
}

int cdm_elf_each(const struct dl_phdr_info *info, const char *path, bool file, cdm_elf_symbol *fn, void *arg)
{
	struct object o = object_of(info);
	struct table t;

	if (dynamic_table(&o, &t)) {
		int ret = walk(&o, &t, true, fn, arg);
		if (ret)
			return ret;
	}
	if (!file)
		return 0;
	if (!path || !*path)
		path = info->dlpi_name && *info->dlpi_name ? info->dlpi_name : "/proc/self/exe";
	return walk_file(&o, path, fn, arg);
}

/* ---- what is at an address ------------------------------------------------------------------------------ */

struct search {
	uintptr_t addr;
	struct cdm_elf_place *place;
};

static void note_symbol(const struct object *o, const ElfW(Sym) * s, const struct search *w)
{
	uintptr_t addr = o->base + s->st_value;
	unsigned type = ELF64_ST_TYPE(s->st_info);

	if (s->st_shndx == SHN_UNDEF || s->st_shndx == SHN_ABS || type == STT_TLS || type == STT_SECTION)
		return;
	if (addr > w->addr && addr < w->place->next)
		w->place->next = addr;
	if (addr != w->addr)
		return;
	w->place->indirect |= type == STT_GNU_IFUNC;
	if (type == STT_FUNC && s->st_size)
		w->place->size = s->st_size;
}

static int search_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	const struct search *w = arg;
	struct object o = object_of(info);
	struct table t;

	(void)size;
	if (!is_loaded(&o, w->addr, 1, 0))
		return 0;
	if (dynamic_table(&o, &t))
		for (size_t i = 0; i < t.count; i++)
			note_symbol(&o, &t.sym[i], w);
	return 1;
}

bool cdm_elf_at(uintptr_t addr, struct cdm_elf_place *place)
{
	struct search w = {addr, place};

	*place = (struct cdm_elf_place){.next = UINTPTR_MAX};
	return dl_iterate_phdr(search_object, &w) == 1;
}

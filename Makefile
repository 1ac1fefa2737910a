# make            build/libcdm.so and build/cdm (a C compiler and make are all they need)
# make check      installs what the tests need, then runs them all
# make demo       installs what the demonstration needs, then shows it
# make bench      all figures, as ratios inside one run (ROWS="sweep programs" these alone, QUICK=1 fewer sizes and rounds)
# make unit       the unit tests; make asan: the same under ASan and UBSan
# make examples   the example programs in build/examples
# make progs      the helpers of tests/prog, tests/bench, tests/counts and tests/soak in build/tests
# make install    PREFIX=/usr/local DESTDIR= (uninstall takes the same)
# V=1 shows the commands, DEBUG=1 builds with the invariant walkers, B=dir builds elsewhere.

ifeq ($(origin CC),default)
CC := gcc
endif
ifeq ($(origin CXX),default)
CXX := g++
endif
ifeq ($(origin FC),default)
FC := gfortran
endif
PREFIX ?= /usr/local
DESTDIR ?=
B := build

WARN := -Wall -Wextra -Werror -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla
CFLAGS ?= -O2 -g
CDM_CFLAGS := -std=gnu11 -fPIC -fvisibility=hidden -ftls-model=initial-exec -fno-semantic-interposition \
	-fno-strict-aliasing -fno-math-errno -pthread $(WARN) -I. -D_GNU_SOURCE $(if $(DEBUG),-DCDM_DEBUG)
LDFLAGS_SO := -shared -Wl,-z,defs -Wl,-z,initfirst -Wl,-z,now -Wl,-z,relro -Wl,--as-needed -Wl,--version-script=$B/libcdm.map -pthread
TEST_CFLAGS := -std=gnu11 -Wall -Wextra -Werror -pthread -I. -D_GNU_SOURCE $(if $(DEBUG),-DCDM_DEBUG)

BASE_SRC := $(sort $(wildcard policy/*.c offload/*/*.c))
SHIM_SRC := $(sort $(wildcard shim/*.c shim/*.S))
TOOL_SRC := $(sort $(wildcard tools/*.c tools/*/*.c))
BASE_OBJ := $(BASE_SRC:%.c=$B/%.o)
SHIM_OBJ := $(patsubst %.S,$B/%.o,$(SHIM_SRC:%.c=$B/%.o))
TOOL_OBJ := $(TOOL_SRC:%.c=$B/%.o)

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-6s %s\n' '$1' '$2')

.PHONY: all clean
all: $B/libcdm.so $B/cdm

$B/%.o: %.c Makefile
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$Q$(CC) $(CFLAGS) $(CDM_CFLAGS) -MMD -MP -c -o $@ $<

$B/%.o: %.S Makefile
	$(call say,AS,$<)
	@mkdir -p $(@D)
	$Q$(CC) $(CFLAGS) -fPIC -I. -MMD -MP -c -o $@ $<

# The caller's vector registers are not saved there.
$B/shim/gate_look.o $B/shim/quick_read.o $B/shim/quick_tiny.o: CDM_CFLAGS += -mgeneral-regs-only

# Kernels that run only where cdm_tiny_set() has them. No loop becomes a call of memcpy, which others interpose.
TINY_CFLAGS := -mavx2 -mfma -fno-builtin $(if $(findstring -O2,$(CFLAGS)),-Wframe-larger-than=28672) $(if $(findstring clang,$(CC)),,-fno-tree-loop-distribute-patterns)
$(patsubst %,$B/offload/tiny/%.o,s d c z): CDM_CFLAGS += $(TINY_CFLAGS)
$(patsubst %,$B/offload/tiny/%.o,s512 d512 c512 z512): CDM_CFLAGS += $(TINY_CFLAGS) -mavx512f -mavx512bw -mavx512dq -mavx512vl

# The exported names: those of blas.def, as entry.S spells them, and the written list of the others.
$B/libcdm.map: shim/libcdm.map.in shim/blas.def shim/gate_layout.h Makefile
	@mkdir -p $(@D)
	$Q$(CC) -E -P -xc -I. -o $@ $<

$B/libcdm-base.a: $(BASE_OBJ)
	$(call say,AR,$@)
	$Q rm -f $@ && ar rcs $@ $^

$B/libcdm.so: $(SHIM_OBJ) $(BASE_OBJ) $B/libcdm.map
	$(call say,LD,$@)
	$Q$(CC) $(CFLAGS) $(LDFLAGS_SO) -o $@ $(SHIM_OBJ) $(BASE_OBJ) -ldl

$B/cdm: $(TOOL_OBJ) $B/libcdm-base.a
	$(call say,LD,$@)
	$Q$(CC) $(CFLAGS) -pthread -o $@ $^ -ldl -lm

# ---- unit tests: tests/unit/test_NAME.c, linked to the inside without the wrappers -----------------------
# UNIT_WITH_test_NAME replaces the base library by other objects, for tests that bring their own engine.

UNIT_SRC := $(sort $(wildcard tests/unit/test_*.c))
UNIT_BIN := $(UNIT_SRC:%.c=$B/%)
UNIT_LIB := $(patsubst %.c,$B/%.o,$(filter-out $(UNIT_SRC),$(wildcard tests/unit/*.c)))
UNIT_WITH_test_blas_args := $(addprefix $B/,$(patsubst %.c,%.o,$(wildcard shim/blas_*.c)) $(addprefix shim/,entry.o gate.o gate_look.o quick_read.o quick_tiny.o \
	slot.o slot_kind.o slot_name.o stub.o elf.o) offload/base/arena.o offload/base/cpu.o offload/base/fmt.o offload/base/stats.o offload/base/mapped.o offload/dev/fortran_call.o) $(addprefix $B/,$(patsubst %.c,%.o,$(wildcard offload/tiny/*.c)))
PATCH_OBJ := $(addprefix $B/shim/,decode.o disassembler.o patch.o near.o maps.o elf.o) $B/libcdm-base.a
UNIT_WITH_test_decode := $(PATCH_OBJ)
UNIT_WITH_test_patch := $(PATCH_OBJ)
UNIT_WITH_test_calibrate := $(addprefix $B/tools/,rank.o survey.o survey_plan.o survey_shape.o measure.o point.o) $B/libcdm-base.a
unit_with = $(or $(UNIT_WITH_$(notdir $1)),$B/libcdm-base.a)

.PHONY: unit unit-build asan clang
unit: unit-build
	@tests/run.sh $(UNIT_BIN)
unit-build: $(UNIT_BIN)

$(UNIT_BIN): $B/%: %.c $(UNIT_LIB) Makefile
	$(call say,CCLD,$@)
	@mkdir -p $(@D)
	$Q$(CC) $(CFLAGS) $(TEST_CFLAGS) -MMD -MP -MF $@.d -MT $@ -o $@ $< $(UNIT_LIB) $(call unit_with,$@) \
		-lcriterion -ldl -lm
$(foreach u,$(UNIT_BIN),$(eval $u: $(call unit_with,$u)))

# BLAS and LAPACK linked into a program (netlib's where Debian has them, else what there is), at an address of its own
# and at a fixed one. Where there are no .a files the tests that need it are skipped.
PATCH_BIN := $B/tests/patch/static_pie $B/tests/patch/static_fixed
$B/tests/unit/test_patch: | $(PATCH_BIN)
$B/tests/patch/static_pie: PIE := -fPIE -pie
$B/tests/patch/static_fixed: PIE := -fno-pie -no-pie
$(PATCH_BIN): tests/patch/static_blas.c tests/patch/survey.h $(PATCH_OBJ)
	$(call say,CCLD,$@)
	@mkdir -p $(@D)
	$Q rm -f $@; for libs in '-l:lapack/liblapack.a -l:blas/libblas.a' '-l:liblapack.a -l:libblas.a'; do \
		[ -f $@ ] || ! echo 'int main(void) { return 0; }' | $(CC) -x c -o $@.try - $$libs 2>/dev/null || \
		$(CC) $(CFLAGS) $(TEST_CFLAGS) $(PIE) -o $@ $< -Wl,-z,muldefs -Wl,--whole-archive $$libs \
			-Wl,--no-whole-archive $(filter %.o %.a,$^) -lgfortran -ldl -lm || exit 1; \
	done; rm -f $@.try

# FUZZ_SECONDS= sets how long.
.PHONY: fuzz
fuzz:
	@mkdir -p $B/fuzz/corpus
	$Qclang -std=gnu11 -O1 -g -I. -D_GNU_SOURCE -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
		-o $B/fuzz/decode tests/patch/fuzz_decode.c shim/decode.c shim/disassembler.c $(filter-out offload/tiny/%,$(BASE_SRC)) -ldl -lm
	$Q$B/fuzz/decode -max_len=96 -max_total_time=$(or $(FUZZ_SECONDS),60) -artifact_prefix=$B/fuzz/ $B/fuzz/corpus

SAN := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
asan:
	@$(MAKE) --no-print-directory B=$B/asan CFLAGS='$(SAN)' DEBUG=1 unit
asan-build:
	@$(MAKE) --no-print-directory B=$B/asan CFLAGS='$(SAN)' DEBUG=1 unit-build
clang:
	@$(MAKE) --no-print-directory B=$B/clang CC=clang all

# ---- programs ---------------------------------------------------------------------------------------------

EXAMPLES := $(addprefix $B/examples/,gemm_c kmeans lu_fortran lu_lapack chol_cpp bss)
.PHONY: examples progs
examples: $(EXAMPLES)
$B/examples/%: examples/%.c
	$(call say,CCLD,$@)
	@mkdir -p $(@D)
	$Q$(CC) -O2 -g -Wall -Wextra -o $@ $< -lblas -lm
$B/examples/%: examples/%.cc
	$(call say,CXXLD,$@)
	@mkdir -p $(@D)
	$Q$(CXX) -O2 -g -Wall -Wextra -o $@ $< -lblas
$B/examples/%: examples/%.f
	$(call say,FCLD,$@)
	@mkdir -p $(@D)
	$Q$(FC) -O2 -g -Wall -o $@ $< -Wl,--as-needed -llapack -lblas

PROG_SRC := $(sort $(wildcard tests/prog/*.c tests/bench/*.c))
PROG_BIN := $(filter-out %_lib,$(PROG_SRC:%.c=$B/%)) $B/tests/bench/bench_static $B/tests/prog/throw $B/tests/prog/ctor_lib.so
SCENARIO_BIN := $(patsubst %.c,$B/%,$(wildcard tests/scenarios/*.c))
COUNTS_BIN := $(addprefix $B/tests/counts/,counts counts_static inside)
.PHONY: counts
counts: $(COUNTS_BIN)
SOAK_OBJ := $(patsubst %.c,$B/%.o,$(sort $(wildcard tests/soak/*.c)))
.PHONY: soak
soak: $B/tests/soak/soak
progs: $(PROG_BIN) $(SCENARIO_BIN) $(COUNTS_BIN) soak
BENCH_BIN := $(filter $B/tests/bench/%,$(PROG_BIN))

# Helpers call the BLAS under test through -lblas; of tests/bench, all others link the static base library and reach inside.
BENCH_OUTSIDE := $(addprefix $B/tests/bench/,bench sweep callers memory warm)
BENCH_INSIDE := $(filter-out $(BENCH_OUTSIDE),$(patsubst %.c,$B/%,$(wildcard tests/bench/*.c)))
$B/tests/prog/%: tests/prog/%.c
	$(call say,CCLD,$@)
	@mkdir -p $(@D)
	$Q$(CC) -O2 -g -fno-builtin $(TEST_CFLAGS) -MMD -MP -MF $@.d -MT $@ -o $@ $< -Wl,--as-needed -llapack -lblas -lm -ldl -lpthread
$B/tests/prog/%_lib.so: tests/prog/%_lib.c
	$(call say,CCLD,$@)
	@mkdir -p $(@D)
	$Q$(CC) -O2 -g $(TEST_CFLAGS) -fPIC -shared -o $@ $<
$B/tests/prog/throw: tests/prog/throw.cc tests/prog/throw_lib.cc
	$(call say,CXXLD,$@)
	@mkdir -p $(@D)
	$Q$(CXX) -O2 -g -Wall -Wextra -fPIC -shared -o $(@D)/libthrow.so tests/prog/throw_lib.cc
	$Q$(CXX) -O2 -g -Wall -Wextra -o $@ tests/prog/throw.cc -L$(@D) -lthrow -Wl,-rpath,'$$ORIGIN'
$(BENCH_OUTSIDE): $B/tests/bench/%: tests/bench/%.c
	$(call say,CCLD,$@)
	@mkdir -p $(@D)
	$Q$(CC) -O2 -g $(TEST_CFLAGS) -MMD -MP -MF $@.d -MT $@ -o $@ $< $(filter %.o,$^) -Wl,--as-needed -llapack -lblas -lm -ldl
$B/tests/bench/sweep: $B/tools/point.o
# The same with reference BLAS inside: what has to be patched.
STATIC_BLAS = "$$(dpkg -L libblas-dev 2>/dev/null | grep '/libblas\.a$$' | head -n 1)"
$B/tests/bench/bench_static: tests/bench/bench.c
	$(call say,CCLD,$@)
	@mkdir -p $(@D)
	$Q$(CC) -O2 -g $(TEST_CFLAGS) -o $@ $< $(STATIC_BLAS) -lgfortran -lm
$B/tests/counts/counts: tests/counts/counts.c
	$(call say,CCLD,$@)
	@mkdir -p $(@D)
	$Q$(CC) -O2 -g $(TEST_CFLAGS) -MMD -MP -MF $@.d -MT $@ -o $@ $< -lblas -lm -ldl
$B/tests/counts/counts_static: tests/counts/counts.c
	$(call say,CCLD,$@)
	@mkdir -p $(@D)
	$Q$(CC) -O2 -g $(TEST_CFLAGS) -MMD -MP -MF $@.d -MT $@ -o $@ $< $(STATIC_BLAS) -lgfortran -lm -ldl
$B/tests/counts/inside: tests/counts/inside.c $B/libcdm-base.a
	$(call say,CCLD,$@)
	@mkdir -p $(@D)
	$Q$(CC) -O2 -g $(TEST_CFLAGS) -MMD -MP -MF $@.d -MT $@ -o $@ $< $B/libcdm-base.a -ldl -lm
$B/tests/scenarios/%: tests/scenarios/%.c
	$(call say,CCLD,$@)
	@mkdir -p $(@D)
	$Q$(CC) -std=c11 -O1 -g $(filter-out -std=%,$(TEST_CFLAGS)) -MMD -MP -MF $@.d -MT $@ -o $@ $< -lblas
$(SOAK_OBJ): $B/%.o: %.c Makefile
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$Q$(CC) -O2 -g $(TEST_CFLAGS) -MMD -MP -c -o $@ $<
$B/tests/soak/soak: $(SOAK_OBJ)
	$(call say,CCLD,$@)
	$Q$(CC) -O2 -g -pthread -o $@ $^ -lblas
$(BENCH_INSIDE): $B/tests/bench/%: tests/bench/%.c $B/libcdm-base.a
	$(call say,CCLD,$@)
	@mkdir -p $(@D)
	$Q$(CC) -O2 -g $(TEST_CFLAGS) -MMD -MP -MF $@.d -MT $@ -o $@ $< $B/libcdm-base.a -ldl -lm

# ---- the commands; setup.sh comes first, so that none of them needs more than make -------------------------

.PHONY: check demo bench
check:
	@scripts/setup.sh build demo check
	@scripts/check.sh
demo:
	@scripts/setup.sh build demo
	@$(MAKE) -s --no-print-directory all $B/examples/gemm_c
	@scripts/demo.sh
bench:
	@scripts/setup.sh build demo bench
	@$(MAKE) -s --no-print-directory all examples $(BENCH_BIN)
	@scripts/bench.sh $(if $(SMOKE),--smoke,$(if $(QUICK),--quick)) $(ROWS)

.PHONY: install uninstall
install: all
	$(call say,INST,$(DESTDIR)$(PREFIX))
	$Q install -d '$(DESTDIR)$(PREFIX)/lib' '$(DESTDIR)$(PREFIX)/bin'
	$Q install -m 755 $B/libcdm.so '$(DESTDIR)$(PREFIX)/lib/libcdm.so'
	$Q install -m 755 $B/cdm '$(DESTDIR)$(PREFIX)/bin/cdm'
	$Q if [ -f shim/cdm.h ]; then install -d '$(DESTDIR)$(PREFIX)/include' && \
		install -m 644 shim/cdm.h '$(DESTDIR)$(PREFIX)/include/cdm.h'; fi
uninstall:
	$Q rm -f '$(DESTDIR)$(PREFIX)/lib/libcdm.so' '$(DESTDIR)$(PREFIX)/bin/cdm' '$(DESTDIR)$(PREFIX)/include/cdm.h'

clean:
	$Q rm -rf $B

-include $(BASE_OBJ:.o=.d) $(SHIM_OBJ:.o=.d) $(TOOL_OBJ:.o=.d) $(UNIT_BIN:=.d) $(PROG_BIN:=.d) $(SCENARIO_BIN:=.d) $(COUNTS_BIN:=.d) $(SOAK_OBJ:.o=.d)

# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
#
# denim's one makefile; `make help` lists what it can do. Sources are found by wildcard, so a new
# file in a known folder is built without a word here. Everything that is built goes to $(BUILD):
#
#   bin/       denimd denim-worker denim-slot denim
#   lib/       libdenim.a libdenim.so
#   python/    the Python package; PYTHONPATH=build/python makes it importable
#   tests/     unit test programs, and the C programs of the system tests
#   bench/     benchmark programs
#   examples/  the C programs of docs/examples
#   obj/       objects, and the archives that only this file links
#
# A wheel goes to $(DIST).
#
# Variables for the command line: BUILD, PYTHON (CPython 3.11 or newer), CC, CFLAGS (default
# -O2 -g), CPPFLAGS, LDFLAGS, ARGS (handed to pytest), DESTDIR, PREFIX, V=1 (print whole commands).

BUILD      ?= build
DIST       ?= dist
PYTHON     ?= /usr/bin/python3
PKG_CONFIG ?= pkg-config
CFLAGS     ?= -O2 -g
PREFIX     ?= /usr/local
LIBDIR     ?= $(PREFIX)/lib
INSTALL    ?= install
GCOV       ?= gcov
OBJCOPY    ?= objcopy
FORMAT     ?= clang-format

# The version is told by the public header; the library's ABI number is its first part.
VERSION := $(or $(shell sed -n 's/^\#define DENIM_VERSION  *"\(.*\)"/\1/p' include/denim.h \
	2>/dev/null),0.1.0)
SONAME := libdenim.so.0

# For the sanitizer and coverage builds, which call this makefile once more with another BUILD.
SANITIZE ?=
COVERAGE ?=
WERROR   ?=

ifeq ($(MAKELEVEL),0)
ifeq ($(filter -j%,$(MAKEFLAGS)),)
MAKEFLAGS += -j$(shell nproc)
endif
endif
MAKEFLAGS += --no-print-directory --no-builtin-rules
Q := $(if $(V),,@)

.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: all deps demo check run-check asan tsan run-tsan unit system python sim sim-mutants bench \
	bench-acks bench-overload bench-scaling chaos cov run-cov fmt tidy docs wheel install \
	clean help
.PHONY: fuzz run-fuzz
all:

# --- flags ---------------------------------------------------------------------------------------

# What has to ask another program is asked on first use and remembered, so that `make deps` and
# `make help` work, and are quiet, where nothing is installed yet.
PACKAGES := libzmq libczmq jansson
PKG_CFLAGS = $(eval PKG_CFLAGS := $$(call foreign,$$(ask_pkg_cflags)))$(PKG_CFLAGS)
PKG_LIBS   = $(eval PKG_LIBS   := $$(shell $(PKG_CONFIG) --libs $(PACKAGES)))$(PKG_LIBS)
PY_CFLAGS  = $(eval PY_CFLAGS  := $$(call foreign,-I$$(ask_py_include)))$(PY_CFLAGS)
PY_CHECKED = $(eval PY_CHECKED := $$(ask_py_version))$(PY_CHECKED)

foreign = $(patsubst -I%,-isystem %,$(1))
ask_pkg_cflags = $(if $(shell $(PKG_CONFIG) --exists $(PACKAGES) 2>/dev/null && echo yes),$\
	$(shell $(PKG_CONFIG) --cflags $(PACKAGES)),$\
	$(error denim needs the headers of $(PACKAGES): `make deps` installs them))
ask_py_version = $(if $(filter yes,$(shell $(PYTHON) -c 'import sys; print("yes" if \
	sys.implementation.name == "cpython" and sys.version_info >= (3, 11) else "no")' 2>&1)),$\
	,$(error denim needs CPython 3.11 or newer, and PYTHON=$(PYTHON) is not))
ask_py_include = $(PY_CHECKED)$(or $(shell $(PYTHON) -c 'import os, sysconfig; \
	path = sysconfig.get_paths()["include"]; \
	print(path if os.path.exists(path + "/Python.h") else "")'),$\
	$(error PYTHON=$(PYTHON) has no Python.h: `make deps` installs that of /usr/bin/python3))

sanitize_flags := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=undefined \
	-fno-omit-frame-pointer)
DN_CPPFLAGS = -D_GNU_SOURCE -Isrc -Iinclude $(PKG_CFLAGS)
DN_CFLAGS   = -std=c11 -Wall -Wextra -Wshadow -Wconversion -Wswitch-enum -Wstrict-prototypes \
	-fvisibility=hidden -fPIC -pthread $(WERROR) $(sanitize_flags) $(if $(COVERAGE),--coverage)
DN_LDFLAGS  = -Wl,--as-needed -Wl,-z,relro -Wl,-z,now -pthread $(sanitize_flags) \
	$(if $(COVERAGE),--coverage)
PY_DEFINES := -DPy_LIMITED_API=0x030b0000

# --- sources -------------------------------------------------------------------------------------

OBJ := $(BUILD)/obj
objects = $(patsubst %.c,$(OBJ)/%.o,$(1))

base_src    := $(wildcard src/base/*.c src/wire/*.c)
dn_src      := $(base_src) $(wildcard src/core/*.c src/io/*.c)
lib_src     := $(wildcard src/lib/*.c)
cli_src     := $(wildcard bin/denim.c) $(if $(wildcard bin/denim.c),$(wildcard src/cli/*.c))
slot_src    := $(wildcard src/slot/*.c)
ext_src     := $(wildcard python/denim/_denim.c python/denim/_denim_*.c)
daemon_src  := $(wildcard bin/denimd.c bin/denim-worker.c)
host_src    := $(wildcard bin/denim-slot.c)
unit_src    := $(wildcard tests/unit/test_*.c)
helper_src  := $(filter-out $(unit_src),$(wildcard tests/unit/*.c))
system_src  := $(wildcard tests/system/*.c)
bench_src   := $(wildcard tests/bench/*.c)
fuzz_src    := $(wildcard tests/fuzz/fuzz_*.c)
example_src := $(wildcard docs/examples/*.c)
sim_src     := $(wildcard tests/sim/*.c)

man_pages    := $(wildcard docs/man/*.[1-9])
python_files := $(wildcard python/denim/*.py python/denim/*.pyi python/denim/py.typed)
pytests = $(foreach dir,$(1),$(wildcard $(dir)/test_*.py $(dir)/*_test.py $(dir)/*/test_*.py))

# libdn.a is the floors below the faces; libfull.a has libdenim's objects with it and is for those
# that are built here: in the public libdenim.a nothing but denim_* can be seen.
DN_LIB   := $(if $(dn_src),$(OBJ)/libdn.a)
FULL_LIB := $(if $(lib_src),$(OBJ)/libfull.a,$(DN_LIB))

SO_FILE := libdenim.so.$(VERSION)
LIBRARIES := $(if $(lib_src),$(BUILD)/lib/libdenim.a $(BUILD)/lib/libdenim.so)
PROGRAMS  := $(patsubst bin/%.c,$(BUILD)/bin/%,$(daemon_src) $(host_src) \
	$(filter bin/%,$(cli_src)))
CHANNEL   := $(if $(slot_src),$(BUILD)/python/denim/_channel.abi3.so)
EXTENSION := $(if $(filter python/denim/_denim.c,$(ext_src)),$(BUILD)/python/denim/_denim.abi3.so)
PACKAGE   := $(addprefix $(BUILD)/,$(python_files)) $(CHANNEL) $(EXTENSION)
UNIT      := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(unit_src))
SYSTEM    := $(patsubst tests/system/%.c,$(BUILD)/tests/system/%,$(system_src))
BENCH     := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(bench_src))
FUZZERS   := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/%,$(fuzz_src))
EXAMPLES  := $(patsubst docs/examples/%.c,$(BUILD)/examples/%,$(example_src))
SIM       := $(if $(sim_src),$(BUILD)/tests/sim)

# A module that was renamed must not go on living as its copy.
stale := $(filter-out $(PACKAGE),$(wildcard $(addprefix $(BUILD)/python/denim/,*.py *.pyi *.so)))
ifneq ($(stale),)
$(shell rm -f $(stale))
endif

# --- building ------------------------------------------------------------------------------------

all: $(PROGRAMS) $(LIBRARIES) $(PACKAGE) ## build programs, library and Python package into build/

$(OBJ)/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "CC    $<"
	$(Q)$(CC) $(DN_CPPFLAGS) $(CPPFLAGS) $(EXTRA) $(DN_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

slot_obj := $(call objects,$(slot_src))
ext_obj  := $(call objects,$(ext_src))
$(slot_obj) $(ext_obj): EXTRA = $(PY_DEFINES) $(PY_CFLAGS)

define archive
@mkdir -p $(@D)
@echo "AR    $(@:$(BUILD)/%=%)"
@rm -f $@
$(Q)$(AR) rcs $@ $(filter %.o,$^)
endef

define link
@mkdir -p $(@D)
@echo "LINK  $(@:$(BUILD)/%=%)"
$(Q)$(CC) $(CFLAGS) $(DN_LDFLAGS) $(LDFLAGS) $(1) -o $@ $(filter %.o,$^) $(filter %.a,$^)
endef

$(OBJ)/libdn.a: $(call objects,$(dn_src))
	$(archive)

$(OBJ)/libfull.a: $(call objects,$(lib_src) $(dn_src))
	$(archive)

# One object with its hidden names made local: who links libdenim.a may have a dn_log too.
$(OBJ)/libdenim.o: $(call objects,$(lib_src) $(dn_src))
	$(Q)$(LD) -r -o $@ $^
	$(Q)$(OBJCOPY) --localize-hidden $@

$(BUILD)/lib/libdenim.a: $(OBJ)/libdenim.o
	$(archive)

$(OBJ)/libdenim.map: Makefile
	@mkdir -p $(@D)
	@echo 'DENIM_0 { global: denim_*; local: *; };' >$@

so_flags = -shared -Wl,-z,defs -Wl,-soname,$(SONAME) -Wl,--version-script,$(OBJ)/libdenim.map
$(BUILD)/lib/$(SO_FILE): $(call objects,$(lib_src) $(dn_src)) $(OBJ)/libdenim.map
	$(call link,$(so_flags)) $(PKG_LIBS)

$(BUILD)/lib/libdenim.so: $(BUILD)/lib/$(SO_FILE)
	@ln -sf $(SO_FILE) $(@D)/$(SONAME)
	@ln -sf $(SONAME) $@

$(BUILD)/bin/denimd $(BUILD)/bin/denim-worker: $(BUILD)/bin/%: $(OBJ)/bin/%.o $(DN_LIB)
	$(link) $(PKG_LIBS)

$(BUILD)/bin/denim: $(call objects,$(cli_src)) $(FULL_LIB)
	$(link) $(PKG_LIBS)

# The slot's host is alone: libc, and dl to fetch the user's own libpython.
asan_slot_obj := $(if $(findstring address,$(SANITIZE)),$(OBJ)/tests/asan_slot.o)
$(BUILD)/bin/denim-slot: $(OBJ)/bin/denim-slot.o $(asan_slot_obj)
	$(link) -ldl

# Extensions leave Python's own names open: the interpreter that loads them has them.
$(OBJ)/module.map: Makefile
	@mkdir -p $(@D)
	@echo '{ global: PyInit_*; local: *; };' >$@

channel_flags = -shared -Wl,--version-script,$(OBJ)/module.map
$(BUILD)/python/denim/_channel.abi3.so: $(slot_obj) $(call objects,$(base_src)) $(OBJ)/module.map
	$(call link,$(channel_flags))

ext_flags := -shared -Wl,--exclude-libs,ALL
$(BUILD)/python/denim/_denim.abi3.so: $(ext_obj) $(FULL_LIB)
	$(call link,$(ext_flags)) $(PKG_LIBS)

$(BUILD)/python/denim/%: python/denim/%
	@mkdir -p $(@D)
	@echo "COPY  $<"
	@cp $< $@

# Unit tests see the internal names; those that begin with test_lib have the client library too.
# Other C files beside them are helpers, and each program takes those that it calls.
HELPERS := $(if $(helper_src),$(OBJ)/libunit.a)
$(OBJ)/libunit.a: $(call objects,$(helper_src))
	$(archive)

unit_lib  := $(filter $(BUILD)/tests/test_lib%,$(UNIT))
unit_rest := $(filter-out $(unit_lib),$(UNIT))
tsan_obj  := $(if $(findstring thread,$(SANITIZE)),$(OBJ)/tests/unit/sanitizer_options.o)
$(unit_lib): $(BUILD)/tests/%: $(OBJ)/tests/unit/%.o $(tsan_obj) $(HELPERS) $(FULL_LIB)
	$(link) -lcmocka $(PKG_LIBS)
$(unit_rest): $(BUILD)/tests/%: $(OBJ)/tests/unit/%.o $(tsan_obj) $(HELPERS) $(DN_LIB)
	$(link) -lcmocka $(PKG_LIBS)

$(BUILD)/tests/system/%: $(OBJ)/tests/system/%.o $(FULL_LIB)
	$(link) $(PKG_LIBS)

$(BUILD)/bench/%: $(OBJ)/tests/bench/%.o $(FULL_LIB)
	$(link) $(PKG_LIBS) -lm

# As a user links them: with the public archive, where nothing but denim_* can be seen.
$(BUILD)/examples/%: $(OBJ)/docs/examples/%.o $(BUILD)/lib/libdenim.a
	$(link) $(PKG_LIBS)

# The simulator is the cores and nothing else: no socket, no clock, no library.
sim_core := $(base_src) $(wildcard src/core/*.c)
$(SIM): $(call objects,$(sim_src) $(sim_core))
	$(link)

# A fuzzer's main is libFuzzer's in a build for it, else one that replays the corpus.
fuzzing   := $(findstring fuzzer,$(SANITIZE))
fuzz_objs := $(call objects,tests/fuzz/fuzz.c $(if $(fuzzing),,tests/fuzz/replay.c) \
	src/slot/inbox.c)
$(FUZZERS): $(BUILD)/tests/%: $(OBJ)/tests/fuzz/%.o $(fuzz_objs) $(DN_LIB)
	$(call link,$(if $(fuzzing),-fsanitize=fuzzer)) $(PKG_LIBS)

# Objects are kept: without this line make would take those of test programs for passing things.
.SECONDARY:

-include $(patsubst %.c,$(OBJ)/%.d,$(dn_src) $(lib_src) $(cli_src) $(slot_src) $(ext_src) \
	$(daemon_src) $(host_src) $(unit_src) $(helper_src) $(system_src) $(bench_src) $(sim_src) \
	$(example_src) $(fuzz_src) tests/fuzz/fuzz.c tests/fuzz/replay.c)

# --- running -------------------------------------------------------------------------------------

# What the tests find in their environment:
#
#   PYTHONPATH           the built Python package
#   DENIM_BIN            the built programs
#   DENIM_TEST_ASAN=1    only in a build with the address sanitizer, and with it:
#   DENIM_TEST_PRELOAD   what a foreign Python must have in LD_PRELOAD to load denim's extensions
#   LD_PRELOAD           the same, for pytest itself
#   ASAN_OPTIONS         no leak check, no signal handlers, for pytest itself and Python below it
#
# The last two are for processes that hold Python. Who starts a C program (denimd, denim-worker,
# denim) takes LD_PRELOAD and ASAN_OPTIONS out of its environment, so that its leaks are found;
# denim-slot, which denim-worker starts, holds Python and carries its own options, those of
# tests/asan_slot.c. libstdc++ is in the list because the sanitizer looks for C++'s throw, which
# libzmq brings, when it starts.
file_of_cc = $(shell $(CC) -print-file-name=$(1))
PRELOAD = $(call file_of_cc,libasan.so):$(call file_of_cc,libstdc++.so.6)
PYTHON_ASAN_OPTIONS := detect_leaks=0:handle_segv=0:handle_abort=0:handle_sigbus=0:$\
	handle_sigfpe=0:handle_sigill=0
TEST_ENV = PYTHONPATH='$(abspath $(BUILD)/python)' DENIM_BIN='$(abspath $(BUILD)/bin)' \
	$(if $(findstring address,$(SANITIZE)),DENIM_TEST_ASAN=1 DENIM_TEST_PRELOAD='$(PRELOAD)' \
	LD_PRELOAD='$(PRELOAD)' ASAN_OPTIONS=$(PYTHON_ASAN_OPTIONS))

# A unit test that hangs is killed after two minutes and counts as failed.
run_unit = $(call run_units,$(UNIT))
define run_units
@failed=0; for test in $(1); do \
	echo "UNIT  $${test#$(BUILD)/}"; \
	timeout -k 5 120 $$test || { failed=$$((failed + 1)); echo "FAIL  $${test#$(BUILD)/}"; }; \
done; \
echo "unit: $$(($(words $(1)) - failed)) programs passed, $$failed failed"; \
[ $$failed = 0 ]
endef

# Each input of a fuzzer's corpus, then mutations of them for two seconds.
define run_replay
@for fuzzer in $(FUZZERS); do \
	timeout -k 5 120 $$fuzzer tests/fuzz/corpus/$${fuzzer##*/fuzz_} || exit 1; \
done
endef

# libFuzzer adds what it finds to a corpus of its own; an input that fails is put beside the fuzzer.
FUZZ ?=
TIME ?= 60
define run_fuzz
@for fuzzer in $(if $(FUZZ),$(BUILD)/tests/fuzz_$(FUZZ),$(FUZZERS)); do \
	name=$${fuzzer##*/fuzz_}; log=$(BUILD)/fuzz_$$name.log; \
	echo "FUZZ  $$name"; \
	mkdir -p $(BUILD)/corpus/$$name; \
	$$fuzzer -max_total_time=$(TIME) -max_len=4096 -len_control=20 \
		-artifact_prefix=$$fuzzer-failed- $(BUILD)/corpus/$$name \
		tests/fuzz/corpus/$$name >$$log 2>&1 || { tail -n 40 $$log; exit 1; }; \
	tail -n 1 $$log; \
done
endef

run_sim = @$(SIM) --seeds tests/sim/seeds.txt --seed $(SEED) --count $(N)

run_tidy = @$(PYTHON) tests/tidy --build $(BUILD)

run_pytest = $(PY_CHECKED)$(if $(call pytests,$(1)),\
	@$(TEST_ENV) $(PYTHON) -m pytest -ra $(ARGS) $(wildcard $(1)),\
	@echo "pytest: no tests in $(1) yet")

deps: ## install the Debian packages that are missing (needs root or sudo only then)
	@tests/deps check

demo: ## a small cluster on this machine, from nothing, in a minute
	@tests/deps demo
	@$(MAKE) -s all
	@PYTHONPATH='$(abspath $(BUILD)/python)' DENIM_BIN='$(abspath $(BUILD)/bin)' \
		$(PYTHON) docs/examples/demo.py

check: ## every test under sanitizers: threads in build/tsan, all else in build/asan
	@tests/deps check
	@$(MAKE) BUILD=$(BUILD)/tsan SANITIZE=thread WERROR=-Werror run-tsan
	@$(MAKE) BUILD=$(BUILD)/asan SANITIZE=address,undefined WERROR=-Werror run-check

run-check: all $(UNIT) $(SYSTEM) $(BENCH) $(EXAMPLES) $(FUZZERS) $(SIM)
	$(run_unit)
	$(run_replay)
	$(run_sim)
	$(run_tidy)
	$(call run_pytest,tests/python tests/chaos tests/system)

asan: ## build into build/asan with the address sanitizer and run the unit tests
	@$(MAKE) BUILD=$(BUILD)/asan SANITIZE=address,undefined all unit

tsan: ## build into build/tsan with the thread sanitizer and run the unit tests
	@$(MAKE) BUILD=$(BUILD)/tsan SANITIZE=thread all unit

# The tests in which threads meet. What is not of denim is not instrumented: the options that are
# linked to every test say so.
run-tsan: $(unit_lib)
	$(call run_units,$(unit_lib))

unit: $(UNIT) ## the unit tests of the C code
	$(run_unit)

python: all ## the tests of the Python package (ARGS="-k name" for some)
	$(call run_pytest,tests/python)

system: all $(SYSTEM) $(EXAMPLES) ## the tests of whole programs together (ARGS="-k name" for some)
	$(call run_pytest,tests/system)

SEED ?= 1
N    ?= 2000
sim: $(SIM) ## N=2000 histories of a cluster from SEED=1 on, those that failed once first
	$(run_sim) $(ARGS)

sim-mutants: ## does the simulator notice when a rule is taken out of the cores?
	@CC='$(CC)' $(PYTHON) tests/sim/mutants.py $(ARGS)

# Without SEED= on the command line each run has a seed of its own, and says so.
KILLS   ?= 50
SECONDS ?=
chaos: all ## KILLS=50 of managers and of workers, and all else that can happen; then the figures
	@$(TEST_ENV) $(PYTHON) tests/chaos/run.py --kills $(KILLS) $(if $(SECONDS),--seconds \
		$(SECONDS)) $(if $(filter file,$(origin SEED)),,--seed $(SEED)) $(ARGS)
	@$(TEST_ENV) $(PYTHON) tests/chaos/figures.py

tidy: all ## the rules of the house: floors, link lines, lengths, forbidden calls
	$(run_tidy)

bench: all $(BENCH) ## the benchmarks, beside a bare ZeroMQ broker
	@PYTHONPATH='$(abspath $(BUILD)/python)' DENIM_BIN='$(abspath $(BUILD)/bin)' \
		$(PYTHON) tests/bench/run.py $(ARGS)

bench-acks: all $(BENCH) ## throughput beside a build without acknowledgements (ARGS="--pairs 7")
	@PYTHONPATH='$(abspath $(BUILD)/python)' DENIM_BIN='$(abspath $(BUILD)/bin)' \
		$(PYTHON) tests/bench/acks.py $(ARGS)

bench-overload: all $(BENCH) ## goodput, fairness, refusals, memory under overload (ARGS=--quick)
	@PYTHONPATH='$(abspath $(BUILD)/python)' DENIM_BIN='$(abspath $(BUILD)/bin)' \
		$(PYTHON) tests/bench/overload.py $(ARGS)

bench-scaling: all $(BENCH) ## throughput with 1 to 4 workers (ARGS=--quick)
	@PYTHONPATH='$(abspath $(BUILD)/python)' DENIM_BIN='$(abspath $(BUILD)/bin)' \
		$(PYTHON) tests/bench/scaling.py $(ARGS)

fuzz: ## libFuzzer on each fuzzer for TIME=60 seconds; FUZZ=wire: on one (in build/fuzz)
	@tests/deps fuzz
	@$(MAKE) BUILD=$(BUILD)/fuzz CC=clang CFLAGS='-O1 -g' \
		SANITIZE=fuzzer-no-link,address,undefined run-fuzz

run-fuzz: $(if $(FUZZ),$(BUILD)/tests/fuzz_$(FUZZ),$(FUZZERS))
	$(run_fuzz)

cov: ## lines of C that the tests run, per file (in build/cov)
	@$(MAKE) BUILD=$(BUILD)/cov COVERAGE=1 CFLAGS='-O0 -g' run-cov

run-cov: all $(UNIT) $(SYSTEM) $(EXAMPLES)
	@find $(OBJ) -name '*.gcda' -delete
	$(run_unit)
	$(call run_pytest,tests/python tests/system)
	@find $(OBJ) -name '*.gcda' -exec $(GCOV) -n {} + 2>/dev/null | awk -F"'" ' \
		/^File/ { file = $$2; wanted = file ~ /^(src|bin|python)\/.*\.c$$/ } \
		/^Lines executed/ && wanted { \
			split($$0, part, /[:%]| of /); \
			lines += part[4]; run += part[2] * part[4] / 100; \
			printf "%6.1f %%  %5d  %s\n", part[2], part[4], file; wanted = 0 } \
		END { if (lines) printf "%6.1f %%  %5d  total\n", 100 * run / lines, lines }' \
		| sort -k4

fmt: ## lay out all C code with clang-format
	@command -v $(FORMAT) >/dev/null || { echo "make fmt needs $(FORMAT)" >&2; exit 69; }
	@$(FORMAT) -i $(wildcard include/*.h src/*/*.[ch] bin/*.c python/denim/*.[ch] tests/*.[ch] \
		tests/*/*.[ch])

# What stands above the block is written by hand.
docs: all ## write the table of messages into docs/protocol.md
	@{ sed '/^```text$$/,$$d' docs/protocol.md; echo '```text'; $(BUILD)/bin/denim protocol; \
		echo '```'; } >$(BUILD)/protocol.md && cp $(BUILD)/protocol.md docs/protocol.md

# --- installing ----------------------------------------------------------------------------------

root := $(DESTDIR)$(PREFIX)
install: all ## install below $(DESTDIR)$(PREFIX), /usr/local if nothing else is said
	$(Q)$(INSTALL) -d $(root)/bin $(root)/include $(DESTDIR)$(LIBDIR)/pkgconfig \
		$(root)/lib/denim/python/denim
	$(if $(PROGRAMS),$(Q)$(INSTALL) -m 755 $(PROGRAMS) $(root)/bin)
	$(if $(wildcard include/denim.h),$(Q)$(INSTALL) -m 644 include/denim.h $(root)/include)
	$(if $(LIBRARIES),$(Q)$(INSTALL) -m 644 $(BUILD)/lib/libdenim.a $(BUILD)/lib/$(SO_FILE) \
		$(DESTDIR)$(LIBDIR) && \
		ln -sf $(SO_FILE) $(DESTDIR)$(LIBDIR)/$(SONAME) && \
		ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libdenim.so && \
		sed 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@VERSION@|$(VERSION)|' \
		libdenim.pc.in >$(DESTDIR)$(LIBDIR)/pkgconfig/libdenim.pc)
	$(if $(strip $(PACKAGE)),$(Q)$(INSTALL) -m 644 $(PACKAGE) $(root)/lib/denim/python/denim)
	$(if $(man_pages),$(Q)for page in $(man_pages); do \
		$(INSTALL) -D -m 644 $$page $(root)/share/man/man$${page##*.}/$${page##*/} || \
			exit 1; done)

wheel: all ## a wheel of package and programs in dist/, for pip install
	@$(PYTHON) python/wheel.py --build $(BUILD) --out $(DIST) --version $(VERSION)

clean: ## remove build/ and dist/
	rm -rf $(BUILD) $(DIST)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

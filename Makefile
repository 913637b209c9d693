# onnx-adapt.  `make deps` installs what the build needs, `make` builds, `make help` lists the rest.
BUILD   ?= build
PREFIX  ?= /usr/local
DESTDIR ?=
CC      ?= cc
OPT     ?= -O2 -g
KOPT    ?= -O3 -ffp-contract=fast -fno-trapping-math -fno-math-errno
WERROR  ?= -Werror
SAN     ?=
Q       ?= @
WARN    := -Wall -Wextra -Wpedantic -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings
VERSION := $(shell sed -n 's/.*ONX_VERSION "\(.*\)"/\1/p' lib/base/version.h)
SONAME  := libonnxadapt.so.0

# What must be installed: what we look for (pkg-config name, program, header) : its package in Debian.
NEED_PC   := libprotobuf-c:libprotobuf-c-dev yaml-0.1:libyaml-dev \
             libjpeg:libjpeg-dev libpng:libpng-dev libwebp:libwebp-dev libexif:libexif-dev \
             jansson:libjansson-dev libxxhash:libxxhash-dev libzip:libzip-dev zlib:zlib1g-dev libpcre2-8:libpcre2-dev
NEED_CMD  := $(CC):gcc pkg-config:pkg-config protoc-c:protobuf-c-compiler
NEED_H    := uthash.h:uthash-dev
NEED_TEST := cmocka:libcmocka-dev
TEST_CMD  := bats:bats
# Data for tests and the demonstration, used if it is there.
DEB_DATA  := libonnx-testdata

package = $(word 2,$(subst :, ,$(1)))
sought  = $(word 1,$(subst :, ,$(1)))
PKGS    := $(foreach p,$(NEED_PC),$(call sought,$(p)))
DEBS    := $(foreach p,$(NEED_PC) $(NEED_CMD) $(NEED_H) $(NEED_TEST) $(TEST_CMD),$(call package,$(p))) \
           make libc6-dev $(DEB_DATA)

CFLAGS_ALL  = -std=c11 -D_GNU_SOURCE $(OPT) $(WARN) $(WERROR) $(SAN) -fno-common -fPIC -pthread \
              -Ilib -I$(BUILD)/proto -MMD -MP $(PKG_CFLAGS) $(CFLAGS)
LDLIBS_ALL  = $(SAN) -pthread $(LDFLAGS) $(PKG_LIBS) -lm
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS   := $(shell pkg-config --libs $(PKGS) 2>/dev/null)

# Kernels and operators are compiled twice: real = float and real = double (lib/kernel/real.h).
TWICE   := $(wildcard lib/kernel/*.c) $(filter-out lib/op/table.c lib/op/infer.c,$(wildcard lib/op/*.c))
ONCE    := $(filter-out $(TWICE),$(wildcard lib/*/*.c))
PROTO   := $(wildcard proto/onnx.proto)
OBJ     := $(ONCE:%.c=$(BUILD)/%.o) $(TWICE:%.c=$(BUILD)/%.f32.o) $(TWICE:%.c=$(BUILD)/%.f64.o) \
           $(PROTO:%.proto=$(BUILD)/%.pb-c.o)
HEADERS := $(wildcard lib/*/*.h)
LIB     := $(BUILD)/libonnxadapt.a
SHLIB   := $(BUILD)/$(SONAME)
TOOLS   := $(patsubst tools/%.c,$(BUILD)/bin/%,$(wildcard tools/onnx-*.c))
TOOLOBJ := $(patsubst %.c,$(BUILD)/%.o,$(filter-out $(wildcard tools/onnx-*.c),$(wildcard tools/*.c)))
TOOLLIB := $(BUILD)/tools/common.a
MAN     := $(TOOLS:$(BUILD)/bin/%=$(BUILD)/man/%.1) $(TOOLS:$(BUILD)/bin/%=$(BUILD)/completion/%)

# Each file of tests/unit, tests/fault, tests/op and tests/lint is a program; tests/GROUP/lib/*.c help those of GROUP.
TESTSRC := $(wildcard tests/unit/*.c tests/fault/*.c tests/op/*.c tests/lint/*.c)
TESTS   := $(TESTSRC:%.c=$(BUILD)/%)
PEERS   := $(BUILD)/tests/peers/gradient $(BUILD)/tests/peers/cases
TESTOBJ := $(TESTSRC:%.c=$(BUILD)/%.o) $(PEERS:%=%.o) $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/*/lib/*.c))

all: $(TOOLS) $(LIB)                    ## build the programs and the library (default)

# ---- compiling -------------------------------------------------------------------------------------
$(BUILD)/proto/%.pb-c.c $(BUILD)/proto/%.pb-c.h &: proto/%.proto | needs
	@mkdir -p $(@D)
	$(Q)protoc-c --proto_path=proto --c_out=$(BUILD)/proto $<
define compile
	@mkdir -p $(@D)
	@echo "  CC    $@"
	$(Q)$(CC) $(CFLAGS_ALL) $(1) -c -o $@ $<
endef
$(BUILD)/proto/%.o: $(BUILD)/proto/%.c
	$(call compile)
$(BUILD)/%.f32.o: %.c | needs
	$(call compile,$(KOPT))
$(BUILD)/%.f64.o: %.c | needs
	$(call compile,$(KOPT) -DONX_F64)
$(BUILD)/lib/%.o: lib/%.c | needs $(PROTO:%.proto=$(BUILD)/%.pb-c.h)
	$(call compile)
$(BUILD)/tools/%.o: tools/%.c | needs
	$(call compile)
$(BUILD)/tests/%.o: tests/%.c | needs-test
	$(call compile,-Itests $(addprefix -Itests/,op))

$(LIB): $(OBJ)
	@rm -f $@
	@echo "  AR    $@"
	$(Q)$(AR) qcs $@ $^
$(SHLIB): $(OBJ)
	@echo "  LD    $@"
	$(Q)$(CC) -shared -Wl,-soname,$(SONAME) -Wl,--no-undefined -o $@ $^ $(LDLIBS_ALL)
$(TOOLLIB): $(TOOLOBJ)
	@rm -f $@
	$(Q)$(AR) qcs $@ $^
$(BUILD)/bin/%: $(BUILD)/tools/%.o $(TOOLLIB) $(LIB)
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) -o $@ $< $(TOOLLIB) $(LIB) $(LDLIBS_ALL)
# Each test would take all of the library in: the shared one is linked ten times as fast.
.SECONDEXPANSION:
$(TESTS) $(PEERS): $(BUILD)/%: $(BUILD)/%.o $$(addprefix $(BUILD)/,$$(addsuffix .o,$$(basename $$(wildcard $$(dir $$*)lib/*.c)))) $(SHLIB)
	@echo "  LD    $@"
	$(Q)$(CC) -o $@ $(filter %.o,$^) $(SHLIB) -Wl,-rpath,'$$ORIGIN/../..' $(LDLIBS_ALL) -lcmocka

# Its cases are those of tests/op.
$(BUILD)/tests/peers/cases: $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/op/lib/*.c))

# Manual pages and bash completion are printed by the programs from their option tables.
man: $(MAN)                             ## manual pages and shell completion
$(BUILD)/man/%.1: $(BUILD)/bin/%
	@mkdir -p $(@D)
	$(Q)$< --help=man >$@.part && mv $@.part $@
$(BUILD)/completion/%: $(BUILD)/bin/%
	@mkdir -p $(@D)
	$(Q)$< --help=complete >$@.part && mv $@.part $@

page: all                               ## docs/operators.md, the support table, written anew
	$(Q)$(BUILD)/bin/onnx-info --ops --page >docs/operators.md.part && mv docs/operators.md.part docs/operators.md

# ---- testing ---------------------------------------------------------------------------------------
tests: all $(TESTS)
test: tests                             ## run every test; needs nothing but `make deps`
	@tests/run $(BUILD)
lint: tests                             ## layers, includes, banned functions, lengths, coverage of gradients
	@tests/run $(BUILD) lint
demo: all                               ## adapt the sample model to new classes, three ways side by side
	@samples/demo.sh $(BUILD)
test-peers: all $(PEERS)                         ## compare with PyTorch, ONNX Runtime, OpenCV (installs them)
	@tests/peers/run $(BUILD)
ARM_DEBS := $(patsubst %,%:arm64,libc6-dev $(foreach p,$(NEED_PC) $(NEED_TEST),$(call package,$(p))))
test-cpus: tests                        ## the kernels on aarch64 and older x86-64, emulated (installs what that needs)
	@ARM_DEBS="$(ARM_DEBS)" tests/cpus/run $(BUILD)
BENCH := $(addprefix $(BUILD)/bench/,pictures peak convs backward)
$(BENCH): $(BUILD)/bench/%: bench/%.c $(LIB)
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) $(CFLAGS_ALL) -o $@ $< $(LIB) $(LDLIBS_ALL)
bench: all $(BENCH)                       ## speed beside PyTorch and ONNX Runtime (installs them), under 10 minutes
	@bench/run $(BUILD) short
bench-full: all $(BENCH)                        ## the same with more rounds
	@bench/run $(BUILD) full
bench-operators: all $(BUILD)/bench/backward         ## single operators beside ONNX Runtime and PyTorch, slowest first
	@bench/operators $(BUILD) $(NAMES)
headers: $(HEADERS:%=$(BUILD)/%.ok)     ## each header compiles alone
$(BUILD)/%.h.ok: %.h | needs
	@mkdir -p $(@D)
	$(Q)printf '#include "$*.h"\nextern int onx_alone;\n' | $(CC) $(filter-out -MMD -MP,$(CFLAGS_ALL)) -I. -fsyntax-only -x c - && touch $@

# Own objects in $(BUILD)/san; leaks count too.
SANFLAGS := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
san:                                    ## the whole test suite under address and undefined-behaviour checks
	$(Q)ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 \
	$(MAKE) BUILD=$(BUILD)/san OPT='-O1 -g' KOPT=-O1 SAN='$(SANFLAGS)' test

# ---- installing ------------------------------------------------------------------------------------
D := $(DESTDIR)$(PREFIX)
install: all $(SHLIB) $(BUILD)/onnx-adapt.pc man ## programs, library, headers, manual pages (PREFIX, DESTDIR)
	install -d $(D)/bin $(D)/lib/pkgconfig $(D)/include/onnx-adapt $(D)/share/man/man1 \
		$(D)/share/bash-completion/completions
	$(if $(TOOLS),install $(TOOLS) $(D)/bin)
	install -m 644 $(LIB) $(D)/lib/
	install $(SHLIB) $(D)/lib/$(SONAME)
	ln -sf $(SONAME) $(D)/lib/libonnxadapt.so
	install -m 644 $(BUILD)/onnx-adapt.pc $(D)/lib/pkgconfig/
	for h in $(HEADERS:lib/%=%); do install -D -m 644 lib/$$h $(D)/include/onnx-adapt/$$h; done
	$(if $(filter %.1,$(MAN)),install -m 644 $(filter %.1,$(MAN)) $(D)/share/man/man1/)
	$(if $(MAN),install -m 644 $(filter-out %.1,$(MAN)) $(D)/share/bash-completion/completions/)
uninstall:                              ## what install put there
	rm -f $(TOOLS:$(BUILD)/bin/%=$(D)/bin/%) $(TOOLS:$(BUILD)/bin/%=$(D)/share/man/man1/%.1) \
		$(TOOLS:$(BUILD)/bin/%=$(D)/share/bash-completion/completions/%) \
		$(D)/lib/libonnxadapt.a $(D)/lib/libonnxadapt.so $(D)/lib/$(SONAME) \
		$(D)/lib/pkgconfig/onnx-adapt.pc
	rm -rf $(D)/include/onnx-adapt
$(BUILD)/onnx-adapt.pc: lib/base/version.h Makefile
	@mkdir -p $(@D)
	@printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$${prefix}/lib' 'includedir=$${prefix}/include/onnx-adapt' '' \
		'Name: onnx-adapt' 'Description: fine-tuning of ONNX models on the CPU' 'Version: $(VERSION)' \
		'Requires.private: $(PKGS)' 'Libs: -L$${libdir} -lonnxadapt' 'Libs.private: -lm -pthread' \
		'Cflags: -I$${includedir}' >$@

# ---- what must be there ----------------------------------------------------------------------------
deps:                                   ## install what the build needs (Debian, Ubuntu; asks sudo)
	@run() { if [ "$$(id -u)" = 0 ]; then "$$@"; else sudo "$$@"; fi; }; \
	run apt-get update -qq && \
	run env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
		$(patsubst cc,gcc,$(DEBS))

# One line that names everything missing.
define look
	@no=; miss() { no="$$no$${no:+, }$$1 (Debian: $$2)"; }; \
	for x in $(1); do command -v "$${x%%:*}" >/dev/null || miss "$${x%%:*}" "$${x#*:}"; done; \
	for x in $(2); do pkg-config --exists "$${x%%:*}" 2>/dev/null || miss "$${x%%:*}" "$${x#*:}"; done; \
	for x in $(3); do echo "#include <$${x%%:*}>" | $(CC) -E - >/dev/null 2>&1 || \
		miss "$${x%%:*}" "$${x#*:}"; done; \
	if [ -n "$$no" ]; then echo "missing: $$no; run 'make deps'" >&2; exit 1; fi
endef
needs:
	$(call look,$(NEED_CMD),$(NEED_PC),$(NEED_H))
needs-test: needs
	$(call look,$(TEST_CMD),$(NEED_TEST),)

clean:                                  ## remove what was built
	rm -rf $(BUILD)
help:                                   ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20
	@echo "  variables: BUILD=$(BUILD) CC=$(CC) PREFIX=$(PREFIX) DESTDIR, CFLAGS, Q= (shows commands)"

.PHONY: all man page demo tests test test-peers test-cpus bench bench-full bench-operators lint headers san install uninstall \
        deps needs needs-test clean help
.SECONDARY:
-include $(wildcard $(patsubst %.o,%.d,$(OBJ) $(TOOLOBJ) $(TESTOBJ) $(TOOLS:$(BUILD)/bin/%=$(BUILD)/tools/%.o)))

# onnx-adapt.  `make deps` installs what the build needs, `make` builds, `make help` lists the rest.
BUILD   ?= build
CC      ?= cc
OPT     ?= -O2 -g
WARN    := -Wall -Wextra -Wpedantic -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings
WERROR  ?= -Werror
SAN     ?=
PKGS    := libprotobuf-c openblas yaml-0.1 libjpeg libpng libwebp libexif jansson libxxhash libzip zlib

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
LIB     := $(BUILD)/libonnxadapt.a
TOOLS   := $(patsubst tools/%.c,$(BUILD)/bin/%,$(wildcard tools/onnx-*.c))
TOOLOBJ := $(patsubst %.c,$(BUILD)/%.o,$(filter-out $(wildcard tools/onnx-*.c),$(wildcard tools/*.c)))
TOOLLIB := $(BUILD)/tools/common.a
MAN     := $(TOOLS:$(BUILD)/bin/%=$(BUILD)/man/%.1) $(TOOLS:$(BUILD)/bin/%=$(BUILD)/completion/%)

all: $(TOOLS) $(LIB)

$(BUILD)/proto/onnx.pb-c.c $(BUILD)/proto/onnx.pb-c.h &: proto/onnx.proto
	@mkdir -p $(@D)
	protoc-c --proto_path=proto --c_out=$(BUILD)/proto onnx.proto
$(BUILD)/proto/onnx.pb-c.o: $(BUILD)/proto/onnx.pb-c.c
	$(CC) $(CFLAGS_ALL) -c -o $@ $<
$(BUILD)/%.f32.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -O3 -c -o $@ $<
$(BUILD)/%.f64.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -O3 -DONX_F64 -c -o $@ $<
$(BUILD)/lib/%.o: lib/%.c | $(PROTO:%.proto=$(BUILD)/%.pb-c.h)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -c -o $@ $<
$(BUILD)/tools/%.o: tools/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -c -o $@ $<
$(LIB): $(OBJ)
	@rm -f $@
	$(AR) rcs $@ $^
$(TOOLLIB): $(TOOLOBJ)
	@rm -f $@
	$(AR) rcs $@ $^
$(BUILD)/bin/%: $(BUILD)/tools/%.o $(TOOLLIB) $(LIB)
	@mkdir -p $(@D)
	$(CC) -o $@ $< $(TOOLLIB) $(LIB) $(LDLIBS_ALL)

# Manual pages and bash completion are printed by the programs from their option tables.
man: $(MAN)
$(BUILD)/man/%.1: $(BUILD)/bin/%
	@mkdir -p $(@D)
	$< --help=man >$@.part && mv $@.part $@
$(BUILD)/completion/%: $(BUILD)/bin/%
	@mkdir -p $(@D)
	$< --help=complete >$@.part && mv $@.part $@

clean:
	rm -rf $(BUILD)

.PHONY: all man clean
.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

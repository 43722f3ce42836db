# Lov: `make help` lists what there is to do.
#
# Everything that is built goes to build/. VARIANT=asan and VARIANT=tsan build the same files with
# a sanitizer into build/asan and build/tsan.

ifeq ($(MAKELEVEL),0)
ifeq ($(filter -j%,$(MAKEFLAGS)),)
MAKEFLAGS += -j2
endif
endif
MAKEFLAGS += --no-builtin-rules

VERSION = 0.1.0
PREFIX ?= /usr/local
DESTDIR ?=
# How long each fuzzer runs: by `make fuzz`, and by `make fuzz-quick` as a part of the tests.
FUZZ_SECONDS ?= 600
FUZZ_QUICK_SECONDS ?= 4

B := build$(if $(VARIANT),/$(VARIANT))

# ---- flags ----

LIBRARIES = libmicrohttpd gnutls jansson sqlite3 libcrypto libcyaml yaml-0.1 libcmark libcurl libqrencode libargon2 libcbor libarchive pangocairo

WARNINGS = -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes \
	-Wmissing-prototypes -Wvla -Wformat=2 -Wundef
HARDENING = -fstack-protector-strong -fstack-clash-protection -fPIE
HARDENING_LINK = -pie -Wl,-z,relro,-z,now

ifeq ($(VARIANT),)
CC = gcc
OPTIMISE = -O2 -g -D_FORTIFY_SOURCE=2
else ifeq ($(VARIANT),asan)
# fuzzer-no-link counts the paths taken, so that unit tests and fuzzers share these objects.
CC = clang
SANITIZE = -fsanitize=address,undefined -fno-sanitize-recover=undefined
OPTIMISE = -O1 -g -fno-omit-frame-pointer $(SANITIZE) -fsanitize=fuzzer-no-link
else ifeq ($(VARIANT),tsan)
CC = clang
SANITIZE = -fsanitize=thread
OPTIMISE = -O1 -g -fno-omit-frame-pointer $(SANITIZE)
else
$(error VARIANT is empty, asan or tsan)
endif
ifneq ($(VARIANT),)
# clang asks for literal formats even where a va_list is passed on, gcc does not.
WARNINGS += -Wno-format-nonliteral
endif

ifneq ($(filter true 1,$(CI) $(STRICT)),)
WERROR = -Werror
endif

# Their headers are not ours to check.
PKG_CFLAGS := $(patsubst -I%,-isystem%,$(shell pkg-config --cflags $(LIBRARIES) 2>/dev/null))
PKG_LIBS := $(shell pkg-config --libs $(LIBRARIES) 2>/dev/null)

COMPILE = $(CC) -std=gnu17 -D_GNU_SOURCE $(OPTIMISE) $(WARNINGS) $(WERROR) $(HARDENING) \
	-DLOV_VERSION='"$(VERSION)"' -Isrc -Iinclude $(PKG_CFLAGS) $(CFLAGS) -MMD -MP
LINK = $(CC) $(SANITIZE) $(HARDENING_LINK) $(LDFLAGS)
LIBS = $(PKG_LIBS) -lpthread -lm

# ---- files ----

SOURCES := $(wildcard src/*/*.c)
MAIN := $(B)/obj/src/cli/main.o
GENERATED := build/gen/schema.c build/gen/policy.c build/gen/web.c
OBJECTS := $(filter-out $(MAIN),$(SOURCES:%.c=$(B)/obj/%.o)) \
	$(GENERATED:build/gen/%.c=$(B)/obj/gen/%.o)
LIBRARY := $(B)/server.a
PROGRAM := $(if $(wildcard src/cli/main.c),$(B)/lov)
UNITS := $(patsubst test/unit/%.c,$(B)/unit/%,$(wildcard test/unit/test_*.c))
FUZZERS := $(patsubst test/fuzz/%.c,build/fuzz/%,$(wildcard test/fuzz/fuzz_*.c))
BENCHES := $(patsubst bench/%.c,$(B)/bench/%,$(wildcard bench/*.c))
# liblov: the reading half of the permit index, from the same objects as the server.
LOV_ABI = 1
LOV_SOURCES := $(wildcard src/permit/*.c) src/base/cmac.c src/base/civil.c
LOV_OBJECTS := $(LOV_SOURCES:%.c=$(B)/obj/%.o)
LOV_SHARED := $(B)/liblov.so.$(LOV_ABI)
LOV_STATIC := $(B)/liblov.a
LOV_FILES := $(LOV_SHARED) $(LOV_STATIC)

FORMATTED = $(wildcard src/*/*.[ch] include/*.h test/unit/*.[ch] test/fuzz/*.[ch] bench/*.[ch] \
	examples/*.c)

# ---- packages (Debian 12's names) ----

PACKAGES = gcc make pkg-config libc6-dev libmicrohttpd-dev libgnutls28-dev libjansson-dev \
	libsqlite3-dev libssl-dev libcyaml-dev libyaml-dev libcmark-dev libcurl4-openssl-dev libqrencode-dev \
	libargon2-dev libcbor-dev libarchive-dev libpango1.0-dev fonts-dejavu-core \
	binutils python3 python3-pip ca-certificates
TEST_PACKAGES = libcmocka-dev clang clang-tidy clang-format libclang-rt-14-dev python3-pytest python3-pytest-xdist \
	python3-pyld zbar-tools chromium chromium-driver python3-selenium poppler-utils \
	python3-requests python3-hypothesis python3-jsonschema python3-yaml sqlite3 curl jq openssl \
	bash-completion man-db faketime golang-go golang-golang-x-mod-dev python3-aiosmtpd
# For tests alone: how Node calls a C library; what is wrong with a page for those who cannot see it; an
# OpenID provider.
NODE_PACKAGES = koffi@3.3.4 axe-core@4.14.1 oidc-provider@9.13.3
BENCH_PACKAGES = wrk nginx-light postgresql redis-server redis-tools liblmdb-dev libpq-dev

# ---- what to do ----

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.PHONY: all help deps test-deps bench-deps libraries run units test asan tsan fuzzers fuzz \
	fuzz-quick benches bench bench-full format format-check lint install uninstall clean FORCE

## make            build build/lov and build/liblov.*
all: $(LIBRARY) $(PROGRAM) $(LOV_FILES)

## make help       this list
help:
	@sed -n 's/^## //p' Makefile

## make run        install what is missing, build, and start a demo company on 127.0.0.1:8787
run: deps
	@$(MAKE) --no-print-directory all
	@$(MAKE) --no-print-directory demo
	@tools/run_demo build/lov demo

## make deps       install the packages that building needs (as root)
deps:
	@tools/install_packages $(PACKAGES)

## make test-deps  ... and those that testing needs
test-deps: deps
	@tools/install_packages $(TEST_PACKAGES)
	@tools/install_node_packages .cache/node $(NODE_PACKAGES)

## make bench-deps ... and those that measuring needs
bench-deps: deps
	@tools/install_packages $(BENCH_PACKAGES)

## make test       all tests; test/run --help tells how to run some
test: test-deps
	@$(MAKE) --no-print-directory all
	@test/run

## make units      build the unit tests (VARIANT=asan|tsan with a sanitizer)
units: $(UNITS)

## make asan       unit and system tests under AddressSanitizer and UBSan
asan:
	@test/run unit-asan system-asan

## make tsan       unit and system tests under ThreadSanitizer
tsan:
	@test/run unit-tsan system-tsan

## make fuzz       each fuzzer for FUZZ_SECONDS (600)
fuzz:
	@test/run fuzz --seconds $(FUZZ_SECONDS)

## make fuzz-quick each fuzzer for a few seconds, as the tests do
fuzz-quick:
	@test/run fuzz --seconds $(FUZZ_QUICK_SECONDS)

## make bench      measure against nginx and PostgreSQL in one run, a few minutes
bench: bench-deps
	@$(MAKE) --no-print-directory all benches
	@bench/run

## make bench-full the same, with 76 million consumers: in process (16 GB of memory, 20 GB of disk), and
##                 imported (340 GB of disk)
bench-full: bench
	@bench/run --consumers 76000000 permits audience
	@bench/run --imported 76000000 import

## make format     lay out the C as .clang-format says
format:
	clang-format -i $(FORMATTED)

format-check:
	@wrong=$$(clang-format --dry-run -Werror $(FORMATTED) 2>&1) || { \
		echo "$$wrong" | sed -n 's/:[0-9]*:[0-9]*: error: .*//p; /not found/p' | sort -u; \
		echo 'These are not laid out as .clang-format says: `make format` does it.'; exit 1; }

## make lint       layout and clang-tidy
lint: test-deps format-check
	@printf '%s\n' $(filter %.c,$(filter src/%,$(FORMATTED))) | xargs -n 4 -P 2 sh -c \
		'clang-tidy --quiet "$$@" -- -std=gnu17 -D_GNU_SOURCE $(WARNINGS) -DLOV_VERSION=\"$(VERSION)\" \
		-Isrc -Iinclude $(PKG_CFLAGS) 2>&1' clang-tidy

## make install    to PREFIX (/usr/local), below DESTDIR
install: all
	@mkdir -p build/gen
	install -D -m 755 build/lov $(DESTDIR)$(PREFIX)/bin/lov
	install -D -m 644 include/lov.h $(DESTDIR)$(PREFIX)/include/lov.h
	install -D -m 755 build/liblov.so.$(LOV_ABI) $(DESTDIR)$(PREFIX)/lib/liblov.so.$(LOV_ABI)
	ln -sf liblov.so.$(LOV_ABI) $(DESTDIR)$(PREFIX)/lib/liblov.so
	install -D -m 644 build/liblov.a $(DESTDIR)$(PREFIX)/lib/liblov.a
	sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|' src/permit/lov.pc.in > build/gen/lov.pc
	install -D -m 644 build/gen/lov.pc $(DESTDIR)$(PREFIX)/lib/pkgconfig/lov.pc
	build/lov man > build/gen/lov.1
	build/lov completion bash > build/gen/lov.bash
	install -D -m 644 build/gen/lov.1 $(DESTDIR)$(PREFIX)/share/man/man1/lov.1
	install -D -m 644 build/gen/lov.bash \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/lov

## make uninstall
uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/lov $(DESTDIR)$(PREFIX)/share/bash-completion/completions/lov
	rm -f $(DESTDIR)$(PREFIX)/share/man/man1/lov.1 $(DESTDIR)$(PREFIX)/include/lov.h
	rm -f $(DESTDIR)$(PREFIX)/lib/liblov.so.$(LOV_ABI) $(DESTDIR)$(PREFIX)/lib/liblov.so
	rm -f $(DESTDIR)$(PREFIX)/lib/liblov.a $(DESTDIR)$(PREFIX)/lib/pkgconfig/lov.pc

## make clean      remove build/
clean:
	rm -rf build

# ---- how ----

# Says which library is missing and what to do, before the compiler says it in its own way.
libraries:
	@pkg-config --exists --print-errors $(LIBRARIES) || \
		{ echo 'A library is missing: `make deps` installs it.' >&2; exit 1; }

$(B)/obj/%.o: %.c Makefile | libraries
	@mkdir -p $(@D)
	@echo "CC $@"
	@$(COMPILE) -c $< -o $@

$(B)/obj/gen/%.o: build/gen/%.c Makefile | libraries
	@mkdir -p $(@D)
	@echo "CC $@"
	@$(COMPILE) -c $< -o $@

# Tests take from the library what they use, so that a module can be tested before all of them link.
$(LIBRARY): $(OBJECTS)
	@rm -f $@
	@ar rcs $@ $^

# Any program can load what liblov is made of.
$(LOV_OBJECTS): HARDENING := $(filter-out -fPIE,$(HARDENING)) -fPIC
# A decision is a dozen small functions in as many files: liblov is optimised as one.
ifeq ($(VARIANT),)
LOV_LTO = -O3 -fno-plt -flto=auto -ffat-lto-objects --param=logical-op-non-short-circuit=0
$(LOV_OBJECTS): OPTIMISE += $(LOV_LTO)
endif

$(LOV_SHARED): $(LOV_OBJECTS) src/permit/liblov.map
	@echo "LD $@"
	@$(CC) $(SANITIZE) $(OPTIMISE) $(LOV_LTO) -shared -Wl,-soname,liblov.so.$(LOV_ABI) -Wl,-z,relro,-z,now,-z,defs \
		-Wl,--version-script=src/permit/liblov.map $(LDFLAGS) $(LOV_OBJECTS) -o $@
	@ln -sf liblov.so.$(LOV_ABI) $(B)/liblov.so

# One object that shows what lov.h names and hides the rest.
$(LOV_STATIC): $(LOV_OBJECTS)
	@$(if $(VARIANT),$(LD) -r,$(CC) $(OPTIMISE) $(LOV_LTO) -r -flinker-output=nolto-rel) \
		$(LOV_OBJECTS) -o $(B)/obj/liblov.o
	@objcopy --wildcard --keep-global-symbol='lov_*' $(B)/obj/liblov.o
	@rm -f $@
	@ar rcs $@ $(B)/obj/liblov.o

$(B)/lov: $(MAIN) $(LIBRARY)
	@echo "LD $@"
	@$(LINK) $^ $(LIBS) -o $@

$(B)/unit/%: $(B)/obj/test/unit/%.o $(LIBRARY)
	@mkdir -p $(@D)
	@echo "LD $@"
	@$(LINK) $^ $(LIBS) -lcmocka -o $@

benches: $(BENCHES)
$(B)/bench/permits: LIBS += -llmdb
$(B)/bench/gdpr: LIBS += -lpq
$(B)/obj/bench/gdpr.o: COMPILE += -I/usr/include/postgresql
$(B)/bench/%: $(B)/obj/bench/%.o $(LOV_STATIC) $(LIBRARY)
	@mkdir -p $(@D)
	@echo "LD $@"
	@$(LINK) $^ $(LIBS) -o $@

# Fuzzers link the objects of VARIANT=asan.
ifeq ($(VARIANT),asan)
fuzzers: $(FUZZERS)
build/fuzz/%: $(B)/obj/test/fuzz/%.o $(LIBRARY)
	@mkdir -p $(@D)
	@echo "LD $@"
	@$(LINK) -fsanitize=fuzzer $^ $(LIBS) -o $@
else
fuzzers:
	@$(MAKE) --no-print-directory VARIANT=asan fuzzers
endif

.SECONDARY:
-include $(OBJECTS:.o=.d) $(MAIN:.o=.d) $(UNITS:$(B)/unit/%=$(B)/obj/test/unit/%.d) \
	$(FUZZERS:build/fuzz/%=$(B)/obj/test/fuzz/%.d) $(BENCHES:$(B)/bench/%=$(B)/obj/bench/%.d)

# Text that is part of the program. The list of names is a file too, so that a name that comes or
# goes is noticed.
SCHEMA_FILES := $(sort $(wildcard src/db/schema/*.sql))
WEB_FILES := $(sort $(wildcard web/*.html web/*.css web/*.json web/*.js web/*.svg))
POLICY_FILES := $(sort $(shell find policy -type f ! -name '.*' 2>/dev/null))

build/gen/schema.list: FORCE
	@mkdir -p $(@D)
	@echo '$(SCHEMA_FILES)' | cmp -s - $@ || echo '$(SCHEMA_FILES)' > $@
build/gen/policy.list: FORCE
	@mkdir -p $(@D)
	@echo '$(POLICY_FILES)' | cmp -s - $@ || echo '$(POLICY_FILES)' > $@

build/gen/web.list: FORCE
	@mkdir -p $(@D)
	@echo '$(WEB_FILES)' | cmp -s - $@ || echo '$(WEB_FILES)' > $@

build/gen/web.c: build/gen/web.list tools/embed $(WEB_FILES)
	@tools/embed embedded_web api/receipt_page.h web/ $(WEB_FILES) > $@
build/gen/schema.c: build/gen/schema.list tools/embed $(SCHEMA_FILES)
	@tools/embed embedded_schema db/schema.h src/db/schema/ $(SCHEMA_FILES) > $@
build/gen/policy.c: build/gen/policy.list tools/embed $(POLICY_FILES)
	@tools/embed embedded_policy cli/demo_policy.h policy/ $(POLICY_FILES) > $@

# Purchases for the demo company: CDNOW, a public set of the purchases of 23,570 people, which the
# package "lifetimes" carries. A copy beside this folder is used where there is one.
CDNOW := $(firstword $(wildcard ../shared/data/cdnow/CDNOW_master.txt) .cache/cdnow/CDNOW_master.txt)

.cache/cdnow/CDNOW_master.txt:
	@tools/fetch_cdnow $@

# The folder demo/: made once.
demo:
	@$(MAKE) --no-print-directory all $(CDNOW)
	@echo 'Making a demo company of 23,570 customers in demo/'
	@build/lov demo --dir demo --purchases $(CDNOW) --json >/dev/null

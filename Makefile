# tiktok_events: PGXS makefile.  make, make install, make installcheck;
# make unit builds the tests that need no server, make fuzz its
# libFuzzer targets; make FAULT_POINTS=1 a library for t/faults/ alone;
# make dist the release archives.  Builds in another folder with make -f.

EXTENSION = tiktok_events

# Files of the source tree by pattern, named relative to it
srctree := $(patsubst %/,%,$(dir $(firstword $(MAKEFILE_LIST))))
files = $(patsubst $(srctree)/%,%,$(sort $(wildcard $(addprefix $(srctree)/,$(1)))))

# The one place that says the version; PGXN and its META.json want three numbers
EXTVERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" $(srctree)/$(EXTENSION).control)
SEMVERSION := $(EXTVERSION)$(if $(word 3,$(subst ., ,$(EXTVERSION))),,.0)

FOLDERS = src src/server src/event src/answer src/enqueue src/deliver src/operate
MODULE_big = tiktok_events
OBJS = $(patsubst %.c,%.o,$(call files,$(addsuffix /*.c,$(FOLDERS))))

DATA = $(call files,schema/upgrade/*.sql)
DATA_built = $(EXTENSION)--$(EXTVERSION).sql

REGRESS = $(patsubst sql/%.sql,%,$(call files,sql/*.sql))
REGRESS_OPTS = --encoding=UTF8 --load-extension=tiktok_events
ISOLATION = $(patsubst specs/%.spec,%,$(call files,specs/*.spec))
ISOLATION_OPTS = --load-extension=tiktok_events
TAP_TESTS ?= 1

PG_CPPFLAGS = -I$(srctree)/src -DTTE_VERSION='"$(EXTVERSION)"'
ifdef FAULT_POINTS
PG_CPPFLAGS += -DTTE_FAULT_POINTS
endif
SHLIB_LINK = -lcurl -lcrypto

UNITS = $(patsubst %.c,%,$(call files,t/unit/*.c))
FUZZERS = $(patsubst %.c,%,$(call files,fuzz/fuzz_*.c))
EXTRA_CLEAN = $(UNITS) t/unit/libtte.a $(addsuffix /*.unit.o,$(FOLDERS)) $(FUZZERS) META.json $(DIST).zip $(DIST).tar.gz t/__pycache__ t/unit/__pycache__ bench/__pycache__

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

$(OBJS) $(OBJS:.o=.bc): $(call files,$(addsuffix /*.h,$(FOLDERS))) | $(addprefix $(CURDIR)/,$(FOLDERS))

# By full names: VPATH would find those of the source tree
$(addprefix $(CURDIR)/,$(FOLDERS)):
	mkdir -p $@

$(EXTENSION)--$(EXTVERSION).sql: $(call files,schema/*.sql)
	cat $^ > $@

UNIT_SOURCES = $(call files,src/event/*.c src/answer/*.c) src/deliver/window.c src/deliver/exchange.c src/deliver/multi.c src/deliver/memory.c src/deliver/token.c
FRONTEND = -DFRONTEND -I$(shell $(PG_CONFIG) --includedir-server) $(CPPFLAGS)
FRONTEND_LIBS = -L$(shell $(PG_CONFIG) --libdir) -L$(shell $(PG_CONFIG) --pkglibdir) -lpgcommon -lpgport

.PHONY: unit
unit: $(UNITS)

# The sources without a server, once for all programs
UNIT_OBJS = $(UNIT_SOURCES:.c=.unit.o)

%.unit.o: %.c
	mkdir -p $(@D)
	$(CC) $(CFLAGS) -fvisibility=default $(FRONTEND) -c $< -o $@

$(UNIT_OBJS): $(call files,src/*/*.h)

t/unit/libtte.a: $(UNIT_OBJS)
	mkdir -p $(@D)
	rm -f $@
	$(AR) rcs $@ $^

$(UNITS): %: %.c t/unit/libtte.a $(call files,t/unit/*.h)
	mkdir -p $(@D)
	$(CC) $(CFLAGS) -fvisibility=default $(FRONTEND) $(filter %.c %.a,$^) -o $@ $(FRONTEND_LIBS) -lcurl -lssl -lcrypto -lm

FUZZ_CC ?= clang
FUZZ_FLAGS ?= -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all

.PHONY: fuzz
fuzz: $(FUZZERS)

$(FUZZERS): %: %.c fuzz/fuzz.h t/unit/arena.h $(call files,src/event/*.[ch] src/answer/*.[ch])
	mkdir -p $(@D)
	$(FUZZ_CC) -Wall -Wno-ignored-attributes $(FUZZ_FLAGS) $(FRONTEND) $(filter %.c,$^) -o $@ $(FRONTEND_LIBS) -lcrypto -lm

META.json: META.json.in $(EXTENSION).control check-maintainer
	sed 's/@VERSION@/$(SEMVERSION)/; s/@MAINTAINER@/$(MAINTAINER)/' $< > $@

# Nothing is released in the name of nobody
.PHONY: check-maintainer
check-maintainer:
	@case '$(MAINTAINER)' in \
		*example.com*|'') echo "name who answers for the release: make dist MAINTAINER='Name <address>'"; exit 1;; \
		?*' <'?*@?*'>') ;; \
		*) echo "MAINTAINER is not of the form 'Name <address>'"; exit 1;; \
	esac

# What names the version and is not made from the control file
.PHONY: check-version
check-version:
	@head -1 $(srctree)/debian/changelog | grep -qF '($(EXTVERSION)-' || { echo 'debian/changelog is not about $(EXTVERSION)'; exit 1; }
	@grep -m1 '^## ' $(srctree)/CHANGELOG.md | grep -qwF '$(EXTVERSION)' || { echo 'CHANGELOG.md does not begin with $(EXTVERSION)'; exit 1; }

# What is committed, with META.json
DIST = $(EXTENSION)-$(EXTVERSION)

.PHONY: dist
dist: check-version META.json
	git archive --prefix=$(DIST)/ --add-file=META.json -o $(DIST).zip HEAD
	git archive --prefix=$(DIST)/ --add-file=META.json -o $(DIST).tar.gz HEAD

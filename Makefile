# tiktok_events: PGXS makefile.  make, make install, make installcheck;
# make unit builds the tests of src/event/ that need no server, make fuzz its
# libFuzzer targets; make FAULT_POINTS=1 a library for t/faults/ alone.

EXTENSION = tiktok_events
EXTVERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" $(EXTENSION).control)

MODULE_big = tiktok_events
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/enqueue/*.c src/event/*.c src/deliver/*.c src/operate/*.c)))

DATA = $(wildcard schema/upgrade/*.sql)
DATA_built = $(EXTENSION)--$(EXTVERSION).sql
SCHEMA_PARTS = $(sort $(wildcard schema/*.sql))

REGRESS = $(patsubst sql/%.sql,%,$(sort $(wildcard sql/*.sql)))
REGRESS_OPTS = --inputdir=. --encoding=UTF8 --load-extension=tiktok_events
ISOLATION = $(patsubst specs/%.spec,%,$(sort $(wildcard specs/*.spec)))
ISOLATION_OPTS = --inputdir=. --load-extension=tiktok_events
TAP_TESTS ?= 1

PG_CPPFLAGS = -Isrc -DTTE_VERSION='"$(EXTVERSION)"'
ifdef FAULT_POINTS
PG_CPPFLAGS += -DTTE_FAULT_POINTS
endif
SHLIB_LINK = -lcurl -lcrypto

UNITS = $(patsubst %.c,%,$(sort $(wildcard t/unit/*.c)))
FUZZERS = $(patsubst %.c,%,$(sort $(wildcard fuzz/fuzz_*.c)))
EXTRA_CLEAN = $(EXTENSION)--$(EXTVERSION).sql $(UNITS) $(FUZZERS)

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

$(OBJS): $(wildcard src/*.h src/enqueue/*.h src/event/*.h src/deliver/*.h)

$(EXTENSION)--$(EXTVERSION).sql: $(SCHEMA_PARTS)
	cat $^ > $@

UNIT_SOURCES = $(wildcard src/event/*.c) src/deliver/window.c src/deliver/http.c src/deliver/token.c

.PHONY: unit
unit: $(UNITS)

t/unit/%: t/unit/%.c $(UNIT_SOURCES)
	$(CC) -DFRONTEND $(CFLAGS) -Isrc -I$(shell $(PG_CONFIG) --includedir-server) $(CPPFLAGS) \
		$< $(UNIT_SOURCES) -o $@ -L$(shell $(PG_CONFIG) --libdir) -L$(shell $(PG_CONFIG) --pkglibdir) \
		-lpgcommon -lpgport -lcurl -lssl -lcrypto -lm

FUZZ_CC ?= clang
FUZZ_FLAGS ?= -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all

.PHONY: fuzz
fuzz: $(FUZZERS)

fuzz/%: fuzz/%.c fuzz/fuzz.h t/unit/arena.h $(wildcard src/event/*.[ch])
	$(FUZZ_CC) -DFRONTEND -Wall -Wno-ignored-attributes $(FUZZ_FLAGS) -Isrc -I$(shell $(PG_CONFIG) --includedir-server) $(CPPFLAGS) \
		$< $(wildcard src/event/*.c) -o $@ -L$(shell $(PG_CONFIG) --libdir) -L$(shell $(PG_CONFIG) --pkglibdir) \
		-lpgcommon -lpgport -lcrypto -lm

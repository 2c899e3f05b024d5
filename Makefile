# taskctl: GNU make, no configure step.  make, make check, make bench, make install.
VERSION := 0.1.0

PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
SBINDIR    ?= $(PREFIX)/sbin
LIBEXECDIR ?= $(PREFIX)/libexec/taskctl
UNITDIR    ?= $(PREFIX)/lib/systemd/system
USERUNITDIR ?= $(PREFIX)/lib/systemd/user
DOCDIR     ?= $(PREFIX)/share/doc/taskctl
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
INSTALL    ?= install
PKG_CONFIG ?= pkg-config

# Every variant builds in a tree of its own: make SAN=address,undefined check; make CC=clang.
comma := ,
CCNAME := $(notdir $(firstword $(CC)))
BUILD := build$(if $(filter-out cc gcc,$(CCNAME)),-$(CCNAME))$(if $(SAN),-$(subst $(comma),-,$(SAN)))$(if $(FAULTS),-faults)

PKGS   := libevent_core jansson sqlite3
CFLAGS ?= -O2 -g
WARN   := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
          -Wwrite-strings -Wformat=2 -Wvla $(if $(DEV),-Werror)
HARDEN := -fstack-protector-strong -fPIE $(if $(SAN),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)

LAYERS := base os text core net cmd
INCLUDES := -Iinclude -Idaemon $(addprefix -Idaemon/,$(LAYERS) spawnd) -Iclient -Itests
ALL_CPPFLAGS := $(INCLUDES) -D_GNU_SOURCE -DTASKCTL_VERSION='"$(VERSION)"' \
                -DTASKCTL_LIBEXECDIR='"$(LIBEXECDIR)"' $(if $(FAULTS),-DTASKCTL_FAULTS) \
                $(shell $(PKG_CONFIG) --cflags $(PKGS)) $(CPPFLAGS)
ALL_CFLAGS   := -std=c11 $(WARN) $(HARDEN) $(SANFLAGS) $(CFLAGS)
ALL_LDFLAGS  := -pie -Wl,-z,relro,-z,now -Wl,--as-needed -pthread $(LDFLAGS)
LIBS         := $(shell $(PKG_CONFIG) --libs $(PKGS))
CHECK_LIBS    = $(shell $(PKG_CONFIG) --libs check)

# make V=1 shows the commands.
Q := $(if $(V),,@)
say = $(if $(V),,@echo '  $(1)  $@')

obj = $(patsubst %.c,$(BUILD)/%.o,$(1))

# Only main() stands outside the archives, so tests link the whole daemon and the whole client.
DAEMON_OBJS := $(call obj,$(wildcard $(addsuffix /*.c,$(addprefix daemon/,$(LAYERS))) daemon/server*.c))
CLIENT_OBJS := $(call obj,$(filter-out client/main.c,$(wildcard client/*.c)))
CHECKS      := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/check_*.c))
BENCHES     := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/bench/*.c))
EXAMPLES    := $(patsubst %.c,$(BUILD)/%,$(wildcard examples/*.c))
HELPERS     := $(BUILD)/tests/prog $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/misbehave.c))

# taskspawnd and the monitors are small, static and need libc only: musl where it is installed.
SPAWND_SRCS := $(wildcard daemon/spawnd/*.c) daemon/os/statfile.c daemon/os/cgroup.c \
               daemon/os/proc.c daemon/os/spawnwire.c
MUSL_GCC    := $(if $(SAN),,$(shell command -v musl-gcc 2>/dev/null))
STATIC_CC   := $(if $(MUSL_GCC),$(MUSL_GCC) -idirafter /usr/include \
               -idirafter /usr/include/$(shell gcc -print-multiarch 2>/dev/null),$(CC))
SPAWND_LINK := $(if $(SAN),$(SANFLAGS),-static)
CLIENT_STATIC := $(patsubst %.c,$(BUILD)/static/%.o,$(wildcard client/*.c) daemon/base/util.c \
               daemon/base/clock.c daemon/base/utf8.c daemon/text/value.c)
SPAWND_OBJS := $(patsubst %.c,$(BUILD)/static/%.o,$(SPAWND_SRCS))

.PHONY: all faults check unit e2e scenarios asan demo bench lint install uninstall clean fmt tests
.SECONDARY:
all: $(BUILD)/taskctld $(BUILD)/taskspawnd $(BUILD)/taskctl

$(BUILD)/libtaskctld.a: $(DAEMON_OBJS)
$(BUILD)/libclient.a: $(CLIENT_OBJS)
$(BUILD)/%.a:
	@rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/taskctld: $(BUILD)/daemon/main.o $(BUILD)/libtaskctld.a
	$(call say,LD)
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $^ $(ALL_LDFLAGS) $(LIBS)
# The client starts once a command: static, with musl where it is there, it starts three times as fast.
$(BUILD)/taskctl: $(if $(MUSL_GCC),$(CLIENT_STATIC),$(BUILD)/client/main.o $(BUILD)/libclient.a $(BUILD)/libtaskctld.a)
	$(call say,LD)
	$(Q)$(if $(MUSL_GCC),$(STATIC_CC) $(CFLAGS) -static -Wl$(comma)--gc-sections -o $@ $^,\
	    $(CC) $(ALL_CFLAGS) -o $@ $^ $(ALL_LDFLAGS) -ljansson)
$(BUILD)/taskspawnd: $(SPAWND_OBJS)
	$(call say,LD)
	$(Q)$(STATIC_CC) $(CFLAGS) $(SPAWND_LINK) -o $@ $^

$(BUILD)/static/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(STATIC_CC) $(INCLUDES) -D_GNU_SOURCE -DTASKCTL_VERSION='"$(VERSION)"' -std=c11 $(WARN) \
	    $(SANFLAGS) $(CFLAGS) -ffunction-sections -fdata-sections -MMD -MP -c -o $@ $<
$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/tests/check_%: $(BUILD)/tests/check_%.o $(BUILD)/libclient.a $(BUILD)/libtaskctld.a
	$(call say,LD)
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $^ $(ALL_LDFLAGS) $(LIBS) $(CHECK_LIBS)
$(BUILD)/tests/bench/%: $(BUILD)/tests/bench/%.o
	$(call say,LD)
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $^ $(ALL_LDFLAGS) $(LIBS)
$(BUILD)/tests/bench/static_true: tests/bench/static_true.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(if $(MUSL_GCC),$(MUSL_GCC),$(CC)) -O2 -static -o $@ $<
$(BUILD)/tests/prog: $(BUILD)/tests/scenarios/prog.o
	$(call say,LD)
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $^ $(ALL_LDFLAGS) -ljansson
$(BUILD)/tests/misbehave: $(BUILD)/tests/misbehave.o
	$(call say,LD)
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $^ $(ALL_LDFLAGS)
$(BUILD)/examples/%: examples/%.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE -Wall -Wextra $(CFLAGS) -o $@ $<
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

tests: all $(CHECKS) $(HELPERS) $(EXAMPLES)
# A daemon whose storage can be made to fail, for one of the end-to-end tests.
faults:
	@$(MAKE) --no-print-directory CC=cc SAN= FAULTS=1 all
# Everything: unit tests, end-to-end tests, scenarios, and the checks of the tree.
check: tests faults
	@python3 tests/run.py --build $(BUILD)
unit: tests
	@python3 tests/run.py --build $(BUILD) unit
e2e: tests faults
	@python3 tests/run.py --build $(BUILD) e2e
scenarios: tests
	@python3 tests/run.py --build $(BUILD) scenarios
# The main job on real input, to look at.
demo: all
	@sh tests/demo.sh $(BUILD)
asan:
	$(MAKE) SAN=address,undefined DEV=$(DEV) check
bench: all $(BENCHES)
	@TASKCTL_BUILD=$(BUILD) python3 tests/bench/run.py
lint:
	@python3 tests/lint.py
fmt:
	clang-format -i $(shell git ls-files '*.c' '*.h')

install: all
	$(INSTALL) -d $(addprefix $(DESTDIR),$(BINDIR) $(SBINDIR) $(LIBEXECDIR) $(UNITDIR) \
	    $(USERUNITDIR) $(SYSUSERSDIR) $(DOCDIR))
	$(INSTALL) -m 755 $(BUILD)/taskctl $(DESTDIR)$(BINDIR)/
	$(INSTALL) -m 755 $(BUILD)/taskctld $(DESTDIR)$(SBINDIR)/
	$(INSTALL) -m 755 $(BUILD)/taskspawnd $(DESTDIR)$(LIBEXECDIR)/
	$(INSTALL) -m 755 systemd/taskctld-stop $(DESTDIR)$(LIBEXECDIR)/
	for u in $(notdir $(wildcard systemd/system/*)); do sed -e 's|@SBINDIR@|$(SBINDIR)|g' \
	    -e 's|@BINDIR@|$(BINDIR)|g' -e 's|@LIBEXECDIR@|$(LIBEXECDIR)|g' systemd/system/$$u \
	    > $(DESTDIR)$(UNITDIR)/$$u || exit 1; done
	for u in $(notdir $(wildcard systemd/user/*)); do sed -e 's|@SBINDIR@|$(SBINDIR)|g' \
	    -e 's|@BINDIR@|$(BINDIR)|g' -e 's|@LIBEXECDIR@|$(LIBEXECDIR)|g' systemd/user/$$u \
	    > $(DESTDIR)$(USERUNITDIR)/$$u || exit 1; done
	$(INSTALL) -m 644 systemd/taskctl.sysusers $(DESTDIR)$(SYSUSERSDIR)/taskctl.conf
	$(INSTALL) -m 644 README.md include/protocol.md $(DESTDIR)$(DOCDIR)/
uninstall:
	rm -f $(DESTDIR)$(BINDIR)/taskctl $(DESTDIR)$(SBINDIR)/taskctld
	rm -f $(addprefix $(DESTDIR)$(UNITDIR)/,$(notdir $(wildcard systemd/system/*)))
	rm -f $(addprefix $(DESTDIR)$(USERUNITDIR)/,$(notdir $(wildcard systemd/user/*)))
	rm -f $(DESTDIR)$(SYSUSERSDIR)/taskctl.conf
	rm -rf $(DESTDIR)$(LIBEXECDIR) $(DESTDIR)$(DOCDIR)
clean:
	rm -rf build build-*

#!/bin/sh
# Installs with apt-get what is needed here: sh tests/setup.sh [build|test]...   (default: both)
# As root or with sudo. Does nothing where all of it is installed.
set -eu

build="make gcc libc6-dev pkg-config libevent-dev libjansson-dev libsqlite3-dev musl-tools"
test="check python3 netcat-openbsd netcat-traditional ncat socat busybox curl clang clang-format-14 cppcheck"

packages=
for group in ${*:-build test}; do
	case $group in
	build) packages="$packages $build" ;;
	test) packages="$packages $test" ;;
	*) echo "setup.sh: there is no group $group; there are build and test" >&2; exit 2 ;;
	esac
done

missing=
for p in $packages; do
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] ||
		missing="$missing $p"
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
	as_root=$(command -v sudo) || { echo "setup.sh: be root, or install sudo" >&2; exit 1; }
fi
echo "setup.sh: installing$missing"
apt="$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=600"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { $apt update && $apt install -y --no-install-recommends $missing; } >"$log" 2>&1 </dev/null; then
	cat "$log" >&2
	exit 1
fi

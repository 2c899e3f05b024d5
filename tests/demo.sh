#!/bin/sh
# What it is good for, on real input, in half a minute: a backup of /usr that is cancelled half-way
# with a message. Starts a daemon of its own in a temporary directory, and stops it again.
#
#   make demo        or: sh tests/demo.sh [BUILD_DIR]
set -eu
cd "$(dirname "$0")/.."
build=$(cd "${1:-build}" && pwd)
PATH=$build:$PATH
dir=$(mktemp -d /tmp/taskctl-demo.XXXXXX)
TASKCTL_HOST=unix:$dir/taskctl.sock
export PATH TASKCTL_HOST
unset NOTIFY_SOCKET LISTEN_FDS

say() { printf '\n# %s\n' "$*"; }
# Shows a command, then runs it. Its exit code is shown where it is not 0, and ends nothing.
show() {
	printf '$ %s\n' "$*"
	eval "$*" 2>&1 || printf '(exit code %d)\n' $?
}
finish() {
	kill "$daemon" 2>/dev/null && wait "$daemon" 2>/dev/null
	rm -rf "$dir"
}

say "A daemon, in the background. Under systemd it is a service."
printf '$ taskctld --socket %s/taskctl.sock ... &\n' "$dir"
taskctld --socket "$dir/taskctl.sock" --listen 127.0.0.1:0 --state-dir "$dir/state" \
	--runtime-dir "$dir/run" 2>"$dir/log" &
daemon=$!
trap finish EXIT
trap 'exit 130' INT TERM HUP
# grep ends when the line is there, or tail when the daemon has gone.
tail -n +1 -F --pid="$daemon" "$dir/log" 2>/dev/null | grep -m 1 "ready on" ||
	{ cat "$dir/log" >&2; exit 1; }

say "A backup of /usr. Should it be cancelled, a hook removes the half of an archive."
archive=$dir/usr.tar.gz
show "taskctl start --name backup --on-cancel 'rm -v $archive' --sh 'tar -cvzf $archive /usr'"
show "taskctl logs -f backup | head -n 2000 | tail -n 3"
show "ls -sh $archive"
show "taskctl ps"

say "Somebody needs the disk, and says so. --wait: until the tar, gzip and the hook have ended."
show "taskctl cancel backup -m 'the disk is needed for the release' --wait"
show "ls $archive"
show "taskctl show backup"

say "A deadline: it would take a minute, and has a second."
show "taskctl run --name build --timeout 1s --sh 'echo compiling; sleep 60; echo never seen'"

say "A script that traps the cancel, reads the reason and saves its state: it ends as it wants to."
cat >"$dir/count.sh" <<'SCRIPT'
trap 'echo "cancelled: $(taskctl self reason); saved at $i"; exit 0' TERM
i=0
while [ $i -lt 600 ]; do i=$((i + 1)); sleep 0.1 & wait $!; done
SCRIPT
show "taskctl start --name count -- sh $dir/count.sh"
show "taskctl wait count --timeout 1s"
show "taskctl cancel count -m 'reboot at noon' --wait"
show "taskctl logs count"
show "taskctl ps -a"

say "The end: the daemon stops; every task has its outcome, nothing is left."
show "taskctl daemon shutdown"
wait "$daemon"

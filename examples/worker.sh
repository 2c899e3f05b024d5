#!/bin/sh
# worker.sh - works for 5 seconds, and knows what to do when it is cancelled.
#
#   taskctl start -- ./worker.sh [MODE] [FILE]
#
# MODE says how it answers a cancel, or a deadline:
#   return   clean up, return "Canceled"        -> done, result "Canceled" (the cancel was absorbed)
#   reraise  clean up, then die of the signal   -> cancelled (timed_out, if it was the deadline)
#   ignore   go on                              -> killed when its grace is over
# FILE is what it makes (worker.out); FILE.part is there while it works.

mode=${1:-return}
file=${2:-worker.out}

# Why: taskctl writes the reason before it sends the signal.
reason() {
	why=
	if [ -n "$TASKCTL_CANCEL_FILE" ]; then
		why=$(cat "${TASKCTL_CANCEL_FILE%/*}/cancel.msg" 2>/dev/null)
	fi
	echo "${why:-no reason given}"
}

result() {
	if [ -n "$NOTIFY_SOCKET" ]; then
		taskctl self result "$1"
	fi
}

clean_up() {
	echo "cleaning up"
	sleep 0.3
	rm -f "$file.part"
	echo "clean"
}

on_cancel() {
	echo "cancelled: $(reason)"
	case $mode in
	ignore)
		echo "going on"
		return
		;;
	reraise)
		clean_up
		trap - TERM
		kill -s TERM $$
		;;
	*)
		clean_up
		result Canceled
		exit 0
		;;
	esac
}

trap on_cancel TERM
echo "working"
i=0
while [ "$i" -lt 50 ]; do
	echo "$i" >>"$file.part"
	# in the background, and waited for: so the trap runs at once, not after the sleep
	sleep 0.1 &
	wait $! 2>/dev/null # the signal reaches the sleep, too; no word of that
	i=$((i + 1))
done
mv "$file.part" "$file"
result finished
echo "finished"

#!/bin/sh
# save-state.sh - a long job that can be stopped at any moment and goes on where it was.
#
#   taskctl start --name job -- ./save-state.sh STATE [COUNT]
#   taskctl cancel job -m "the disk is needed"
#   cat STATE
#   taskctl start --name job -- ./save-state.sh STATE       # goes on
#
# On a cancel it reads the reason, saves how far it is, and then gives in: the task is `cancelled`.

state=${1:?usage: save-state.sh STATE [COUNT]}
count=${2:-100}
next=1
cancelled=

if [ -f "$state" ]; then
	next=$(sed -n 's/^next=//p' "$state")
	echo "going on with $next"
fi

# The whole file or none of it, whatever happens meanwhile.
save() {
	{
		echo "next=$next"
		echo "saved=$(date +%Y-%m-%dT%H:%M:%S)"
		echo "reason=$1"
	} >"$state.new" && mv "$state.new" "$state"
}

reason() {
	why=
	if [ -n "$TASKCTL_CANCEL_FILE" ]; then
		why=$(cat "${TASKCTL_CANCEL_FILE%/*}/cancel.msg" 2>/dev/null)
	fi
	echo "${why:-no reason given}"
}

# The work on one item. The signal may interrupt the waiting, or (it goes to the whole tree) the work:
# so wait until the work has ended, and say how.
do_item() {
	echo "item $1"
	sleep 0.1 &
	item=$!
	wait "$item"
	status=$?
	while kill -0 "$item" 2>/dev/null; do
		wait "$item"
		status=$?
	done
	return "$status"
}

# Only noted here: an item is done or not done, never half.
trap 'cancelled=yes' TERM

while [ "$next" -le "$count" ]; do
	if do_item "$next"; then
		next=$((next + 1))
	elif [ -z "$cancelled" ]; then
		save "item $next failed"
		exit 1
	fi
	if [ -n "$cancelled" ]; then
		why=$(reason)
		save "$why"
		echo "saved at $next: $why"
		trap - TERM
		kill -s TERM $$
	fi
done
rm -f "$state"
echo "all $count items done"

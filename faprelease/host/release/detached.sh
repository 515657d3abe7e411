# Run a script in a session of its own, and wait for it. It goes on if this one is stopped because its controller was killed:
# between a stop and a start, nobody else would start the app again. What goes on so is waited for before the next one begins.
# Needs: state, work (the script).
said=$state/detached.said
exec 8>>"$said" || exit 1
! command -v flock >/dev/null || flock -w 900 8 || { echo "the restart of an earlier run still goes on: try again"; exit 1; }
: >"$said"
$(command -v setsid) sh -c "$work" >>"$said" 2>&1 </dev/null &
wait $!
code=$?
cat "$said"
: >"$said"
exit "$code"

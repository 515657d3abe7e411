# Run a script in a session of its own, and wait for it. It goes on if this one is stopped because its controller was killed:
# between a stop and a start, nobody else would start the app again.
# Needs: state, work (the script).
said=$state/detached.said
$(command -v setsid) sh -c "$work" >"$said" 2>&1 </dev/null &
wait $!
code=$?
cat "$said"
rm -f "$said"
exit "$code"

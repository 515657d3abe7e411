# Report how long a stop of the program may take, to those who wait for it.
# Needs: lib/stop_seconds.sh.
printf '\rstop %s\n' "$stop"

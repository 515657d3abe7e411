# Make supervisord run a program from the release that `current` names.
# Needs: lib/stopwatch.sh, lib/supervisor.sh, lib/stop_seconds.sh, program, conf, rendered (what `processes` became), target, restart, refresh,
#   signal (to send instead of a restart, may be empty), processes (processes.py; empty without a signal), release,
#   before (the release that runs now, may be empty), environment (name of the environment file in a release).
# `restart` alone does not read a changed conf, and before the first release there is no program to restart: so the conf is
# linked and reread first, and `update` starts or restarts the program if its conf is new or changed.
# A release that was made with `processes` keeps them, whatever deploy.yml says now.
[ ! -f "$rendered" ] || conf=$rendered
if [ ! -f "$conf" ]; then
  echo "$conf is missing"
  exit 1
fi
if [ "$(readlink "$target" 2>/dev/null)" != "$conf" ]; then
  rm -f "$target.new" && ln -s "$conf" "$target.new" && mv -f "$target.new" "$target" || exit 1
fi
[ "$stop" -le 60 ] || echo "stopping $program may take up to $stop s (stopwaitsecs)"
# run WORD…: run supervisorctl, and measure the stop and the start by the lines that it prints.
run() {
  now; began=$now stopped=$now done=
  { PYTHONUNBUFFERED=1 timeout $((120 + stop)) supervisorctl "$@"; echo "exit $?"; } | {
    while IFS= read -r line; do
      case $line in
        'exit '*) code=${line#exit } ;;
        *': stopped'*) now; stopped=$now done=yes; echo "$line" ;;
        *': started'* | *'process group'*) done=yes; echo "$line" ;;
        *) echo "$line" ;;
      esac
    done
    now
    [ -z "$done" ] || took $((stopped - began)) $((now - stopped))
    exit "$code"
  }
}
[ -z "$refresh" ] || run stop "$program" "$program:*"
changes=$(timeout 60 supervisorctl reread) || { echo "$changes"; exit 1; }
echo "$changes"
case $changes in
  *ERROR* | *rror:*) exit 1 ;;
esac
updated=$(run update "$program") || { echo "$updated"; exit 1; }
echo "$updated"
case $updated in
  *'added process group'* | *'updated process group'*) exit 0 ;;
esac
[ -n "$restart$refresh$signal" ] || exit 0
program_status
if [ -n "$signal" ] && [ -z "$refresh" ]; then
  pids=$(echo "$status" | sed -n 's/.* RUNNING *pid \([0-9]*\),.*/\1/p')
  problem=$(python3 -I -S -c "$processes" reload "$signal" "$environment" "$before" "$release" $pids) || exit 1
  if [ -n "$problem" ]; then
    echo "warning: $program is restarted instead of getting $signal: $problem"
  else
    # A program that does not run can't get a signal.
    ! timeout 60 supervisorctl signal "$signal" "$program" || exit 0
  fi
fi
run restart "$program"

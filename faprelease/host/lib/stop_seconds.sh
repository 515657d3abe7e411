# How long supervisord waits for a stop: as long as the conf of the running program says, or 10 s.
# Needs: conf, rendered, before, own (path of the conf in a release).
# Gives: stop.
stop=$(sed -n 's/^[[:blank:]]*stopwaitsecs[[:blank:]]*=[[:blank:]]*0*\([0-9]\{1,6\}\).*/\1/p' \
  "$conf" "$rendered" "$before/$own" "$before/.fap/supervisor.conf" 2>/dev/null | sort -n | tail -n 1)
stop=${stop:-10}

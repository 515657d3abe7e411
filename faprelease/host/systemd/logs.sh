# Print the logs of a release's services.
# Needs: unit, conf (the unit's file in a release; empty: the unit is not ours to write), user (yes: ask the manager of
#   this user), release, reader (the text of programs/loglines.py), wanted (what it is to print, as JSON).
services=$unit target=
[ -z "$conf" ] || for target in "$release"/.fap/systemd/*.target; do
  [ ! -f "$target" ] || services=$(sed -n 's/^Wants=//p' "$target")
done
set --
for service in $services; do
  set -- "$@" -u "$service"
done
exec python3 -I -S -c "$reader" "$wanted" journal journalctl ${user:+--user} --no-pager -q "$@"

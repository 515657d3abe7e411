# Print the logs of a release's services.
# Needs: unit, conf (the unit's file in a release; empty: the unit is not ours to write), user (yes: ask the manager of
#   this user), release, follow (yes: go on as they grow; or empty).
services=$unit target=
[ -z "$conf" ] || for target in "$release"/.fap/systemd/*.target; do
  [ ! -f "$target" ] || services=$(sed -n 's/^Wants=//p' "$target")
done
set --
for service in $services; do
  set -- "$@" -u "$service"
done
exec journalctl ${user:+--user} --no-pager -q -n 100 "$@" ${follow:+-f}

# Make what systemd runs that of a release. It can be run again, however far it came.
# Needs: lib/systemd.sh, lib/stopwatch.sh, restart (a verb), release (its folder; empty: nothing of ours is to run any more), before (the one
# that ran before, may be empty), state.
# What stood there before our first release is kept in $state, and comes back with what ran then.

# restart_one UNIT: systemd knows when it had stopped (org.freedesktop.systemd1(5)), in millionths of a second.
restart_one() {
  now; begun=$now
  change "$restart" "$1" || return
  [ "$restart" = restart ] || return 0
  now
  stop=$(ask show -p ActiveExitTimestampMonotonic,InactiveEnterTimestampMonotonic "$1" | {
    while IFS='=' read -r name value; do
      case $name in Active*) from=$value ;; Inactive*) to=$value ;; esac
    done
    echo $(((${to:-0} - ${from:-0}) / 10000))
  })
  # One that did not run was not stopped.
  if [ "$stop" -ge 0 ] && [ "$stop" -le $((now - begun)) ]; then
    took "$stop" $((now - begun - stop))
  fi
}
[ -n "$conf" ] || { restart_one "$unit"; exit; }

# file_of UNIT: sets $file, the one that is to be in its place.
file_of() {
  if [ -n "$ours" ]; then
    file=$release/.fap/systemd/$1
    [ -d "$release/.fap/systemd" ] || file=$release/$conf
  else
    file=$state/$1
  fi
}
put() {
  file_of "$1"
  ! cmp -s "$file" "$place/$1" || return 0
  if [ -n "$user" ]; then
    mkdir -p "$place" && cp -f "$file" "$place/$1.new" && mv -f "$place/$1.new" "$place/$1"
  else
    as_owner tee "$place/$1" <"$file" >/dev/null
  fi
}

units_of "$before"
old=$units old_entry=$entry
units_of "$release"
ours=$units
if [ -z "$ours" ]; then
  for name in $old $unit; do
    if [ -f "$state/$name" ] && ! is_in "$units" "$name"; then
      units="$units $name"
      case $name in "$unit" | "$old_entry") entry=$name ;; esac
    fi
  done
  [ -n "$units" ] || echo "there was no ${old_entry:-$unit} before: it is stopped and removed"
elif [ -z "$old" ]; then
  for name in $units $unit; do
    file_of "$name"
    if [ ! -f "$place/$name" ]; then
      rm -f "$state/$name"
    elif ! cmp -s "$file" "$place/$name"; then
      cp -f "$place/$name" "$state/$name"
    fi || exit 1
  done
  [ ! -f "$place/$unit" ] || old=$unit old_entry=$unit
fi

for name in $units; do
  put "$name" || exit 1
done
change daemon-reload || exit 1
[ -z "$entry" ] || change enable "$entry" || exit 1
# All stop while their files are there, which say what belongs to what.
if [ -n "$old_entry" ] && [ "$old_entry" != "$entry" ] && [ -f "$place/$old_entry" ]; then
  change disable --now "$old_entry" || exit 1
fi
now; begun=$now
case $entry in
  *.target) change stop "$entry" || exit 1 ;;
esac
now; stopped=$now
removed=
for name in $old; do
  if ! is_in "$units" "$name" && [ -f "$place/$name" ]; then
    as_owner rm -f "$place/$name" || exit 1
    removed=yes
  fi
done
case $entry in
  '') ;;
  *.target)
    change start "$entry" || exit 1
    now
    took $((stopped - begun)) $((now - stopped))
    ;;
  *) restart_one "$entry" || exit 1 ;;
esac
[ -z "$removed" ] || change daemon-reload

# Make the unit that of the release, and run it from there.
# Needs: systemd.sh, restart (a verb), as_it_is (yes: that is all), conf (the release's file), before_conf (that
# of the release before), kept.
# What stood there before the first release of ours is kept in $kept, and comes back with what ran then.
[ -z "$as_it_is" ] || { change "$restart" "$unit"; exit; }
put() {
  if [ -n "$user" ]; then
    mkdir -p "${target%/*}" && cp "$1" "$target.new" && mv -f "$target.new" "$target"
  else
    as_owner tee "$target" <"$1" >/dev/null
  fi
}
if [ -f "$conf" ]; then
  if [ ! -f "$before_conf" ]; then
    rm -f "$kept" || exit 1
    if [ -f "$target" ] && ! cmp -s "$target" "$conf"; then
      cp "$target" "$kept" || exit 1
    fi
  fi
elif [ -f "$kept" ]; then
  conf=$kept
else
  echo "there was no $unit before: it is stopped and removed"
  [ ! -f "$target" ] || { change disable --now "$unit"; as_owner rm -f "$target"; change daemon-reload; }
  exit
fi
cmp -s "$conf" "$target" || put "$conf" || exit 1
change daemon-reload || exit 1
change enable "$unit" || exit 1
change "$restart" "$unit"

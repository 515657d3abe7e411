# Whose systemd it is, and what it runs of a release. Needs: unit, conf (the unit's file in a release; empty: the unit is not ours
# to write), user (yes: the manager of this user, else the system's, by sudo). Sets $place, the folder of the units.
if [ -n "$user" ]; then
  export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/run/user/$(id -u)}"
  place=${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user
else
  place=/etc/systemd/system
fi
ask() { systemctl ${user:+--user} --no-pager "$@"; }
as_owner() {
  if [ -n "$user" ] || [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}
change() { as_owner systemctl ${user:+--user} "$@"; }

# units_of RELEASE: sets $units to the files that it brings, $entry to the unit that starts all, and $services to those that run then.
# They are made of `processes` where the release has .fap/systemd, whatever deploy.yml says by now. One that brings nothing is
# another tool's, which has the unit too.
units_of() {
  units= entry= services=
  if [ -z "$conf" ]; then
    entry=$unit services=$unit
  elif [ -n "$1" ] && [ -d "$1/.fap/systemd" ]; then
    for file in "$1"/.fap/systemd/*; do
      name=${file##*/}
      units="$units $name"
      case $name in *.target) entry=$name services=$(sed -n 's/^Wants=//p' "$file") ;; esac
    done
  elif [ -n "$1" ] && [ -f "$1/$conf" ]; then
    units=$unit entry=$unit services=$unit
  else
    services=$unit
  fi
}
# is_in WORDS WORD
is_in() {
  case " $1 " in *" $2 "*) ;; *) return 1 ;; esac
}

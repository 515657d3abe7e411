# Whose systemd it is. Needs: unit, user (yes: that of this user, else the system's, by sudo).
# Sets $target, the file that holds the unit.
if [ -n "$user" ]; then
  export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/run/user/$(id -u)}"
  target=${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user/$unit
else
  target=/etc/systemd/system/$unit
fi
ask() { systemctl ${user:+--user} --no-pager "$@"; }
as_owner() {
  if [ -n "$user" ] || [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}
change() { as_owner systemctl ${user:+--user} "$@"; }

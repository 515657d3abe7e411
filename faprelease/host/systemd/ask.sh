# See that this user may do all that a release needs, before anything changes.
# Needs: lib/systemd.sh, restart (a verb), release (it may have nothing in it yet), before (the one that runs, may be empty), brings (the
# units of a release that has nothing in it yet), owner (whose processes the units run; empty: they don't say).
command -v systemctl >/dev/null || { echo "this host has no systemctl"; exit 1; }
if [ -n "$user" ]; then
  said=$(ask show-environment 2>&1) && exit
  echo "$(id -un) has no systemd of its own: $said"
  echo "once, on this host: sudo loginctl enable-linger $(id -un)"
  exit 1
fi
[ -z "$owner" ] || [ "$owner" = "$(id -un)" ] || {
  echo "the units would run as $owner, and the release is $(id -un)'s; in deploy.yml: sudo_user: $(id -un)"
  exit 1
}
[ "$(id -u)" != 0 ] || exit 0
units_of "$before"
files=$units entries=$entry
if [ -z "$files" ] && [ -n "$conf" ] && [ -f "$place/$unit" ]; then
  # What is there before our first release makes room for ours.
  files=$unit entries=$unit
fi
units_of "$release"
for name in ${units:-$brings}; do
  is_in "$files" "$name" || files="$files $name"
  case $name in
    *@.service) ;;
    *) is_in "$entries" "$name" || entries="$entries $name" ;;
  esac
done
list() {
  if [ -z "$conf" ]; then
    printf '%s\n' "systemctl $restart $unit"
    return
  fi
  for name in $files; do
    printf '%s\n' "tee $place/$name" "rm -f $place/$name"
  done
  printf '%s\n' "systemctl daemon-reload"
  for name in $entries; do
    printf '%s\n' "systemctl enable $name"
    case $name in
      *.target) printf '%s\n' "systemctl stop $name" "systemctl start $name" ;;
      *) printf '%s\n' "systemctl $restart $name" ;;
    esac
    printf '%s\n' "systemctl disable --now $name"
  done
}
commands=$(list) lines= missing=
while read -r command; do
  sudo -n -l $command >/dev/null 2>&1 || missing=yes
  path=$(command -v "${command%% *}")
  lines="$lines${lines:+, }$path ${command#* }"
done <<.
$commands
.
[ -z "$missing" ] || {
  echo "sudo does not let $(id -un) do all of this; once, on this host, by visudo -f /etc/sudoers.d/fapkit-$unit:"
  echo "  $(id -un) ALL=(root) NOPASSWD: $lines"
  exit 1
}

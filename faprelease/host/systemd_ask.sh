# See that this user may do all that a release needs, before anything changes.
# Needs: systemd.sh, restart (a verb), as_it_is (yes: the unit is not ours to write).
command -v systemctl >/dev/null || { echo "this host has no systemctl"; exit 1; }
if [ -n "$user" ]; then
  said=$(ask show-environment 2>&1) && exit
  echo "$(id -un) has no systemd of its own: $said"
  echo "once, on this host: sudo loginctl enable-linger $(id -un)"
  exit 1
fi
[ "$(id -u)" != 0 ] || exit 0
lines= missing=
commands="systemctl $restart $unit"
[ -n "$as_it_is" ] || commands="tee $target
rm -f $target
systemctl daemon-reload
systemctl enable $unit
$commands
systemctl disable --now $unit"
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

# Check that a release can have supervisord run a program. The first line of what it prints says why not, the others what to
# do about it.
# Needs: lib/supervisor.sh, program (may end in `:*`), target, current, own (how to give it a name of its own).
command -v supervisorctl >/dev/null || {
  echo "supervisorctl is not on this user's PATH ($PATH)"
  echo "sudo apt-get install supervisor"
  exit 1
}
said=$(supervisorctl pid 2>&1) || {
  echo "supervisord does not answer: $said"
  echo "sudo systemctl start supervisor; this user needs access to its socket: chown in [unix_http_server]"
  exit 1
}
folder=${target%/*}
# The link of an earlier release: nothing is written there again. The same folder may be spelled in another way.
real=$(cd -P "${current%/*}" 2>/dev/null && pwd)
case $(readlink "$target") in
  "$current"/*) exit 0 ;;
  /*/current/*)
    there=$(readlink "$target")
    there=$(cd -P "${there%%/current/*}" 2>/dev/null && pwd)
    [ -z "$real" ] || [ "$there" != "$real" ] || exit 0
    ;;
esac
[ -w "$folder" ] || {
  echo "$folder: this user can't write to it"
  echo "sudo chgrp $(id -gn) $folder && sudo chmod g+w $folder"
  exit 1
}
# foreign WHAT: the reason, and what to do.
foreign() {
  echo "$1"
  echo "$own"
  echo "if this deployment takes the place of that one: rm $2"
  exit 1
}
if [ -L "$target" ]; then
  # A link to nothing is left from a deployment that was removed.
  [ ! -e "$target" ] || foreign "$target belongs to another deployment: it links to $(readlink "$target")" "$target"
elif [ -e "$target" ] && read -r line <"$target" && [ "${line#; Copied by fapkit}" = "$line" ]; then
  echo "$target is a file, and a release would replace it by a link"
  echo "move it out of the way: mv $target $target.old"
  exit 1
fi
name=${program%%:*}
# supervisord reads the files with this suffix.
for conf in "$folder"/*".${target##*.}"; do
  [ -f "$conf" ] && [ "$conf" != "$target" ] || continue
  while read -r line; do
    case $line in
      "[program:$name]"* | "[group:$name]"* | "[fcgi-program:$name]"*) ;;
      *) continue ;;
    esac
    case $(readlink "$conf") in
      "$current"/*) continue ;;
    esac
    foreign "the program $name of $conf belongs to another deployment" "$conf"
  done <"$conf"
done 2>/dev/null
[ -L "$target" ] || [ -e "$target" ] || [ -f "$target.old" ] || {
  program_status
  case $status in
    *'no such process'* | *'no such group'*) ;;
    *)
      echo "supervisord runs a program $name already, which is not from $target"
      echo "$own"
      echo "if this release takes its place: move its file to $target.old"
      echo "if it is left from what was removed: supervisorctl update $name"
      exit 1
      ;;
  esac
}
exit 0

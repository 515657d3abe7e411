# Print what a host offers, and the condition of its live release: one fact per line, a word and a value. Changes nothing.
# On stdin: linked files, one per line.
# Needs: lib/disk.sh, lib/environment.sh, lib/processes.sh, path, current, releases, shared, state, environment_file,
#   port (empty for none), processes (processes.py), python (as 3.11, empty for any), libraries (their names),
#   conf (of supervisor's program, empty for none), run (the folder of sockets, empty for none),
#   group (that may connect to them, empty for all).
say() { printf '%s %s\n' "$1" "$2"; }
say time "$(date +%s)"
say machine "$(uname -m)"
say libc "$(getconf GNU_LIBC_VERSION 2>/dev/null)"
nearest_folder "$path"
free_at "$nearest" i
say inodes "$free"
for candidate in python3 ${python:+"python$python" "/usr/local/bin/python$python" "/usr/bin/python$python"} \
  ${python:+"$HOME/.pyenv/versions/$python".*/bin/python3 "$HOME/.local/share/uv/python/cpython-$python".*/bin/python3}; do
  command -v "$candidate" >/dev/null 2>&1 || continue
  say python "$("$candidate" -I -S -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null)"
done
python3 -I -S - $libraries <<'.' 2>/dev/null
import ctypes, sys
for name in sys.argv[1:]:
    try:
        ctypes.CDLL(name)
    except OSError:
        print("lacks", name)
.
# The Python that each release was installed with, and the one that its venv/bin/python is now. One inside of $path is
# the artifact's own, and is not run.
say system "$(sed -n 's/^PRETTY_NAME="*\([^"]*\)"*$/\1/p' /etc/os-release 2>/dev/null)"
inside=$(cd -P "$path" 2>/dev/null && pwd)
for folder in "$releases"/[0-9]*/; do
  [ -L "${folder}venv/bin/python" ] || continue
  installed=$(sed -n 's/^version[_info]* *= *\([0-9]*\.[0-9]*\).*/\1/p' "${folder}venv/pyvenv.cfg" 2>/dev/null \
    | head -n 1)
  interpreter=$(readlink -f "${folder}venv/bin/python") version=
  case $interpreter in "$inside"/*) continue ;; esac
  [ -z "$interpreter" ] || version=$("$interpreter" -I -S -c 'import sys; print("%d.%d" % sys.version_info[:2])' </dev/null 2>/dev/null)
  folder=${folder%/}
  [ -z "$installed" ] || say venv "${folder##*/} $installed $version"
done
while read -r file; do
  [ -z "$(find -L "$shared/$file" -prune -type f -perm -004 2>/dev/null)" ] || say readable "$file"
done
if [ -n "$conf" ] && [ -r "$conf" ]; then
  say conf "$(grep -E '^ *(stopasgroup|killasgroup|startsecs|stopwaitsecs) *=' "$conf" | tr -d ' ' | tr '\n' ' ')"
fi
{ read -r line <"$state/restarted" && say restarted "$line"; } 2>/dev/null

id= release=
if [ -L "$current" ] && cd -P "$current" 2>/dev/null; then
  release=$PWD
  id=${release##*/}
  [ ! -x .fap/run ] || say run yes
  [ -z "$(find . -prune -perm -200)" ] || say writable yes
  { read -r line <"$state/releases/$id.install.json" && say contained "$line"; } 2>/dev/null
  [ -z "$(find -L "$environment_file" -prune -perm -004 2>/dev/null)" ] || say readable_environment "$environment_file"
  variables_in "$environment_file" | sed 's/^/variable /'
  find . -type f -name '*.log' ! -path './venv/*' | sed 's/^/log /' | head -n 20
fi
processes_in "$releases" | while read -r process folder; do
  [ -z "$folder" ] || [ "${folder%%/*}" = "$id" ] || [ -n "$(find "$path/run" -name "${folder%%/*}-*" 2>/dev/null)" ] \
    || say stale "${folder%%/*} $process"
done
grep -q "^$group:" /etc/group 2>/dev/null || group=
folder=$run
while folder=${folder%/*}; [ -n "$folder" ]; do
  [ ! -d "$folder" ] || [ -n "$(find "$folder" -prune \( -perm -001 ${group:+-o -group "$group" -perm -010} \) 2>/dev/null)" ] \
    || say closed "$folder"
done
if [ -n "$port" ]; then
  # Any listener, also one that is not visible to this user: state 0A (proc(5), /proc/net/tcp).
  if grep -qsE "^ *[0-9]+: [0-9A-F]+:$(printf %04X "$port") [0-9A-F]+:0000 0A " /proc/net/tcp /proc/net/tcp6; then
    listener=$(python3 -I -S -c "$processes" listeners "$port" "${release:-/nothing}")
    say port "$? $listener"
  else
    say port "3 nothing listens on port $port"
  fi
fi

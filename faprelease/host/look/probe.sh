# Print the state of a host: one fact per line, a word and a value. Changes nothing. Everything is printed at once, as each
# write costs both sides a packet. On stdin: linked files, one per line.
# Needs: lib/lock.sh, lib/process.sh, lib/disk.sh, lib/processes.sh,
#   path, current, releases, shared, state.
facts=
say() {
  facts="$facts$1 $2
"
}

{ read -r key <"$state/key" && say key "$key"; } 2>/dev/null
if [ -f "$state/rollout.jsonl" ]; then
  while read -r line; do
    case $line in "{"*"}") say rollout "$line" ;; esac
  done <"$state/rollout.jsonl"
fi
{
  while read -r line; do
    say command "$line"
  done <"$state/release_command.jsonl"
} 2>/dev/null

if [ -e "$current" ] && [ ! -L "$current" ]; then
  say blocked "$current"
elif [ -d "$current.new" ] && [ ! -L "$current.new" ]; then
  say blocked "$current.new"
fi
strange=
[ ! -L "$current" ] || strange=yes
for tool in curl python3; do
  command -v "$tool" >/dev/null 2>&1 && say tool "$tool"
done
for folder in "$releases"/[0-9]*/; do
  [ -d "$folder" ] || continue
  name=${folder%/}
  say folder "${name##*/}"
  if [ -L "$current" ] && [ "$current" -ef "$folder" ]; then
    say current "${name##*/}"
    strange=
  fi
done
[ -z "$strange" ] || say link "$(readlink "$current")"
for file in "$current/.fap/supervisor.conf" "$current"/.fap/systemd/* "$current"/.fap/handover/*; do
  [ -f "$file" ] || continue
  say process "==> ${file#"$current/"}"
  while IFS= read -r line; do
    say process "$line"
  done <"$file"
done
for start in "$path"/run/*-*-*/; do
  [ -d "$start" ] || continue
  start=${start%/}
  say start "${start##*/}"
done
if [ -L "$path/run/web.sock" ]; then
  front=$(readlink "$path/run/web.sock")
  say front "${front%/*}"
  # The resident and the shared memory of its processes, in pages (proc(5)); and what is available, in KiB.
  pages=0
  for process in $(processes_in "$path/run/${front%/*}/release" | cut -d" " -f1); do
    { read -r _ resident common _ <"/proc/$process/statm"; } 2>/dev/null && pages=$((pages + resident - common))
  done
  size=$(getconf PAGESIZE 2>/dev/null) || size=4096
  say memory "$((pages * size / 1024))"
  say available "$(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo)"
fi
if [ -d "$state/schedules" ]; then
  say schedules set
  for file in "$current/.fap/schedules/list" "$current/.fap/schedules/crontab" "$current"/.fap/schedules/user/* \
    "$current"/.fap/schedules/system/*; do
    [ -f "$file" ] || continue
    say schedule "==> ${file#"$current/"}"
    while IFS= read -r line; do
      say schedule "$line"
    done <"$file"
  done
fi
for record in "$state"/releases/*.jsonl; do
  [ -f "$record" ] || continue
  name=${record##*/} json=
  while read -r line; do
    case $line in "{"*"}") json=$line ;; esac
  done <"$record"
  [ -z "$json" ] || say "record ${name%.jsonl}" "$json"
done
for artifact in "$state"/releases/*.artifact.json; do
  [ -f "$artifact" ] || continue
  name=${artifact##*/}
  read -r json <"$artifact" && say "artifact ${name%.artifact.json}" "$json"
done
! read_lock "$state" || ! is_running "$lock_holder" || say locked "$lock_owner"
{ read -r frozen <"$state/frozen" && say frozen "$frozen"; } 2>/dev/null
{ read -r owner <"$state/owner" && say owner "$owner"; } 2>/dev/null
{ read -r manager <"$state/manager" && say manager "$manager"; } 2>/dev/null
nearest_folder "$path"
[ -w "$nearest" ] || say unwritable "$nearest"
free_at "$nearest" k
[ -z "$free" ] || say free "$free"
while read -r file; do
  [ -e "$shared/$file" ] || say missing "$file"
done
printf %s "$facts"

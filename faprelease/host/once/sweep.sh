# Remove trials (made by `once --curl-url`) whose sessions have ended. A trial that is kept has no holder.
# Needs: lib/process.sh, lib/processes.sh, lib/remove.sh, trials (the folder they are in),
#   ours (the holder's file of this session's own trial, or empty).
for each in "$trials"/*.holder; do
  { read -r holder <"$each"; } 2>/dev/null || continue
  [ "$each" = "$ours" ] || ! is_running "$holder" || continue
  trial=${each%.holder}
  if [ -n "$(processes_in "$trial")" ]; then
    echo "warning: $trial is kept: a process still runs in it; the next release removes it"
    continue
  fi
  # Another session may remove it at the same time.
  remove_all "$trial" 2>/dev/null
  if [ -e "$trial" ]; then echo "warning: can't remove $trial"; else rm -f "$each"; fi
done

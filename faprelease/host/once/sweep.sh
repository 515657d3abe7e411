# Remove the releases that `once --curl-url` made, where the session that made them is gone. One that is kept has no holder.
# Needs: lib/process.sh, lib/processes.sh, lib/remove.sh, trials (the folder they are in),
#   ours (a holder's file that counts as gone, or empty).
for each in "$trials"/*.holder; do
  { read -r holder <"$each"; } 2>/dev/null || continue
  [ "$each" = "$ours" ] || ! is_running "$holder" || continue
  trial=${each%.holder}
  if [ -n "$(processes_in "$trial")" ]; then
    echo "warning: $trial stays: a process still runs in it; the next release removes it"
    continue
  fi
  # Two may be at it at once.
  remove_all "$trial" 2>/dev/null
  if [ -e "$trial" ]; then echo "warning: can't remove $trial"; else rm -f "$each"; fi
done

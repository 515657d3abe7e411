# Remove the releases that `once --curl-url` made, where the session that made them is gone. One that is kept has no holder.
# Needs: lib/process.sh, trials (the folder they are in), ours (a holder's file that counts as gone, or empty).
for each in "$trials"/*.holder; do
  { read -r holder <"$each"; } 2>/dev/null || continue
  process_of "${holder%% *}"
  [ "$each" = "$ours" ] || [ -z "$process" ] || [ "$process" != "${holder#* }" ] || continue
  trial=${each%.holder} used=
  if cd -P "$trial" 2>/dev/null; then
    there=$PWD
    # This shell is looked at too, and must not be in it.
    cd /
    for one in /proc/[0-9]*; do
      cd -P "$one/cwd" 2>/dev/null || continue
      case $PWD/ in "$there"/*) used=yes ;; esac
    done
    cd /
  fi
  if [ -n "$used" ]; then
    echo "warning: $trial stays: a process still runs in it; the next release removes it"
    continue
  fi
  # A file of it may be a link that others share, so only folders are opened. Two may be at it at once.
  find "$trial" -type d ! -perm -200 -exec chmod u+w {} + 2>/dev/null
  rm -rf "$trial" 2>/dev/null
  if [ -e "$trial" ]; then echo "warning: can't remove $trial"; else rm -f "$each"; fi
done

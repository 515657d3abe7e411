# What the processes of a program printed last.
# Needs: lib/supervisor.sh.
program_status
echo "$status" | head -n 3 | while read -r name _; do
  for stream in stdout stderr; do
    said=$(supervisorctl tail -2000 "$name" "$stream" 2>&1 | tail -n 10)
    [ -z "$said" ] || printf '%s, %s:\n%s\n' "$name" "$stream" "$said"
  done
done

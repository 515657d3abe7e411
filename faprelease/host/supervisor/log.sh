# Print the last lines of the processes of a program.
# Needs: lib/supervisor.sh.
program_status
echo "$status" | head -n 3 | while read -r name _; do
  for stream in stdout stderr; do
    lines=$(supervisorctl tail -2000 "$name" "$stream" 2>&1 | tail -n 10)
    [ -z "$lines" ] || printf '%s, %s:\n%s\n' "$name" "$stream" "$lines"
  done
done

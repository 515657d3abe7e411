# Print the logs of a program's processes, standard output and error.
# Needs: lib/supervisor.sh, reader (the text of programs/loglines.py), wanted (what it is to print, as JSON).
program_status
names=$(printf '%s\n' "$status" | while read -r name _; do printf '%s\n' "$name"; done)
set -f
IFS='
'
exec python3 -I -S -c "$reader" "$wanted" supervisor $names

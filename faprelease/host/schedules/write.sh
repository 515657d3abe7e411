# Write the schedules of a release into it; none if standard input is empty. What an artifact brought there is removed. On
# stdin: files, each after a line `==> PATH IN THE RELEASE`.
# Needs: release, runner (the script that runs one; it begins with assignments).
rm -rf "$release/.fap/schedules" || exit 1
while IFS= read -r line; do
  case $line in
    '==> '*) file=$release/${line#* }; mkdir -p "${file%/*}" && : >"$file" || exit 1 ;;
    *) printf '%s\n' "$line" >>"$file" || exit 1 ;;
  esac
done
[ ! -d "$release/.fap/schedules" ] || printf '%s\n' "$runner" >"$release/.fap/schedules/run" || exit 1

# load_environment FILE: export the variables that it sets, if it exists.
load_environment() {
  [ ! -f "$1" ] || { set -a; . "$1"; set +a; }
}
# variables_in FILE: print the names of the variables that it sets, without running it.
variables_in() {
  sed -n 's/^ *\(export  *\)\{0,1\}\([A-Za-z_][A-Za-z0-9_]*\)=.*/\2/p' "$1" 2>/dev/null
}

# Run a command, "$@", in the release that is the working folder, with its environment and its programs.
# Needs: lib/environment.sh, environment_file.
load_environment "$environment_file"
[ ! -d venv/bin ] || { PATH=$PWD/venv/bin:$PATH; export PATH VIRTUAL_ENV="$PWD/venv"; }
export PYTHONDONTWRITEBYTECODE=1
exec "$@"

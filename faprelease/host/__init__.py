"""What runs on hosts: POSIX sh, and Python 3.8 with its standard library. README.md says how."""

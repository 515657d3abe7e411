"""What runs on hosts: POSIX sh, and Python 3.8 with its standard library.

lib         functions that scripts start with
session     the shell of a session, which runs the steps
lock        take the lock of a session; freeze and unfreeze
look        read-only scripts: what a host offers, what it runs, what changed there
release     one script for each step of a release: prepare, link, seal, swap, record, …
programs    Python programs: fetch, unpack and install an artifact, ask systemd, clean the caches
supervisor  scripts that talk to supervisord
systemd     scripts that talk to systemd
once        run one command in a release
"""

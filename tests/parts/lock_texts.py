"""A lock of each kind, as tools write them."""

ONE, TWO = "1" * 64, "2" * 64
LOCK = f"""\
# made by a tool
--index-url https://example.org/simple
Flask[async]==3.1.0 \\
    --hash=sha256:{ONE} \\
    --hash=sha256:{TWO}
    # via -r requirements.in
colorama==0.4.6 ; sys_platform == "win32" --hash=sha256:{ONE}
zope.interface==5.0 --hash=sha256:{TWO}  # a comment
"""
COMMIT = "a" * 40
PYLOCK = f"""\
lock-version = "1.0"
created-by = "hand"
extras = ["fast"]
dependency-groups = ["web", "dev"]
default-groups = ["web"]
[[packages]]
name = "flask"
version = "3.1.0"
index = "https://example.org/simple"
wheels = [
    {{url = "https://example.org/flask-3.1.0-py3-none-any.whl", hashes = {{sha256 = "{ONE}"}}}},
    {{url = "https://example.org/flask-3.1.0-cp27-cp27m-win32.whl", hashes = {{sha256 = "{TWO}"}}}},
]
[[packages]]
name = "colorama"
version = "1"
marker = "sys_platform == 'win32'"
wheels = [{{url = "https://example.org/colorama-1-py3-none-any.whl", hashes = {{sha256 = "{ONE}"}}}}]
[[packages]]
name = "quick"
version = "1"
marker = "'fast' in extras"
sdist = {{url = "https://pypi.org/quick-1.tar.gz", hashes = {{sha256 = "{ONE}"}}}}
[[packages]]
name = "server"
version = "1"
marker = "'web' in dependency_groups"
sdist = {{url = "https://pypi.org/server-1.tar.gz", hashes = {{sha256 = "{ONE}"}}}}
[[packages]]
name = "tester"
version = "1"
marker = "'dev' in dependency_groups"
sdist = {{url = "https://pypi.org/tester-1.tar.gz", hashes = {{sha256 = "{ONE}"}}}}
[[packages]]
name = "old"
version = "1"
marker = "python_version < '3.12'"
sdist = {{url = "https://pypi.org/old-1.tar.gz", hashes = {{sha256 = "{ONE}"}}}}
[[packages]]
name = "fork"
[packages.vcs]
type = "git"
url = "git@example.org:me/fork.git"
commit-id = "{COMMIT}"
subdirectory = "python"
[[packages]]
name = "shared"
directory = {{path = "../libs/shared", editable = true}}
[[packages]]
name = "loose"
archive = {{url = "https://example.org/loose.zip", hashes = {{sha256 = "{TWO}"}}}}
"""

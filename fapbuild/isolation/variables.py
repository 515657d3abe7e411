"""The variables that code of packages and asset steps gets: none of the keys that a pipeline has."""

from collections.abc import Iterable, Mapping

from artifact_store.core.errors import UsageError

_NETWORK = (
    *("http_proxy", "https_proxy", "no_proxy", "all_proxy", "ftp_proxy"),
    *("ssl_cert_file", "ssl_cert_dir", "requests_ca_bundle", "curl_ca_bundle", "node_extra_ca_certs"),
    *("git_ssl_cainfo", "pip_cert", "pip_proxy", "pip_constraint", "pip_build_constraint"),
)
"""Proxies, files of certificates, and constraints for build requirements, in lower case."""
FIXED = ("LC_ALL", "TZ", "SOURCE_DATE_EPOCH", "PYTHONHASHSEED", "CFLAGS")
"""Variables that `command.run` or a build sets, so that results are the same everywhere."""
_BUILD = (
    *("HOME", "USER", "LOGNAME", "TERM", "TMPDIR", "XDG_CACHE_HOME", "PBR_VERSION"),
    *(
        "CC",
        "CXX",
        "CPP",
        "LD",
        "AR",
        "NM",
        "RANLIB",
        "STRIP",
        "MAKE",
        "MAKEFLAGS",
        "ARCHFLAGS",
        "CCACHE_DIR",
    ),
    *("CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "RUSTFLAGS", "CPATH", "LIBRARY_PATH", "ARCHFLAGS"),
    "LD_LIBRARY_PATH",
    *("C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "PKG_CONFIG", "PKG_CONFIG_PATH", "CARGO_HOME", "RUSTUP_HOME"),
    *("RUSTUP_TOOLCHAIN", "JAVA_HOME", "SDKROOT", "MACOSX_DEPLOYMENT_TARGET", "AUDITWHEEL_PLAT"),
)
_BUILD_PREFIXES = ("CMAKE_", "NPY_", "SETUPTOOLS_SCM_PRETEND_", "VCS_VERSIONING_PRETEND_")
_NPM = "npm_config_"
_NPM_LOGINS = ("auth", "password", "username", "otp", "email", "cert", "key")
_TOOLS = (
    *("HOME", "USER", "LOGNAME", "SSH_AUTH_SOCK", "GIT_SSH", "GIT_SSH_COMMAND", "NETRC"),
    *("DBUS_SESSION_BUS_ADDRESS", "PYTHON_KEYRING_BACKEND"),
)
_TOOL_PREFIXES = ("UV_", "POETRY_", "PIP_", "XDG_", "GIT_CONFIG_")


def of_builds(environ: Mapping[str, str], passed: Iterable[str] = ()) -> dict[str, str]:
    """The variables of code that builds a package, and those that `passed` names.

    Raises UsageError if one of them is not set.
    """
    return _chosen(environ, "pass_env", passed, _BUILD, _BUILD_PREFIXES)


def of_steps(environ: Mapping[str, str], step: str, passed: Iterable[str] = ()) -> dict[str, str]:
    """The variables of an asset step, and those that `passed` names: npm's settings, but no login.

    Raises UsageError if one of them is not set.
    """
    settings = [
        name
        for name in environ
        if name.lower().startswith(_NPM) and not any(word in name.lower() for word in _NPM_LOGINS)
    ]
    return _chosen(environ, f"assets {step!r}: pass_env", passed, settings, ())


def of_lock_tools(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of uv and Poetry, which build packages themselves to read their metadata."""
    return _chosen(environ, "", (), (*_BUILD, *_TOOLS), (*_BUILD_PREFIXES, *_TOOL_PREFIXES))


def _chosen(
    environ: Mapping[str, str],
    key: str,
    passed: Iterable[str],
    names: Iterable[str],
    prefixes: tuple[str, ...],
) -> dict[str, str]:
    wanted = {"PATH", *names, *passed}
    if missing := [name for name in passed if name not in environ]:
        raise UsageError(f"{key} names {missing[0]}, which is not set", hint=f"export {missing[0]}=…")
    return {
        name: value
        for name, value in environ.items()
        if name in wanted or name.lower() in _NETWORK or name.startswith(prefixes)
    }

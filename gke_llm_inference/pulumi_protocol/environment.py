"""The environment in which a program runs that is only looked at."""

# Nothing else of the caller's environment reaches a program: no credentials, proxies or PULUMI_* settings.
_KEPT = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TMP", "TEMP"),
        *("VIRTUAL_ENV", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "XDG_CACHE_HOME"),
    }
)
_KEPT_PREFIXES = ("LC_", "PYTHON")


def child_environment(environment: dict[str, str]) -> dict[str, str]:
    """The environment of a program: an allow-list of the caller's, and what the SDK needs."""
    kept = {name: value for name, value in environment.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}
    kept["PULUMI_ERROR_OUTPUT_STRING"] = "1"  # an Output in an f-string is an error, not a warning as text
    kept["PYTHONUNBUFFERED"] = "1"
    kept["GRPC_VERBOSITY"] = "NONE"
    return kept

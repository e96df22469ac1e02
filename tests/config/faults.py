"""The problems of a configuration that is refused."""

from discoveryd.errors import ConfigError


def attempt(call, *args, **kwargs):
    """Give what `call` returned, None where it refused; and its problems."""
    try:
        return call(*args, **kwargs), []
    except ConfigError as error:
        return None, list(error.problems)


def problems(call, *args, **kwargs):
    returned, found = attempt(call, *args, **kwargs)
    assert found, f"nothing was refused: {returned}"
    return found

"""What agents of the reference can be told: a few parameters, as plain values."""

from ffrtmp.protocol import bodies

_READ = frozenset({"input", "output", "duration", "bitrate", "codec", "preset"})
#: for the master alone, or asked of the node by name (`spec.Requires`)
_NOT_TOLD = frozenset({"engine", "container", "overwrite", "chunking", "requires", "tags"})


def is_beyond(given: bodies.ParametersBody) -> bool:
    """Whether the parameters say what such an agent would pass over: it would make another output than was asked for."""
    return any(
        getattr(given, name) != field.get_default(call_default_factory=True)
        for name, field in bodies.ParametersBody.model_fields.items()
        if name not in _READ | _NOT_TOLD
    )

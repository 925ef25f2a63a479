"""Energy that a machine measured."""

import msgspec


class Energy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a device of the node measured while the commands of an attempt ran."""

    source: str  #: e.g. `rapl package-0`: a whole CPU package, `nvml gpu 0`: a whole GPU
    joules: float  #: of the whole device, not of the attempt alone
    shared_with: int = 0  #: attempts of the same agent that ran beside it

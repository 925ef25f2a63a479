"""ffrtmp: a distributed transcoding system. `docs/architecture.md` has the map of this package."""

__version__ = "0.1.0"

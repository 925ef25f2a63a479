"""Where presets come from: the files that ship, and the folders of the operator."""

import functools
from collections.abc import Iterable
from pathlib import Path

from ffrtmp.domain import errors
from ffrtmp.planning import presets, resolve
from ffrtmp.protocol import bodies

_LARGEST_BYTES = 64 * 1024


@functools.cache
def shipped() -> presets.Book:
    """The presets that come along."""
    folder = Path(presets.__file__).parent
    return presets.Book(_read(path, shipped=True) for path in folder.glob("*.toml"))


def load(folders: Iterable[Path]) -> presets.Book:
    """Those that come along, and those of these folders. Raises InvalidInput with the file and each field that is wrong."""
    found = shipped().all()
    files = {preset.name: "the presets that come along" for preset in found}
    for folder in folders:
        if not folder.is_dir():
            raise errors.InvalidInput(f"--presets {folder} is not a directory; give one that has NAME.toml files.")
        for path in sorted(folder.glob("*.toml")):
            if path.stem in files:
                raise _refused(path, f"the name is taken by {files[path.stem]}; choose another")
            found.append(_read(path, shipped=False))
            files[path.stem] = str(path)
    return presets.Book(found)


def _read(path: Path, *, shipped: bool) -> presets.Preset:
    try:
        if not path.is_file():
            raise _refused(path, "it is not a file")
        if path.stat().st_size > _LARGEST_BYTES:
            raise _refused(path, f"it is larger than {_LARGEST_BYTES} bytes")
        preset = presets.read(path.stem, path.read_text(encoding="utf-8"), shipped=shipped)
        resolve.resolve(bodies.SubmitBody(parameters=preset.parameters))  # it must make a job by itself
    except OSError as error:
        raise _refused(path, f"it cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise _refused(path, "it is not UTF-8 text") from None
    except errors.InvalidInput as error:
        if not error.faults:
            raise
        told = (f"{fault.path}: {fault.message}" if fault.path else fault.message for fault in error.faults)
        raise _refused(path, "; ".join(told)) from None
    return preset


def _refused(path: Path, why: str) -> errors.InvalidInput:
    return errors.InvalidInput(f"The preset {path} cannot be used: {why}.", code="invalid_preset")

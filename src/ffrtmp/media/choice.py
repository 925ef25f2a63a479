"""Which encoder a job gets on this node, what of its GPUs it uses, and what is tried instead when that fails. Pure."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from ffrtmp.domain import errors, node
from ffrtmp.domain.hardware import spec_cannot
from ffrtmp.domain.spec import Codec, Hwaccel, Spec
from ffrtmp.media import codecs, hardware, reach
from ffrtmp.media.codecs import Encoder
from ffrtmp.media.inspection import VideoStream

#: hardware first, in the order in which encoders are preferred
ENCODERS: tuple[Encoder, ...] = (*hardware.ENCODERS, *codecs.ENCODERS)
BY_NAME = {encoder.name: encoder for encoder in ENCODERS}


class Offered(Protocol):
    """What the tables of both engines say of an encoder."""

    @property
    def name(self) -> str: ...
    @property
    def codec(self) -> Codec: ...
    @property
    def hwaccel(self) -> Hwaccel | None: ...


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """`use` None: nothing of a GPU."""

    encoder: Offered
    why: str
    use: hardware.Use | None = None

    @property
    def name(self) -> str:
        """`h264_nvenc on 0, decoding there too`, for people."""
        if self.use is None:
            return self.encoder.name
        return f"{self.encoder.name} on {self.use.device}" + (", which decodes too" if self.use.decode else "")


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What works here. `load`: hardware encodes that run now, by device; `full`: there may be no more of them."""

    encoders: Sequence[node.Encoder]
    decoders: Sequence[node.Decoder] = ()
    load: Mapping[str, int] = {}
    full: bool = False

    def device(self, encoder: node.Encoder) -> str | None:
        """The one with the least to do."""
        free = () if self.full else encoder.devices
        return min(free, key=lambda device: self.load.get(device, 0), default=None)


def candidates(
    spec: Spec, source: VideoStream | None, offer: Offer, table: Sequence[Offered] = ENCODERS
) -> list[Choice]:
    """What to try, one after another: the best first, then what is safer. Never empty. `table`: the engine's encoders.

    An encoder or a family that was named is never replaced by another; its GPU's decoder is, by software.
    Raises TaskError(encoder_unavailable), with what every encoder lacks, or stream_unsuitable, when it is a picture that they
    cannot make.
    """
    made = codecs.pixel_format(spec, source.bits if source else 8)
    works = {one.name: one for one in offer.encoders if one.works}
    found: list[Choice] = []
    automatic = spec.hwaccel is Hwaccel.AUTO and spec.requires.encoder is None
    gpus = {one.name for one in table if one.hwaccel is not None and one.codec is spec.codec}
    passed = ["no GPU here encodes it"] if automatic and gpus and not gpus & works.keys() else []
    beyond: list[str] = []
    for encoder in (one for one in table if one.codec is spec.codec and _is_meant(spec, one)):
        if found and encoder.hwaccel is not None:
            continue  # what one GPU failed at is not expected of another: what is left is software
        here = works.get(encoder.name)
        device = None if here is None else offer.device(here)
        if here is None:
            passed += [] if automatic and encoder.hwaccel else [f"{encoder.name} does not work here"]
        elif encoder.hwaccel is None and (why := reach.beyond(encoder.name, spec, source)):
            passed.append(why)
            beyond.append(why)
        elif encoder.hwaccel is None:
            found.append(Choice(encoder=encoder, why=_why(spec, passed)))
            break
        elif lacks := spec_cannot(encoder.hwaccel, spec, made):
            passed.append(lacks)
        elif device is None:
            passed.append(f"{encoder.name}: all of this node's GPU sessions are in use")
        else:
            use = hardware.Use(device=device, low_power=here.low_power)
            found.append(Choice(encoder=encoder, why=_why(spec, passed), use=use))
            if _decodes(encoder.hwaccel, device, source, offer):
                found.insert(0, msgspec.structs.replace(found[0], use=msgspec.structs.replace(use, decode=True)))
            passed.append(f"{encoder.name} failed")
    if not found and beyond:
        raise errors.TaskError(errors.Code.STREAM_UNSUITABLE, "; ".join(beyond))
    if not found:
        wanted = spec.requires.encoder or spec.requires.hwaccel or spec.codec
        raise errors.TaskError(
            errors.Code.ENCODER_UNAVAILABLE,
            f"no encoder on this node does what the job asks of {wanted}: {'; '.join(passed) or 'there is none for it'}",
        )
    return found


def _is_meant(spec: Spec, encoder: Offered) -> bool:
    if spec.requires.encoder is not None:
        return encoder.name == spec.requires.encoder
    if spec.hwaccel is Hwaccel.NONE:
        return encoder.hwaccel is None
    return spec.hwaccel is Hwaccel.AUTO or encoder.hwaccel is spec.hwaccel


def _why(spec: Spec, passed: Sequence[str]) -> str:
    if spec.requires.encoder is not None:
        return "named by the job"
    if spec.requires.hwaccel is not None:
        return f"{spec.requires.hwaccel} was named by the job"
    return f"best that works for {spec.codec}" + (f"; {', '.join(passed)}" if passed else "")


def _decodes(family: Hwaccel, device: str, source: VideoStream | None, offer: Offer) -> bool:
    """Whether that GPU is expected to decode this source."""
    if source is None or not source.pixel_format.replace("yuvj", "yuv").startswith("yuv420p"):
        return False
    codec = hardware.DECODABLE.get(source.codec)
    return any(
        one.works and one.hwaccel is family and one.codec is codec and device in one.devices for one in offer.decoders
    )

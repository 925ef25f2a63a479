"""An attempt's way to a target: a bitrate for a size, a CRF for a VMAF. For jobs without one it does nothing."""

import time
from pathlib import Path

import msgspec

from ffrtmp.agent import source as sources
from ffrtmp.agent.attempt import Attempt
from ffrtmp.agent.comparing import compare
from ffrtmp.agent.running import run_all
from ffrtmp.domain import units
from ffrtmp.domain.job import CurvePoint, Search
from ffrtmp.domain.spec import Metric, Rate
from ffrtmp.media import comparison, ffmpeg, samples, scores, search, sizes
from ffrtmp.media.choice import BY_NAME, Choice
from ffrtmp.media.inspection import Inspection
from ffrtmp.media.progress import FfmpegProgress
from ffrtmp.runtime.threads import in_thread

_PHASE = "search"
#: a search on all of a clip's samples may not take as long as the encode: once near, the curve tells the rest
_MOST_ON_ALL, _MOST_ON_A_WHOLE_CLIP = 2, 4


class Aim:
    """One for each attempt; `take` before each way, `again` after each encode."""

    def __init__(self, attempt: Attempt, found: Inspection | None, path: Path | None, scratch: Path) -> None:
        self._attempt = attempt
        self._found = found
        self._path = path
        self._scratch = scratch
        self._asked = attempt.spec.rate
        self._searched: dict[str, Search] = {}  #: by encoder: a way that decodes elsewhere finds the same
        self._cut: tuple[samples.Plan, dict[str, Inspection]] | None = None

    async def take(self, one: Choice) -> None:
        """Gives the attempt's spec the rate that this way is to encode with. Raises TaskError(rate_unreachable)."""
        if self._asked.target_bytes is not None:
            fit = sizes.plan(self._attempt.spec, self._found)
            self._attempt.note_made(fit=fit)
            self._set(sizes.rate(self._asked, fit), fit.encodes[-1].bitrate_bps)
        if self._asked.target_vmaf is not None and self._found is not None and self._path is not None:
            name = one.encoder.name
            if name not in self._searched:
                self._searched[name] = await self._search(one, self._asked.target_vmaf, self._found, self._path)
            found = self._searched[name]
            self._attempt.note_made(search=found)
            self._attempt.log.note(
                f"crf {found.crf:g} for a VMAF of {found.target_vmaf:g}: {found.vmaf:.2f} is expected, at "
                f"{found.bitrate_bps / 1000:.0f} kb/s (searched in {found.seconds:.1f} s on {found.frames} frames)"
            )
            self._spec(msgspec.structs.replace(self._asked, crf=found.crf))

    async def again(self, made: Path) -> bool:
        """Whether the last pass has to be run once more, at the rate that the attempt's spec has then. Raises
        TaskError(rate_unreachable) when that was done and the output is still larger than asked."""
        fit = self._attempt.made.fit
        if self._asked.target_bytes is None or fit is None:
            return False
        size = (await in_thread(made.stat)).st_size
        fit = sizes.judged(fit, size)
        self._attempt.note_made(fit=fit)
        self._attempt.log.note(
            f"size: {size} bytes ({units.human_bytes(size)}), {100 * size / fit.target_bytes:.2f} % of the target"
        )
        if size <= fit.target_bytes:
            return False
        fit = sizes.corrected(fit)
        self._attempt.note_made(fit=fit)
        self._set(sizes.rate(self._asked, fit), fit.encodes[-1].bitrate_bps)
        return True

    def _set(self, rate: Rate, bitrate_bps: int) -> None:
        self._attempt.log.note(f"bitrate for target_size: {bitrate_bps} b/s")
        self._spec(rate)

    def _spec(self, rate: Rate) -> None:
        self._attempt.work = msgspec.structs.replace(self._attempt.spec, rate=rate)

    async def _search(self, one: Choice, target: float, found: Inspection, path: Path) -> Search:
        began, cpu = time.monotonic(), self._attempt.made.cpu_seconds or 0.0
        planned, files = await self._samples(found, path)
        encoder = BY_NAME[one.encoder.name]
        scale = search.scale(encoder.codec, encoder.hwaccel)
        lack = samples.LACK if planned.few else 0.0
        aimed = target - lack
        few: list[CurvePoint] = []
        while planned.few and (crf := search.near(few, aimed, scale)) is not None:
            few.append(await self._try(one, crf, samples.FEW, files))
        slopes = list(few)
        points: list[CurvePoint] = []
        most = _MOST_ON_ALL if planned.few else _MOST_ON_A_WHOLE_CLIP
        while (crf := search.exact(points, slopes, aimed, scale, most)) is not None:
            points.append(await self._try(one, crf, samples.ALL, files))
            if planned.few:
                slopes.append(await in_thread(self._of_the_few, crf, planned.few))
        search.check(points, target, scale, lack)
        chosen = search.at(points, aimed, scale, slopes=slopes)
        vmaf, bitrate = search.expected(points, chosen, scale, slopes=slopes)
        usual = search.expected(points, scale.default, scale, slopes=slopes)
        return Search(
            target_vmaf=target,
            crf=chosen,
            vmaf=round(vmaf + lack, 3),
            bitrate_bps=bitrate,
            points=sorted([*few, *points], key=lambda point: (point.crf, point.frames)),
            samples=planned.count,
            frames=points[-1].frames,
            seconds=round(time.monotonic() - began, 3),
            cpu_seconds=round((self._attempt.made.cpu_seconds or 0.0) - cpu, 3),
            default_crf=scale.default,
            default_vmaf=round(usual[0] + lack, 3),
            default_bitrate_bps=usual[1],
        )

    async def _samples(self, found: Inspection, path: Path) -> tuple[samples.Plan, dict[str, Inspection]]:
        """Made once, for all ways."""
        if self._cut is not None:
            return self._cut
        attempt = self._attempt
        planned = samples.plan(attempt.spec, found)
        commands = samples.extract(
            attempt.spec,
            found,
            planned,
            tools=attempt.kit.tools,
            input_path=path,
            scratch=self._scratch,
            threads=attempt.threads,
        )
        await run_all(attempt, commands, FfmpegProgress(planned.frames, None, passes=len(commands)), beside=_PHASE)
        names = [samples.ALL, *([samples.FEW] if planned.few else [])]
        files = {name: await self._look(self._scratch / name) for name in names}
        self._cut = planned, files
        return self._cut

    async def _look(self, path: Path) -> Inspection:
        return await self._attempt.kit.inspector.inspect(path, timeout_seconds=sources.INSPECT_SECONDS)

    async def _try(self, one: Choice, crf: float, name: str, files: dict[str, Inspection]) -> CurvePoint:
        """Encode the samples as the job would be, and measure them."""
        attempt, kit, scratch = self._attempt, self._attempt.kit, self._scratch
        sample, reference = scratch / name, files[name]
        spec = samples.tried(attempt.spec, sample, crf)
        made = scratch / "tried.mkv"
        commands = ffmpeg.build(
            spec,
            reference,
            tools=kit.tools,
            input_path=sample,
            output_path=made,
            scratch=scratch,
            encoder=one.encoder.name,
            use=one.use and msgspec.structs.replace(one.use, decode=False),
            threads=attempt.threads,
        )
        frames = reference.main_video.frames if reference.main_video else None
        await run_all(attempt, commands, FfmpegProgress(frames, None), beside=_PHASE)
        plan = comparison.plan(
            comparison.side(made, await self._look(made)),
            comparison.encoded(sample, reference, spec),
            [Metric.VMAF],
            samples.EVERY if samples.FEW in files else 1,
        )
        await compare(attempt, plan, scratch, threads=attempt.threads, beside=_PHASE)
        wanted = samples.counts if samples.FEW in files else lambda _: True
        vmaf = await in_thread(scores.mean, scratch, Metric.VMAF, wanted)
        size = (await in_thread(made.stat)).st_size
        point = CurvePoint(
            crf=crf,
            vmaf=round(vmaf, 3),
            bitrate_bps=round(8 * size / samples.seconds(reference)),
            frames=frames or 0,
        )
        attempt.log.note(
            f"crf {crf:g}: VMAF {point.vmaf:.2f} at {point.bitrate_bps / 1000:.0f} kb/s of {frames} frames"
        )
        return point

    def _of_the_few(self, crf: float, few: int) -> CurvePoint:
        """What the try of all samples gave on those that are tried alone too: the same pictures say how steep the curve is."""

        def wanted(frame: int) -> bool:
            return frame < few * samples.FRAMES and samples.counts(frame)

        return CurvePoint(
            crf=crf, vmaf=scores.mean(self._scratch, Metric.VMAF, wanted), bitrate_bps=0, frames=few * samples.FRAMES
        )

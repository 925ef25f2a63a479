"""A ladder or a package: one decode for all sizes, each verified as an output of its own, then playlists, then publication."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from ffrtmp.agent import engines, loudness, thorough, verification, ways
from ffrtmp.agent import messages as m
from ffrtmp.agent.attempt import Attempt
from ffrtmp.agent.publication import Publication
from ffrtmp.agent.running import check_size, run_all
from ffrtmp.agent.source import Source
from ffrtmp.domain.errors import Code, TaskError
from ffrtmp.domain.job import Result, RungMade, Verdict
from ffrtmp.domain.spec import InputKind, Segments, Spec, VerifyLevel
from ffrtmp.media import boxes, ffmpeg, ladder, package, picture, renditions, rungs, subtitles, verify
from ffrtmp.media.choice import Choice
from ffrtmp.media.inspection import Inspection
from ffrtmp.media.loudness import Measured
from ffrtmp.media.playlists import Rendition
from ffrtmp.media.progress import FfmpegProgress
from ffrtmp.runtime.threads import in_thread
from ffrtmp.transfer import local

#: more segments than this become ranges of few files, unless files were named: every file is reported and hashed
_MOST_FILES = 2000


async def encode(attempt: Attempt, scratch: Path, found: Source | None, publication: Publication) -> Result:
    """Raises TaskError, Dropped, OSError."""
    spec, output = attempt.spec, publication.output
    inspection = None if found is None else found.inspection
    # what cannot be is said before anything is written
    first = verify.expect(rungs.plan(spec, inspection)[0][0].spec, inspection)
    decided = [*first.notes, *renditions.notes(spec, inspection)]
    for note in decided:
        attempt.log.note(note)
    attempt.note_made(decisions=decided)
    if output is not None and (adoptable := await publication.made_before()) is not None:
        attempt.log.note(f"{output} was published by an earlier attempt of this task; it is not encoded again")
        attempt.tell(m.TaskStarted(attempt.id))
        return await publication.adopt(adoptable)
    engines.told(attempt, inspection)
    folder = scratch / "made" if output is None else attempt.kit.work.stage(output, attempt.id)
    making = _Making(attempt, scratch, folder, found, decided)
    await making.prepare()
    planned = await ways.first_that_works(attempt, await ways.of_ffmpeg(attempt, inspection), making.one_way)
    if spec.packaged:
        await making.package(planned)
    return await publication.publish_all(folder)


class _Making:
    def __init__(
        self, attempt: Attempt, scratch: Path, folder: Path, found: Source | None, decided: Sequence[str]
    ) -> None:
        self._attempt = attempt
        self._spec = attempt.spec
        self._scratch = scratch
        self._folder = folder
        self._found = found
        self._decided = decided
        self._source: Inspection | None = None if found is None else found.inspection
        self._path = None if found is None else found.path
        self._sounds = renditions.sounds(self._spec, self._source)
        self._texts = renditions.texts(self._spec, self._source)
        self._measured: list[Measured] = []

    async def prepare(self) -> None:
        """What must be known or made before the encode."""
        attempt, spec, tools = self._attempt, self._spec, self._attempt.kit.tools
        first = ffmpeg.preparing(spec, self._source, tools=tools, input_path=self._path, scratch=self._scratch)
        await run_all(attempt, first, FfmpegProgress(None, None), beside="prepare")
        for heard in [one.spec for one in self._sounds] if spec.packaged else [spec]:
            commands = ffmpeg.measuring(
                heard,
                self._source,
                tools=tools,
                input_path=self._path,
                output_path=self._folder,
                scratch=self._scratch,
                threads=attempt.threads,
            )
            self._measured += await loudness.measure(attempt, commands, "before")

    async def one_way(self, choice: Choice) -> list[rungs.Planned]:
        """The rungs, each made and verified."""
        attempt, spec = self._attempt, self._spec
        await in_thread(_emptied, self._folder)
        async with ways.session(attempt, choice):
            planned, notes = rungs.plan(spec, self._source, await self._sampled(choice))
            self._note(notes)
            attempt.log.note(f"ladder: {rungs.described(planned)}")
            expected = verify.expect(planned[0].spec, self._source)
            command = ladder.build(
                spec,
                self._source,
                planned,
                tools=attempt.kit.tools,
                input_path=self._path,
                folder=self._folder,
                scratch=self._scratch,
                encoder=choice.encoder.name,
                use=choice.use,
                threads=attempt.threads,
                measured=self._measured,
            )
            await run_all(attempt, [command], FfmpegProgress(expected.frames, expected.video_seconds))
        sizes = await in_thread(lambda: [path.stat().st_size for path in self._folder.iterdir()])
        check_size(attempt, sum(sizes))
        if self._found is not None:
            await self._found.check_unchanged()
        await self._verify(planned)
        if not spec.packaged:
            await self._tell(planned)
        return planned

    def _note(self, notes: Sequence[str]) -> None:
        told = [f"ladder: {note}" for note in notes]
        self._attempt.note_made(decisions=[*self._decided, *told])
        for note in told:
            self._attempt.log.note(note)

    async def _sampled(self, choice: Choice) -> float | None:
        """What the content takes in the largest size without a cap, in bits per second: for a ladder that is chosen here."""
        attempt, spec, found = self._attempt, self._spec, self._found
        if spec.ladder is None or not spec.ladder.auto or found is None or spec.input.kind is InputKind.GENERATE:
            return None
        made = ladder.samples(
            spec,
            found.inspection,
            rungs.plan(spec, found.inspection)[0][0],
            tools=attempt.kit.tools,
            input_path=found.path,
            scratch=self._scratch,
            encoder=choice.encoder.name,
            use=choice.use,
            threads=attempt.threads,
        )
        if not made:
            return None
        total = 0
        for command, path in made:
            await run_all(attempt, [command], FfmpegProgress(None, None), beside="measure")
            total += (await in_thread(path.stat)).st_size
            await in_thread(path.unlink)
        return 8 * total / (len(made) * ladder.SAMPLE_SECONDS)

    async def _verify(self, planned: list[rungs.Planned]) -> None:
        """Each file as the output that it is; one verdict over all. The levels beyond `standard` look at the largest size, with
        the first sound."""
        attempt, spec = self._attempt, self._spec
        if spec.verify is VerifyLevel.NONE:
            return
        checked: dict[str, Verdict] = {}
        await attempt.running.wait()
        attempt.phase("verify")
        first: thorough.Apart | None = None
        for number, heard in enumerate(self._sounds):
            expected = verify.expect_sound(heard.spec, self._source)
            path = self._folder / f"{heard.name}.mp4"
            first = first or thorough.Apart(path=path, silence=verify.silence(heard.spec, self._source))
            part = verification.Part(spec=heard.spec, examined=False)
            before = self._measured[number : number + 1]
            checked[heard.name] = await self._judge(path, expected, part, before)
        for rung in reversed(planned):  # the largest last: what is told of frames and speed is its
            expected = verify.expect(rung.spec, self._source)
            part = verification.Part(spec=rung.spec, examined=rung is planned[0], apart=first)
            before = [] if spec.packaged else self._measured
            checked[rung.name] = await self._judge(
                self._folder / f"{rung.name}.{spec.container}", expected, part, before
            )
        checks = {name: one.checks for name, one in checked.items()}
        for shown in self._texts:
            checks[shown.name] = await self._read(shown)
        attempt.note_made(
            verdict=Verdict(
                level=spec.verify.value,
                passed=True,
                checks=checks,
                seconds=round(sum(one.seconds for one in checked.values()), 4),
            )
        )

    async def _judge(
        self, path: Path, expected: verify.Expectation, part: verification.Part, before: Sequence[Measured]
    ) -> Verdict:
        attempt = self._attempt
        await verification.judge(attempt, path, expected, self._found, self._scratch, before, part=part)
        assert attempt.made.verdict is not None
        return attempt.made.verdict

    async def _read(self, shown: renditions.Shown) -> dict[str, object]:
        """What a file of subtitles holds, once it is as players need it. Raises TaskError(output_invalid)."""
        path = self._folder / f"{shown.name}.vtt"
        text = await in_thread(path.read_text, "utf-8", "replace")
        if shown.plan.encoder != "copy":
            text = renditions.escaped(text)
            await in_thread(path.write_text, text, "utf-8")
        tolerance = verify.TEXTS_TOLERANCE if subtitles.plan(self._spec, self._source).cut else 0
        if problem := shown.problem(text, tolerance):
            raise TaskError(Code.OUTPUT_INVALID, f"The output is not what was asked: {problem}")
        return {"events": renditions.cues(text), "events_expected": shown.plan.events}

    async def package(self, planned: list[rungs.Planned]) -> None:
        """Thumbnails, segments and playlists. Raises TaskError(output_invalid)."""
        attempt, spec, folder = self._attempt, self._spec, self._folder
        attempt.phase("package")
        expected = verify.expect(planned[0].spec, self._source)
        if spec.thumbnails is not None:
            await self._thumbnails(planned)
        steady = picture.generated_rate(spec) if self._source is None else expected.steady
        rate = Fraction(steady) if steady else None
        names = [rung.name for rung in planned]
        sounds = {one.name: one.label for one in self._sounds}
        texts = {one.name: one.label for one in self._texts}
        files = await in_thread(_as_files, spec, folder, [*names, *sounds])
        try:
            made = await in_thread(
                lambda: package.write(folder, names, sounds=sounds, texts=texts, frame_rate=rate, files=files)
            )
        except ValueError as error:
            raise TaskError(Code.OUTPUT_INVALID, f"The package cannot be made: {error}") from error
        self._tell_package(planned, made)

    async def _thumbnails(self, planned: list[rungs.Planned]) -> None:
        attempt, asked = self._attempt, self._spec.thumbnails
        assert asked is not None
        rung = next((one for one in reversed(planned) if one.width >= asked.width), planned[0])
        path = self._folder / f"{rung.name}.mp4"
        track = await in_thread(boxes.read, path)
        video = None if self._source is None else self._source.main_video
        command, sheets = ladder.thumbnails(self._spec, asked, track, video, tools=attempt.kit.tools, made=path)
        await run_all(attempt, [command], FfmpegProgress(None, None), beside="package")
        await in_thread((self._folder / "thumbs.vtt").write_text, sheets.webvtt())

    def _tell_package(self, planned: list[rungs.Planned], made: list[Rendition]) -> None:
        self._attempt.note_made(
            ladder=[_made(rung, one.average_bps, one.peak_bps) for rung, one in zip(planned, made, strict=True)]
        )

    async def _tell(self, planned: list[rungs.Planned]) -> None:
        told = []
        for rung in planned:
            size = (await in_thread((self._folder / f"{rung.name}.{self._spec.container}").stat)).st_size
            seconds = verify.expect(rung.spec, self._source).video_seconds
            average = round(8 * size / seconds) if seconds else 0
            told.append(_made(rung, average, 0))
        self._attempt.note_made(ladder=told)


def _made(rung: rungs.Planned, average: int, peak: int) -> RungMade:
    return RungMade(
        name=rung.name,
        width=rung.width,
        height=rung.height,
        asked=rungs.asked(rung.spec.rate),
        average_bps=average,
        peak_bps=peak,
        why=rung.why,
    )


def _emptied(folder: Path) -> None:
    """A directory without what another way left in it."""
    if folder.exists():
        local.remove(folder)
    folder.mkdir()


def _as_files(spec: Spec, folder: Path, names: list[str]) -> bool:
    if spec.segments is not Segments.AUTO or spec.output is None:
        return spec.segments is Segments.FILES
    return len(boxes.read(folder / f"{names[0]}.mp4").fragments) * len(names) <= _MOST_FILES

"""Law 4: a result of a stage is computed once per run, when it is first wanted, unless the cache has it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.backends.base import Executor, Future, TaskOptions
from pipeline.stages.cache import StageCache, run_and_cache


@dataclass(eq=False)
class StageResult:
    """One result of a call, by reference.

    content hash   its content content hash, or None if it cannot have one
    future    None as long as nobody wants it
    kept      whether the cache is known to have it
    """

    call: "StageCall"
    content_hash: str | None
    future: Future | None = None
    kept: bool = False


@dataclass(eq=False)
class StageCall:
    """A call of a stage's function; it is made only if one of its results is wanted and not in the cache.

    arguments   results of other calls among them
    """

    stage: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    results: tuple[StageResult, ...] = ()

    @property
    def inputs(self) -> list[StageResult]:
        """The results of other calls that this one needs."""
        return [argument for argument in self.arguments if isinstance(argument, StageResult)]


@dataclass
class StageGraph:
    """All calls of one run.

    options      by stage, what its tasks need
    n_cached     results that were found in the cache and are of an earlier run
    n_computed   calls that were made
    """

    executor: Executor
    cache: StageCache
    options: Mapping[Any, TaskOptions]
    n_cached: int = 0
    n_computed: int = 0
    _known: dict[str, StageResult] = field(default_factory=dict)
    _running: list[tuple[StageCall, Future]] = field(default_factory=list)

    def call(
        self, stage: str, content_hashes: Sequence[str | None], function: Callable[..., Any], *arguments: Any
    ) -> tuple[StageResult, ...]:
        """What the call would return: as many results as there are content hashes. Nothing is done yet."""
        if all(content_hash in self._known for content_hash in content_hashes):
            return tuple(self._known[content_hash] for content_hash in content_hashes if content_hash is not None)
        call = StageCall(stage, function, arguments)
        call.results = tuple(StageResult(call, content_hash) for content_hash in content_hashes)
        self._known |= {result.content_hash: result for result in call.results if result.content_hash is not None}
        return call.results

    def want(self, results: Iterable[StageResult]) -> None:
        """Give all these results a future; what they are made from is wanted only where the cache lacks them."""
        lacking = dict.fromkeys(result for result in results if result.future is None)
        looked = [
            (result, *self._submit(result.call, self.cache.look, result.content_hash, returns=2))
            for result in lacking
            if result.content_hash is not None and self.cache.may_have(result.content_hash)
        ]
        for result, found, value in looked:
            if self.executor.fetch(found):
                self.n_cached += not result.kept
                result.future, result.kept = value, True
        missing = [result for result in lacking if result.future is None]
        if missing:
            self.want(needed for result in missing for needed in result.call.inputs if needed not in lacking)
        for result in missing:
            if result.future is None:
                self._start(result.call)

    def finish(self, *stages: str) -> None:
        """Wait until the calls of these stages have returned; raises what one of them raised."""
        for call, all_kept in [running for running in self._running if running[0].stage in stages]:
            self._running.remove((call, all_kept))
            kept = self.executor.fetch(all_kept)
            for result in call.results:
                result.kept = kept

    def release(self, results: Iterable[StageResult]) -> None:
        """Let go of those that the cache has: should they be wanted again, they are read."""
        for result in results:
            if result.kept:
                result.future = None

    def _start(self, call: StageCall) -> None:
        for needed in call.inputs:
            if needed.future is None:  # missing as well
                self._start(needed.call)
        content_hashes = [result.content_hash for result in call.results]
        arguments = [argument.future if isinstance(argument, StageResult) else argument for argument in call.arguments]
        *futures, all_kept = self._submit(
            call, run_and_cache, self.cache, content_hashes, call.function, *arguments, returns=len(content_hashes) + 1
        )
        for result, future in zip(call.results, futures, strict=True):
            result.future = future
        self.n_computed += 1
        self._running.append((call, all_kept))

    def _submit(
        self, call: StageCall, function: Callable[..., Any], *arguments: Any, returns: int
    ) -> tuple[Future, ...]:
        return self.executor.submit(function, *arguments, options=self.options[call.stage], returns=returns)

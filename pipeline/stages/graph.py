"""Calls of stages and their results: each result is computed once per run, when it is first requested.

A result that the cache has is read instead, and then its inputs are not computed (law 4).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.backends.base import Executor, Future, TaskOptions
from pipeline.stages.cache import StageCache, run_and_cache


@dataclass(eq=False)
class StageResult:
    """One result of a call, by reference.

    Parameters
    ----------
    call : StageCall
    content_hash : str or None
        None for a result that must not be cached.
    future : Future or None, default None
        None until the result is requested.
    cached : bool, default False
        Whether the cache is known to have it.
    """

    call: "StageCall"
    content_hash: str | None
    future: Future | None = None
    cached: bool = False


@dataclass(eq=False)
class StageCall:
    """A call of a stage's function. It is made only if one of its results is requested and not in the cache.

    Parameters
    ----------
    stage : str
    function : callable
    arguments : tuple
        May contain results of other calls.
    results : tuple of StageResult
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

    Parameters
    ----------
    executor : Executor
    cache : StageCache
    options : mapping of str to TaskOptions
        By stage, the resources of its tasks.

    Attributes
    ----------
    n_cached : int
        Results of earlier runs that were found in the cache.
    n_computed : int
        Calls that were made.
    """

    executor: Executor
    cache: StageCache
    options: Mapping[Any, TaskOptions]
    n_cached: int = 0
    n_computed: int = 0
    _known: dict[str, StageResult] = field(default_factory=dict)  # by content hash
    _running: list[tuple[StageCall, Future]] = field(default_factory=list)

    def call(
        self, stage: str, content_hashes: Sequence[str | None], function: Callable[..., Any], *arguments: Any
    ) -> tuple[StageResult, ...]:
        """Describe a call without making it.

        Parameters
        ----------
        stage : str
        content_hashes : sequence of str or None
            Of each value that the function returns.
        function : callable
        *arguments : Any
            Results of other calls are replaced by their values.

        Returns
        -------
        tuple of StageResult
            The same objects for equal content hashes.
        """
        known = [self._known[content_hash] for content_hash in content_hashes if content_hash in self._known]
        if len(known) == len(content_hashes):
            return tuple(known)
        call = StageCall(stage, function, arguments)
        call.results = tuple(StageResult(call, content_hash) for content_hash in content_hashes)
        self._known |= {result.content_hash: result for result in call.results if result.content_hash is not None}
        return call.results

    def request(self, results: Iterable[StageResult]) -> None:
        """Give each result a future; the inputs of those that the cache has are not requested."""
        missing = dict.fromkeys(result for result in results if result.future is None)
        reads = []
        for result in missing:
            if result.content_hash is not None and self.cache.may_contain(result.content_hash):
                options = self.options[result.call.stage]
                found, value = self.executor.submit(self.cache.get, result.content_hash, options=options, returns=2)
                reads.append((result, found, value))
        for result, found, value in reads:
            if self.executor.fetch(found):
                self.n_cached += not result.cached
                result.future, result.cached = value, True
        to_compute = [result for result in missing if result.future is None]
        if to_compute:
            self.request(needed for result in to_compute for needed in result.call.inputs if needed not in missing)
        for result in to_compute:
            if result.future is None:  # else another result of the same call has started it
                self._start(result.call)

    def wait(self, *stages: str) -> None:
        """Wait until the running calls of these stages have returned; raises what one of them raised."""
        for call, all_cached in [running for running in self._running if running[0].stage in stages]:
            self._running.remove((call, all_cached))
            cached = self.executor.fetch(all_cached)
            for result in call.results:
                result.cached = cached

    def release(self, results: Iterable[StageResult]) -> None:
        """Free the memory of the results that the cache has; requested again, they are read."""
        for result in results:
            if result.cached:
                result.future = None

    def _start(self, call: StageCall) -> None:
        for needed in call.inputs:
            if needed.future is None:  # it is to be computed, too
                self._start(needed.call)
        content_hashes = [result.content_hash for result in call.results]
        arguments = [argument.future if isinstance(argument, StageResult) else argument for argument in call.arguments]
        *futures, all_cached = self.executor.submit(
            run_and_cache,
            self.cache,
            content_hashes,
            call.function,
            *arguments,
            options=self.options[call.stage],
            returns=len(content_hashes) + 1,
        )
        for result, future in zip(call.results, futures, strict=True):
            result.future = future
        self.n_computed += 1
        self._running.append((call, all_cached))

"""Law 4: a result of a stage is computed once per run, when it is first wanted, unless the cache has it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.cache import Caching, computed
from pipeline.execution.base import Executor, Handle, TaskOptions


@dataclass(eq=False)
class Result:
    """One result of a call, by reference.

    address   its content address, or None if it cannot have one
    handle    None as long as nobody wants it
    kept      whether the cache is known to have it
    """

    call: "Call"
    address: str | None
    handle: Handle | None = None
    kept: bool = False


@dataclass(eq=False)
class Call:
    """A call of a stage's function; it is made only if one of its results is wanted and not in the cache.

    arguments   results of other calls among them
    """

    stage: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    results: tuple[Result, ...] = ()

    @property
    def inputs(self) -> list[Result]:
        """The results of other calls that this one needs."""
        return [argument for argument in self.arguments if isinstance(argument, Result)]


@dataclass
class Once:
    """All calls of one run.

    options      by stage, what its tasks need
    n_cached     results that were found in the cache and are of an earlier run
    n_computed   calls that were made
    """

    executor: Executor
    cache: Caching
    options: Mapping[Any, TaskOptions]
    n_cached: int = 0
    n_computed: int = 0
    _known: dict[str, Result] = field(default_factory=dict)
    _running: list[tuple[Call, Handle]] = field(default_factory=list)

    def call(
        self, stage: str, addresses: Sequence[str | None], function: Callable[..., Any], *arguments: Any
    ) -> tuple[Result, ...]:
        """What the call would return: as many results as there are addresses. Nothing is done yet."""
        if all(address in self._known for address in addresses):
            return tuple(self._known[address] for address in addresses if address is not None)
        call = Call(stage, function, arguments)
        call.results = tuple(Result(call, address) for address in addresses)
        self._known |= {result.address: result for result in call.results if result.address is not None}
        return call.results

    def want(self, results: Iterable[Result]) -> None:
        """Give all these results a handle; what they are made from is wanted only where the cache lacks them."""
        lacking = dict.fromkeys(result for result in results if result.handle is None)
        looked = [
            (result, *self._submit(result.call, self.cache.look, result.address, returns=2))
            for result in lacking
            if result.address is not None and self.cache.may_have(result.address)
        ]
        for result, found, value in looked:
            if self.executor.fetch(found):
                self.n_cached += not result.kept
                result.handle, result.kept = value, True
        missing = [result for result in lacking if result.handle is None]
        if missing:
            self.want(needed for result in missing for needed in result.call.inputs if needed not in lacking)
        for result in missing:
            if result.handle is None:
                self._start(result.call)

    def finish(self, *stages: str) -> None:
        """Wait until the calls of these stages have returned; raises what one of them raised."""
        for call, all_kept in [running for running in self._running if running[0].stage in stages]:
            self._running.remove((call, all_kept))
            kept = self.executor.fetch(all_kept)
            for result in call.results:
                result.kept = kept

    def release(self, results: Iterable[Result]) -> None:
        """Let go of those that the cache has: should they be wanted again, they are read."""
        for result in results:
            if result.kept:
                result.handle = None

    def _start(self, call: Call) -> None:
        for needed in call.inputs:
            if needed.handle is None:  # missing as well
                self._start(needed.call)
        addresses = [result.address for result in call.results]
        arguments = [argument.handle if isinstance(argument, Result) else argument for argument in call.arguments]
        *handles, all_kept = self._submit(
            call, computed, self.cache, addresses, call.function, *arguments, returns=len(addresses) + 1
        )
        for result, handle in zip(call.results, handles, strict=True):
            result.handle = handle
        self.n_computed += 1
        self._running.append((call, all_kept))

    def _submit(self, call: Call, function: Callable[..., Any], *arguments: Any, returns: int) -> tuple[Handle, ...]:
        return self.executor.submit(function, *arguments, options=self.options[call.stage], returns=returns)

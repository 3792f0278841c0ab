"""optuna's samplers as a `Method`: points in flight are its running trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adaptive_scheduler.core.searches.space import Choices, Range, Space, Values
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.optimizers.method import seed_of


class OptunaMethod:
    """Asks a sampler of optuna, which gets a study made of what is known for each point.

    Parameters
    ----------
    space : Space
    sampler : str
        ``tpe`` or ``random``.
    seed : int
    options : dict
        Of the sampler.
    """

    keeps = False
    attempts = 3

    def __init__(self, space: Space, sampler: str, seed: int, options: dict[str, Any]) -> None:
        self._space, self._name, self._seed = space, sampler, seed
        self._options = {"constant_liar": True, **options} if sampler == "tpe" else dict(options)
        self._axes = {name: _distribution(axis) for name, axis in self._by_name().items()}
        self._told: list[Any] = []
        self._sampler(0)  # says what is wrong with the options

    def _by_name(self) -> dict[str, Range | Choices]:
        return self._space.named(self._space.axes)

    def _sampler(self, seed: int) -> Any:
        from optuna import samplers

        kinds = {"tpe": samplers.TPESampler, "random": samplers.RandomSampler}
        if self._name not in kinds:
            raise InputError(f"method='optuna:{self._name}': there are {', '.join(kinds)}.")
        try:
            return kinds[self._name](seed=seed, **self._options)
        except (TypeError, ValueError) as error:
            raise InputError(f"method='optuna:{self._name}': {error}.") from error

    def initial(self) -> list[Values]:
        """Return none: those that it begins with are random, and each has a seed by its number."""
        return []

    def ask(self, number: int, pending: Sequence[Values], attempt: int) -> Values:
        """Return what the sampler chooses."""
        import optuna

        study = _quiet_study(self._sampler(seed_of(self._seed, number, attempt)))
        running = [self._trial(one, optuna.trial.TrialState.RUNNING) for one in pending]
        study.add_trials([*self._told, *running])
        found = study.ask(self._axes).params
        return self._space.native({name: self._ours(name, one) for name, one in found.items()})

    def skip(self) -> None:
        """Do nothing: points are chosen by their number."""

    def tell(self, values: Values, value: float) -> None:
        """Take a value."""
        import optuna

        self._told.append(self._trial(values, optuna.trial.TrialState.COMPLETE, value))

    def _trial(self, values: Values, state: Any, value: float | None = None) -> Any:
        import optuna

        params = {
            name: axis.values.index(one) if isinstance(axis, Choices) else one
            for (name, axis), one in zip(self._by_name().items(), values, strict=True)
        }
        return optuna.trial.create_trial(
            params=params, distributions=self._axes, state=state, value=value
        )

    def _ours(self, name: str, value: Any) -> Any:
        axis = self._by_name()[name]
        return axis.values[value] if isinstance(axis, Choices) else value


def _quiet_study(sampler: Any) -> Any:
    """Return a new study in memory; optuna would print a line for each."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(sampler=sampler)
    finally:
        optuna.logging.set_verbosity(before)


def _distribution(axis: Range | Choices) -> Any:
    from optuna import distributions

    if isinstance(axis, Choices):  # by index: texts, None and numbers may be mixed
        return distributions.CategoricalDistribution(range(len(axis.values)))
    if axis.is_whole:
        return distributions.IntDistribution(int(axis.low), int(axis.high), log=axis.log)
    return distributions.FloatDistribution(axis.low, axis.high, log=axis.log)

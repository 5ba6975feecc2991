"""The Python interface: what `from nnsweep import ...` offers.

    result = sweep(df, target="price", preset="good")
    result = sweep(df, target="price", overrides=["search=tpe"], space={...}, seconds=60, cpus=2)
    result.leaderboard, result.trials, result.curves("0003"), result.best, result.model.predict(new)
    result = load_run("last").extend(epochs=200)

It is as thin as the command line, and on the same road: arguments become overrides, overrides a checked
`Configuration` (`pipeline.config.compose`), and `pipeline.driver.run` does the work. So `overrides` can do all that a
command can, and the journal of a run holds the command that repeats it.

- **Data in memory become a file** below the folder of runs, named for its content; `pipeline.data.in_memory` says why.
- **Defaults of a notebook**: in this process (execution=local), without MLflow (tracking=none), and the report when it
  is asked for. `cpus` starts Ray for the sweep, and `overrides` choose anything else.
- **A result is its run's folder.** `SweepResult` reads what it shows from there, when it is asked: a run that has just
  ended, one of last week and one of the command line are the same object, and nothing needs to be pickled.
- **One sweep at a time.** BLAS threads, Ray, Hydra and the list of allowed packages belong to the process. A sweep
  holds a lock, so that one in another thread waits, and all of it is as before when it ends
  (`pipeline.interface.exclusive`). No signal handler stays: Ctrl-C raises KeyboardInterrupt, and the same call resumes
  the run.
- **Errors** are `InvalidSettingError`, a `SettingError` and a `ValueError`, with cures in Python's words.
"""

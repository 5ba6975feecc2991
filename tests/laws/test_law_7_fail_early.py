"""Law 7, fail early, fail clearly: an invalid setting ends the command at once, with one line and exit code 2."""

import subprocess
import sys
import time

import pytest
from running import compose, nightly_after_first, read_summary, run_here, slow_after_first

from pipeline.cli.dispatch import dispatch

# name of the mistake: (overrides, words that the line must contain)
STOPPING = ("+regularizer@training.regularizers.early_stopping=early_stopping",)
WRONG = {
    "misspelt group": (["redcue=pca"], ["redcue", "did you mean reduce?"]),
    "misspelt setting of another file": (["data=csv", "data.taget=x"], ["data.taget", "did you mean data.target?"]),
    "a mapping as one value": (
        ["data=csv", "data.where={a: 1}"],
        ["data.where is a mapping", "+data.where.entry=value"],
    ),
    "a mapping as a list": (["network.hidden={a: 1}"], ["network.hidden", "a mapping where a list is needed"]),
    "an unknown kind of target": (["loss@network.loss.binry=huber"], ["did you mean loss@network.loss.binary?"]),
    "no target": (["data=csv", "data.path=x.csv"], ["data.target must be given: data.target=..."]),
    "misspelt option": (["reduce=pcaa"], ["reduce=pcaa", "did you mean pca?", "autoencoder, none, pca"]),
    "misspelt setting": (["training.epochz=3"], ["training.epochz", "did you mean training.epochs?"]),
    "unknown setting": (["+training.foo=3"], ["training.foo is not a setting"]),
    "unknown setting of a stage": (["+reduce.foo=3"], ["reduce.foo is not a setting"]),
    "missing setting": (["~training.epochs"], ["training.epochs must be given"]),
    "text for a number": (["training.epochs=abc"], ["training.epochs = 'abc'", "valid integer"]),
    "fraction for a whole number": (["training.epochs=2.5"], ["training.epochs = 2.5", "valid integer"]),
    "zero epochs": (["training.epochs=0"], ["training.epochs = 0", "greater than 0"]),
    "negative seed": (["seed=-1"], ["seed = -1", "greater than or equal to 0"]),
    "empty layer": (["network.hidden=[64,0]"], ["network.hidden.1 = 0", "greater than 0"]),
    "unknown activation": (["network.activation._target_=nncore.activations.rleu"], ["network.activation", "rleu"]),
    "test share above one": (["split.test=2"], ["split.test = 2", "less than 1"]),
    "no training rows": (["split.test=0.9"], ["validation + test must be below 1", "1.1"]),
    "more components than columns": (["reduce.n_components=65"], ["reduce.n_components", "at most", "64", "65"]),
    "no components": (["reduce.n_components=0"], ["reduce.n_components = 0", "greater than 0", "'auto'"]),
    "unknown optimizer": (
        ["+optimizer@space.optimizer.adan=adan"],
        ["optimizer=adan", "did you mean adam?", "rmsprop, rmsprop_centred, sgd"],
    ),
    "optimizer without a function": (["+space.optimizer.adan.learning_rate=[1]"], ["space.optimizer.adan", "_target_"]),
    "optimizers as text": (["space.optimizer=adam"], ["space.optimizer = 'adam'"]),
    "an optimizer beside recipes": (
        ["preset=quick", "~space.optimizer.adam", "+optimizer@space.optimizer.mine=parameter_factors"],
        [
            "space.optimizer.adam is not a setting of this space: it has recipes",
            "give preset=none in place of preset=q",
        ],
    ),
    "an optimizer added to recipes": (
        ["space=portfolio", "search=portfolio", "+optimizer@space.optimizer.mine=parameter_factors"],
        ["space.optimizer.mine is not a setting of this space", "in place of space=portfolio search=portfolio"],
    ),
    "what is not there is removed": (["~training.epocs"], ["no setting training.epocs to remove", "training.epochs?"]),
    "a refit beside a clock": (
        ["preset=good", "select.refit=true"],
        ["select.refit=true takes time that budget.seconds=120 does not count", "run=last select.refit=true"],
    ),
    "no optimizers": (
        [f"~space.optimizer.{n}" for n in ("sgd", "momentum", "rmsprop", "adam")],
        ["space", "optimizer"],
    ),
    "negative rate": (["space.optimizer.adam.learning_rate=[1,-1]"], ["space.optimizer.adam", "> 0", "-1"]),
    "rate not a number": (["space.optimizer.adam.learning_rate=[nan]"], ["learning_rate", "nan"]),
    "no rates": (["space.optimizer.adam.learning_rate=[]"], ["learning_rate must list at least one value"]),
    "text for a rate": (["space.optimizer.adam.learning_rate=fast"], ["learning_rate must be a number", "fast"]),
    "missing rate": (["~space.optimizer.adam.learning_rate"], ["learning_rate must be given for adam"]),
    "unknown hyperparameter": (["+space.optimizer.adam.beta3=1"], ["beta3 is not a setting of adam", "beta1, beta2"]),
    "mixing share above one": (
        ["+regularizer@space.regularizer.elastic_net=elastic_net", "space.regularizer.elastic_net.l1_ratio=2"],
        ["l1_ratio must be <= 1", "2.0"],
    ),
    "metric of another task": (
        ["select.metric=r2"],
        ["select.metric", "for classification", "is r2", "loss, log_loss, accuracy, roc_auc"],
    ),
    "metric that is misspelt": (["select.metric=acuracy"], ["select.metric", "acuracy", "did you mean accuracy?"]),
    "metric without its argument": (
        ["data=diabetes", "select.metric=mean_pinball_loss"],
        ["select.metric: quantile must be given", "{_target_: nncore.metrics.mean_pinball_loss, ...}"],
    ),
    "metric whose argument is out of range": (
        ["select.metric={_target_: nncore.metrics.f1, threshold: 7}"],
        ["select.metric", "threshold must be <= 1, but is 7"],
    ),
    "metric that is a loss": (
        ["select.metric={_target_: nncore.losses.huber}"],
        ["select.metric", "does not return a metric"],
    ),
    "tradeoff that is the metric": (["select.tradeoffs=[loss]"], ["select.tradeoffs", "is loss", "select.metric="]),
    "early stopping watches a metric that is misspelt": (
        [*STOPPING, "+training.regularizers.early_stopping.watch=validation/acuracy"],
        ["watch must be", "validation/acuracy", "did you mean validation/accuracy?"],
    ),
    "early stopping watches a metric of another task": (
        [*STOPPING, "+training.regularizers.early_stopping.watch=validation/r2"],
        ["watch must be validation/ with loss, log_loss,", "roc_auc", "but is validation/r2; choose validation/loss"],
    ),
    "metric of another task, other way": (
        ["data=diabetes", "select.metric=accuracy"],
        ["select.metric", "for regression", "is accuracy", "loss, root_mean_squared_error"],
    ),
    "name that is a path": (["name=../x"], ["name", "letters, digits", "'../x'"]),
    "no workers": (["execution.cpus=0"], ["execution.cpus = 0", "'auto'"]),
    "unknown width": (["stacks.width=none"], ["stacks.width = 'none'", "'auto' or 'unlimited'"]),
    "unknown store": (["tracking.uri=foo"], ["tracking.uri", "sqlite", "foo"]),
    "a stage without resources": (["~stages.load"], ["stages.load must be given"]),
    "negative retries": (["stages.load.retries=-1"], ["stages.load.retries = -1"]),
    "a reduction instead of a source": (
        ["data._target_=pipeline.stages.reduce.Identity", "~data.name", "name=x"],
        ["data", "Source"],
    ),
    "broken syntax": (["training.epochs=[1"], ["[1"]),
    "true for a number": (["training.epochs=true"], ["training.epochs = True", "valid integer"]),
    "true for a seed": (["seed=true"], ["seed = True", "valid integer"]),
    "true for a width": (["stacks.width=true"], ["stacks.width = True"]),
    "list in a list": (["space.optimizer.adam.learning_rate=[[0.1]]"], ["learning_rate", "[0.1]"]),
    "rate too large for float32": (["space.optimizer.adam.learning_rate=[1e39]"], ["learning_rate", "1e37"]),
    "epsilon too small for float32": (["+space.optimizer.adam.epsilon=1e-60"], ["epsilon", "1e-37"]),
    "a loss for an activation": (
        ["network.activation._target_=nncore.losses.squared_error"],
        ["network.activation", "nncore.losses.squared_error does not return an activation"],
    ),
    "an activation for an initializer": (
        ["network.initializer._target_=nncore.activations.relu"],
        ["network.initializer", "does not return an initializer"],
    ),
    "a regularizer for an optimizer": (
        ["+regularizer@space.optimizer.x=none"],
        ["space.optimizer.x", "nncore.regularizers.penalties.none does not return an optimizer"],
    ),
    "an optimizer for a regularizer": (
        ["+optimizer@space.regularizer.x=lion"],
        ["space.regularizer.x", "nncore.optimizers.lion.lion does not return a regularizer"],
    ),
    "a wrong rate inside another optimizer": (
        ["+optimizer@space.optimizer.lookahead=lookahead", "space.optimizer.lookahead.optimizer.learning_rate=-1"],
        ["space.optimizer.lookahead", "learning_rate must be > 0", "-1"],
    ),
    "a schedule inside an optimizer": (
        ["+optimizer@space.optimizer.x=lookahead", "space.optimizer.x.optimizer._target_=nncore.schedules.constant"],
        ["space.optimizer.x", "nncore.schedules.constant does not return an optimizer"],
    ),
    "a wrong schedule": (["schedule@training.schedule=cosine", "training.schedule.epochs=0"], ["epochs must be > 0"]),
    "a regularizer that the targets do not allow": (
        ["data=diabetes", "+regularizer@space.regularizer.smooth=label_smoothing"],
        ["space.regularizer", "label_smoothing requires one-hot or binary targets"],
    ),
    "an optimizer that the regularizer does not allow": (
        ["+optimizer@space.optimizer.lbfgs=lbfgs", "+regularizer@training.regularizers.drop=dropout"],
        ["training.regularizers", "dropout changes the objective or the step, but lbfgs needs a fixed objective"],
    ),
    "one regularizer twice": (
        ["+regularizer@training.regularizers.l2=l2", "+training.regularizers.l2.strength=0.1"],
        ["training.regularizers", "must be different, with at most one weight average"],
    ),
    "a number for a flag": (
        ["+space.regularizer.l2.biases=1"],
        ["space.regularizer.l2", "biases must be true or false, but is 1"],
    ),
    "a wrong regularizer of the autoencoder": (
        ["reduce=autoencoder", "+regularizer@reduce.regularizers.x=label_smoothing"],
        ["reduce.regularizers", "label_smoothing requires one-hot or binary targets"],
    ),
    "a classification loss for an autoencoder": (
        ["reduce=autoencoder", "loss@reduce.loss=softmax_cross_entropy"],
        ["reduce.loss must be one for values, but is softmax_cross_entropy"],
    ),
    "scaled counts": (
        ["data=diabetes", "loss@network.loss.regression=poisson"],
        ["prepare.scale_targets must be false for poisson", "true"],
    ),
    "logarithms for deviations": (
        ["data=diabetes", "loss@network.loss.regression=gaussian", "+space.prepare.target=[none,log]"],
        ["prepare.target must be none for gaussian, which predicts a deviation in the target's own unit", "is log"],
    ),
    "powers for counts": (
        [
            *["data=diabetes", "loss@network.loss.regression=poisson"],
            *["prepare.scale_targets=false", "prepare.target=yeo_johnson"],
        ],
        ["prepare.target must be none for poisson, which takes counts, but is yeo_johnson"],
    ),
    "transformed classes": (["prepare.target=log"], ["prepare.target must be none for classification, but is log"]),
    "bounded classes": (
        ["prepare.bound_predictions=true"],
        ["prepare.bound_predictions must be auto or false for classification, but is true"],
    ),
    "a function that returns no component": (
        ["+space.optimizer.x={_target_: nncore.components.resolve, name: nncore.components.resolve}"],
        ["space.optimizer.x", "nncore.components.resolve is neither a function that returns a component nor"],
    ),
    "softmax over one output": (
        ["loss@network.loss.binary=softmax_cross_entropy"],
        ["network.loss", "binary must be a loss for binary targets"],
    ),
    "likelihood of bits for values": (
        ["loss@network.loss.regression=sigmoid_cross_entropy"],
        ["network.loss", "regression must be a loss for real or count targets"],
    ),
    "no loss for several classes": (["~network.loss.multiclass"], ["network.loss.multiclass must be given"]),
    "too little of a processor": (["stages.sweep.cpus=0.00001"], ["stages.sweep.cpus", "0.01"]),
    "one and a half devices": (["stages.load.gpus=1.5"], ["stages.load", "gpus must be a whole number", "1.5"]),
    "a device for slices on cores": (["stages.sweep.gpus=1"], ["stages.sweep.gpus must be 0", "execution.gpus"]),
    "no devices": (["execution.gpus=0"], ["execution.gpus"]),
    "more than a device for one stack": (["execution.gpu_fraction=1.5"], ["execution.gpu_fraction", "1"]),
    "more processors than there will be": (
        ["execution.cpus=1", "stages.load.cpus=2"],
        ["stages.load.cpus must be at most execution.cpus=1", "2"],
    ),
    "slices without end": (["stacks.slice_seconds=1e308"], ["stacks.slice_seconds", "3600"]),
    "a database in memory": (["tracking.uri=sqlite://"], ["tracking.uri", "sqlite:///file.db", "sqlite://"]),
    "a server without a name": (["tracking.uri=http://"], ["tracking.uri", "http://"]),
    "no such folder": (["--config-dir", "nowhere"], ["--config-dir must be a folder", "nowhere"]),
    "an unknown option": (["--tracking", "none"], ["unrecognized arguments: --tracking"]),
    "a list where one value belongs": (["reduce=pca,none"], ["reduce=pca,none", "--multirun"]),
    "a split instead of a preprocessor": (
        [
            "~prepare",
            "+prepare={_target_: pipeline.stages.split.Holdout, "
            "validation: 0.1, test: 0.1, folds: 1, repeats: 1, seed: 0}",
        ],
        ["prepare", "Preprocessor"],
    ),
    "group set to nothing": (["reduce=null"], ["NoneType"]),
    "settings set to nothing": (["training=null"], ["training must be a mapping of settings, but is None"]),
    "wrong in the second job": (["-m", "training.epochs=1,0"], ["training.epochs = 0"]),
    "misspelt in the third job": (["-m", "reduce=none,pca,pcaa"], ["reduce=pcaa"]),
}


WRONG["values for a list of lists"] = (
    ["+space.network.hidden=[16,32]"],
    ["space.network.hidden = 16", "write [[16],[32]]"],
)
WRONG["an optimizer and a regularizer that are first combined late in the search"] = (
    [
        "+optimizer@space.optimizer.lbfgs=lbfgs",  # the space has dropout
        *("search=tpe", "search.batch_size=1", "search.trials=12"),
    ],
    ["space.regularizer", "dropout", "lbfgs"],
)
QUICK = list(WRONG)[::4]  # each composes the complete configuration; the other cases are marked slow


@pytest.mark.parametrize("mistake", [w if w in QUICK else pytest.param(w, marks=pytest.mark.slow) for w in WRONG])
def test_law_7_a_wrong_setting_is_one_line_and_exit_code_2(mistake, tmp_path, monkeypatch, capsys):
    overrides, words = WRONG[mistake]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["nnsweep", *overrides])
    with pytest.raises(SystemExit) as exit_info:
        dispatch(sys.argv[1:], time.monotonic())
    printed = capsys.readouterr()
    assert exit_info.value.code == 2
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith("nnsweep: ")
    assert all(word in line for word in words), line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "mistake", slow_after_first(["misspelt in the third job", "misspelt group", "zero epochs", "negative rate"])
)
def test_law_7_the_command_ends_before_ray_is_imported(mistake, tmp_path):
    program = (
        "import atexit, sys; atexit.register(lambda: print('ray' in sys.modules, 'pipeline' in sys.modules))\n"
        f"sys.argv = {['nnsweep', *WRONG[mistake][0]]}\n"
        "from pipeline.__main__ import main; main()\n"
    )
    completed = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert completed.returncode == 2
    assert completed.stdout == "False True\n"
    assert len(completed.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("execution", nightly_after_first(["local", "ray"]))
def test_law_7_an_error_found_in_the_data_is_one_line(execution, tmp_path):
    """1,617 validation rows leave too few training rows for 64 components, which is known only after the split."""
    settings = ("reduce.n_components=64", "split.validation=0.9", "split.test=0.07", "tracking=none")
    completed = run_here(tmp_path, *settings, f"execution={execution}", check=False)
    assert completed.returncode == 2
    (line,) = completed.stderr.splitlines()
    assert "reduce.n_components must be from 1 to" in line
    assert read_summary(tmp_path)["status"] == "failed"


def test_law_7_every_trial_is_built_before_the_first_task(tmp_path):
    """The only invalid trial, the last of many, is reported when the settings are built."""
    from pipeline.components.errors import SettingError

    rates = ",".join(["0.01"] * 200 + ["0"])
    with pytest.raises(SettingError, match="learning_rate must be > 0"):
        compose(f"space.optimizer.adam.learning_rate=[{rates}]")

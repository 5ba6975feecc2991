"""10,000 invalid files and settings: each gives a one-line message, and no crash, no hang and no file elsewhere."""

import copy
import json
import shutil
import signal
import zipfile
from hashlib import sha256

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from running import FEW, compose, run_sweep

from nncore.inference import model_file
from nncore.serialization.array_file import CHECKSUM_BYTES, MAGIC
from nncore.stack import checkpoint as stack_file
from pipeline.components.errors import SettingError
from pipeline.config.build import build_settings
from pipeline.config.schema import Configuration
from pipeline.config.variants import Variants
from pipeline.reports.contents import run_contents
from pipeline.runs.journal import last_event, last_session
from pipeline.runs.replay import salvaged
from pipeline.runs.resume import known_networks
from pipeline.runs.sealed_lines import sealed, unsealed

pytestmark = pytest.mark.slow
HANG_S = 20
EACH = 2500  # examples: four kinds of input, 10,000 in all

hostile = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(
        [
            "../../etc/passwd",
            "/etc/passwd",
            "..",
            "",
            "nan",
            "1e999",
            "os.system",
            "pipeline.driver.run.run",
            "\0",
            "$(id)",
            "~/x",
        ]
    ),
    st.sampled_from(["nncore.components.import_module", "subprocess.Popen", "pipeline.config.compose.os.system"]),
    st.lists(st.integers(-3, 3), max_size=4),
    st.dictionaries(
        st.sampled_from(["_target_", "low", "high", "x", "../y"]), st.integers() | st.text(max_size=5), max_size=3
    ),
)


@pytest.fixture(autouse=True)
def no_hang():
    """Fail the test when a single example takes too long."""
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail(f"an input took more than {HANG_S} s"))
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("fuzz")
    run_sweep(folder, *FEW, "training.epochs=2", "stacks.slice_seconds=0.001")
    (path,) = folder.glob("digits/*")
    return path


def paths_inside(value, path=()):
    """The paths to all parts of a nested value."""
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from paths_inside(inner, (*path, key))


def mutate(data, value, times=3):
    """The value with some of its parts replaced, removed, inserted or moved."""
    value = copy.deepcopy(value)
    for _ in range(data.draw(st.integers(1, times))):
        where = [path for path in paths_inside(value) if path]
        if not where:
            return value
        *parents, last = data.draw(st.sampled_from(where))
        parent = value
        for key in parents:
            parent = parent[key]
        mutation = data.draw(st.sampled_from(["replace", "remove", "move", "add"]))
        if mutation == "replace":
            parent[last] = data.draw(hostile)
        elif mutation == "remove":
            del parent[last]
        elif mutation == "move":
            parent[last] = copy.deepcopy(value_at(value, data.draw(st.sampled_from(where))))
        elif isinstance(parent, dict):
            parent[data.draw(st.text(max_size=8))] = data.draw(hostile)
        else:
            parent.insert(0, data.draw(hostile))
    return value


def value_at(value, path):
    for key in path:
        value = value[key]
    return value


def modification_times(folder):
    """All files below a folder with their modification times."""
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def refused_in_one_line(call, errors):
    """Whether the input was refused with a one-line message; valid input is accepted."""
    signal.alarm(HANG_S)
    try:
        call()
    except errors as error:
        message = str(error)
    else:
        return False
    finally:
        signal.alarm(0)
    assert len(message.splitlines()) == 1, message
    return True


def fuzz(examples=EACH):
    return settings(
        max_examples=examples, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )


@pytest.mark.nightly
def test_hostile_configurations(tmp_path, monkeypatch):
    """Compose a configuration, change it, and check it as a command does."""
    monkeypatch.chdir(tmp_path)
    _, plain = compose("execution=local", "tracking=none")
    refused = []

    def check(config):
        built = build_settings(config)
        Variants(Configuration(built, config, "")).check(None if built.data.task == "auto" else built.data.task)

    @fuzz()
    @given(st.data())
    def check_example(data):
        config = mutate(data, plain)
        refused.append(refused_in_one_line(lambda: check(config), SettingError))

    check_example()
    assert sum(refused) > len(refused) / 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.nightly
def test_hostile_journals(run_folder, tmp_path):
    """Change lines and bytes of a journal; then read it as a resumed run and as a report."""
    lines = [unsealed(line) for line in (run_folder / "journal.jsonl").read_bytes().splitlines()]
    folder = tmp_path / "runs" / "digits" / run_folder.name
    shutil.copytree(run_folder, folder)
    path, outside = folder / "journal.jsonl", tmp_path / "secret"
    outside.write_text("not to be read")
    refused = []

    def line_of(changed):
        """With the checksum of what it holds, as an attacker would write it."""
        return sealed(changed) if isinstance(changed, dict) else json.dumps(changed).encode() + b"\n"

    def read():
        networks = known_networks(folder, salvaged(folder))
        last_event(path), last_session(folder)
        assert all(
            not network.checkpoint or (folder / "states" / network.checkpoint.file).parent == folder / "states"
            for network in networks.values()
        )
        run_contents(folder)

    @fuzz()
    @given(st.data())
    def check_example(data):
        changed = mutate(data, lines)
        content = bytearray(b"".join(map(line_of, changed if isinstance(changed, list) else [changed])))
        if data.draw(st.booleans()):
            for _ in range(data.draw(st.integers(1, 4))):
                content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
        before = modification_times(tmp_path)
        refused.append(refused_in_one_line(read, SettingError))
        assert modification_times(tmp_path) == before

    check_example()
    assert sum(refused) > len(refused) / 4
    assert outside.read_text() == "not to be read"


@pytest.mark.nightly
def test_hostile_models(run_folder, tmp_path):
    """Change the JSON and correct the checksums, or change the file of arrays."""
    folder = tmp_path / "model"
    shutil.copytree(run_folder / "model", folder)
    document = json.loads((folder / "model.json").read_text())
    arrays = (folder / "arrays.npz").read_bytes()
    refused = []

    @fuzz()
    @given(st.data())
    def check_example(data):
        content = bytearray(arrays)
        if data.draw(st.booleans()):
            for _ in range(data.draw(st.integers(1, 3))):
                content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        changed = mutate(data, document)
        if isinstance(changed, dict) and "model" in changed:
            changed["model_sha256"] = sha256(json.dumps(changed["model"], sort_keys=True).encode()).hexdigest()
            changed["arrays_sha256"] = sha256(content).hexdigest()
        (folder / "arrays.npz").write_bytes(content)
        (folder / "model.json").write_text(json.dumps(changed))
        refused.append(refused_in_one_line(lambda: model_file.load(folder), ValueError))

    check_example()
    assert sum(refused) > len(refused) / 4


@pytest.mark.nightly
def test_hostile_states_of_stacks(run_folder, tmp_path):
    """Change the header and correct the checksum, or change bytes."""
    (source, *_) = sorted((run_folder / "states").glob("0*"))
    body, path = source.read_bytes()[:-CHECKSUM_BYTES], tmp_path / "state"
    start = len(MAGIC) + 8
    stop = start + int.from_bytes(body[len(MAGIC) : start], "little")
    header, content = json.loads(body[start:stop]), body[stop:]
    refused = []

    @fuzz()
    @given(st.data())
    def check_example(data):
        changed = json.dumps(mutate(data, header)).encode()
        length = len(changed) if data.draw(st.booleans()) else data.draw(st.integers(0, 2**64 - 1))
        content_of_file = MAGIC + length.to_bytes(8, "little") + changed + content
        path.write_bytes(content_of_file + sha256(content_of_file).digest())
        refused.append(refused_in_one_line(lambda: stack_file.load(path), ValueError))

    check_example()
    assert sum(refused) > len(refused) / 2


def npz(path, **entries):
    with zipfile.ZipFile(path, "w", entries.pop("how", zipfile.ZIP_STORED)) as archive:
        for name, content in entries.items():
            archive.writestr(f"{name}.npy", content)


def header(shape, dtype="<f8"):
    text = str({"descr": dtype, "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    ("how", "beginning", "n_more", "message"),
    [
        (zipfile.ZIP_STORED, header((2**40,)), 64, "does not have the size that its header announces"),
        (zipfile.ZIP_STORED, header((-1, 8)), 64, "does not have the size that its header announces"),
        (zipfile.ZIP_STORED, header((8,), "|O"), 64, "does not have the size that its header announces"),
        (zipfile.ZIP_DEFLATED, header((2**27,)), 2**30, "announces more bytes than it has"),
        (zipfile.ZIP_DEFLATED, header((8,)) + bytes(range(64)), 0, "is compressed"),
    ],
)
def test_arrays_larger_than_their_file_are_refused_before_memory_is_allocated(
    how, beginning, n_more, message, run_folder, tmp_path
):
    folder = tmp_path / "model"
    shutil.copytree(run_folder / "model", folder)
    npz(folder / "arrays.npz", arr_0=beginning + b"0" * n_more, how=how)
    document = json.loads((folder / "model.json").read_text())
    document["arrays_sha256"] = sha256((folder / "arrays.npz").read_bytes()).hexdigest()
    (folder / "model.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match=message):
        model_file.load(folder)

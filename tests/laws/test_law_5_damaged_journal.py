"""Law 5, nothing lost: what a damaged journal has lost is trained again and said, with the same results."""

import random
import shutil

import pytest
from interrupted import run_and_kill
from running import run_sweep

from pipeline.components.errors import SettingError
from pipeline.runs.journal import events

KINDS = (b"run", b"data", b"stage", b"rung", b"slice")
SEARCHES = {
    "grid": (
        "~space.optimizer.momentum",
        "~space.optimizer.rmsprop",
        "~space.regularizer.weight_decay",
        "stacks.width=3",
    ),
    "population": ("space=ranges", "search=population", "search.size=6", "search.every=4", "stacks.width=3"),
    "halving": ("search=halving", "search@search.candidates=random", "search.candidates.trials=9", "stacks.width=4"),
}
COMMON = ("data=iris", "training.epochs=16", "stacks.slice_seconds=0.001", "select.ensemble=0", "report=none")
RUNGS = {"grid": 1, "population": 3, "halving": 2}  # asked for when the run is killed
SLICES = {"grid": 9, "population": 2, "halving": 1}  # trained of the last of these rungs


class KilledRun:
    """A run that was killed, as often as a test needs it, and the digest of an undisturbed one."""

    def __init__(self, root, search):
        self.settings = (*COMMON, *SEARCHES[search])
        self.expected = run_sweep(root / "undisturbed", *self.settings)["digest"]
        killed = (*self.settings, "tracking=none", "execution=local")
        self._folder = run_and_kill(root, *killed, when=lambda path: is_far_enough(path, search))
        self.lines = (self._folder / "journal.jsonl").read_bytes().splitlines(keepends=True)

    def places(self, kind):
        """The lines of an event, by their index."""
        return [index for index, line in enumerate(self.lines) if line.startswith(b'{"event": "%s"' % kind)]

    def resumed(self, folder, lines):
        """The summary of the run resumed with another journal."""
        shutil.copytree(self._folder.parents[1], folder)
        (path,) = folder.glob("*/*/journal.jsonl")
        path.write_bytes(b"".join(lines))
        return run_sweep(folder, *self.settings), path

    def check(self, folder, lines, capsys, *, is_lost=True):
        """The digest is that of the undisturbed run, and what was lost is said; or the run is refused in one line."""
        try:
            summary, path = self.resumed(folder, lines)
        except SettingError as error:
            refusal = str(error)
        else:
            refusal = ""
        if refusal:
            assert len(refusal.splitlines()) == 1
            assert "start a new run with resume=never" in refusal
            return "refused"
        assert summary["digest"] == self.expected
        is_resumed = summary["run_id"] == self._folder.name
        warning = capsys.readouterr().err
        assert (f"warning: {path} is damaged (line " in warning) == (is_lost and is_resumed), warning
        if is_resumed:
            events(path)  # nothing is damaged since the last session began
        return "resumed" if is_resumed else "new"


def is_far_enough(path, search):
    rungs = path.read_bytes().split(b'{"event": "rung"')[1:]
    return len(rungs) >= RUNGS[search] and rungs[RUNGS[search] - 1].count(b'{"event": "slice"') >= SLICES[search]


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    return KilledRun(tmp_path_factory.mktemp("grid"), "grid")


@pytest.fixture(scope="module", params=["population", "halving"])
def search(request, tmp_path_factory):
    return KilledRun(tmp_path_factory.mktemp(request.param), request.param)


def flipped(line, index, bit):
    changed = bytearray(line)
    changed[index] ^= 1 << bit
    return bytes(changed)


def replaced(lines, index, line):
    return [*lines[:index], line, *lines[index + 1 :]]


@pytest.mark.slow
def test_law_5_an_undamaged_journal_is_resumed_without_a_warning(grid, tmp_path, capsys):
    assert grid.check(tmp_path / "runs", grid.lines, capsys, is_lost=False) == "resumed"


@pytest.mark.parametrize("digit", [b'"validation/loss": [', b'"fingerprint": "', b'"content_hash": "', b'"start": '])
def test_law_5_a_flipped_digit_of_a_slice_is_trained_again(digit, grid, tmp_path, capsys):
    """Such a line is valid JSON and a valid event."""
    index = grid.places(b"slice")[2]
    line = grid.lines[index]
    lines = replaced(grid.lines, index, flipped(line, line.index(digit) + len(digit), 0))
    assert grid.check(tmp_path / "runs", lines, capsys) == "resumed"


@pytest.mark.parametrize("place", [b"{", b'"networks"', b'"crc32"'])
def test_law_5_a_flipped_bit_of_the_last_line_is_said(place, grid, tmp_path, capsys):
    """Unlike a line that a crash has cut off, which was never finished."""
    index = grid.places(b"slice")[-1]
    line = grid.lines[index]
    changed = flipped(line, line.index(place), 2)
    assert grid.check(tmp_path / "runs", [*grid.lines[:index], changed], capsys) == "resumed"
    assert grid.check(tmp_path / "cut", [*grid.lines[:index], line[:-9]], capsys, is_lost=False) == "resumed"


@pytest.mark.parametrize("kind", KINDS)
def test_law_5_a_lost_line_is_trained_again(kind, grid, tmp_path, capsys):
    index = grid.places(kind)[0]
    outcome = grid.check(tmp_path / "runs", [*grid.lines[:index], *grid.lines[index + 1 :]], capsys)
    assert outcome == ("new" if kind == b"run" else "resumed")


def test_law_5_doubled_and_swapped_lines_change_no_result(grid, tmp_path, capsys):
    index = grid.places(b"slice")[1]
    a, b = grid.lines[index : index + 2]
    before, after = grid.lines[:index], grid.lines[index + 2 :]
    assert grid.check(tmp_path / "doubled", [*before, a, a, b, *after], capsys) == "resumed"
    assert grid.check(tmp_path / "swapped", [*before, b, a, *after], capsys) == "resumed"
    assert grid.check(tmp_path / "old", [*before, a, b, grid.lines[index - 1], *after], capsys) == "resumed"


@pytest.mark.slow
def test_law_5_a_copy_whose_lines_are_lost_is_trained_again_with_its_origin(search, tmp_path, capsys):
    """Also if the rung is lost that says of which network it is a copy."""
    rungs, slices = search.places(b"rung"), search.places(b"slice")
    for number, index in enumerate(
        [rungs[-1], slices[0], slices[-2], *(index for index in slices if index > rungs[1])]
    ):
        lines = [*search.lines[:index], *search.lines[index + 1 :]]
        is_lost = index < len(search.lines) - 1  # without its last line, it is the journal of a run killed before
        assert search.check(tmp_path / str(number), lines, capsys, is_lost=is_lost) == "resumed", index


def test_law_5_a_later_rung_before_an_earlier_one_is_trained_again(search, tmp_path, capsys):
    """The lines between are out of place, so that it is not known of which network one of the later rung is a copy."""
    rungs = search.places(b"rung")
    lines = [*search.lines[: rungs[1]], search.lines[rungs[-1]], *search.lines[rungs[1] :]]
    assert search.check(tmp_path / "runs", lines, capsys) == "resumed"


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(60))
def test_law_5_any_flipped_bit_is_noticed(seed, grid, tmp_path, capsys):
    drawn = random.Random(seed)
    index = drawn.choice(grid.places(drawn.choice(KINDS)))
    line = grid.lines[index]
    lines = replaced(grid.lines, index, flipped(line, drawn.randrange(len(line)), drawn.randrange(8)))
    grid.check(tmp_path / "runs", lines, capsys)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(20))
def test_law_5_several_damaged_lines_are_noticed(seed, search, tmp_path, capsys):
    drawn, lines = random.Random(seed), list(search.lines)
    for _ in range(drawn.randint(1, 4)):
        index = drawn.randrange(1, len(lines) - 1)
        match drawn.randrange(4):
            case 0:
                del lines[index]
            case 1:
                lines.insert(drawn.randrange(1, len(lines)), lines[index])
            case 2:
                lines[index], lines[index + 1] = lines[index + 1], lines[index]
            case _:
                lines[index] = flipped(lines[index], drawn.randrange(len(lines[index])), drawn.randrange(8))
    search.check(tmp_path / "runs", lines, capsys)


def test_law_5_a_finished_run_with_a_damaged_journal_is_repaired_by_its_command(grid, tmp_path, capsys):
    """What only reads the journal refuses it; the run's command with run=<id> trains again what is lost."""
    from pipeline.reports.contents import run_contents

    summary, path = grid.resumed(tmp_path / "runs", grid.lines)
    lines = path.read_bytes().splitlines(keepends=True)
    last = max(index for index, line in enumerate(lines) if line.startswith(b'{"event": "slice"'))
    path.write_bytes(b"".join(replaced(lines, last, flipped(lines[last], 200, 1))))
    with pytest.raises(SettingError, match=rf"line {last + 1} of .* is damaged .* the same command with run="):
        run_contents(path.parent)
    again = run_sweep(tmp_path / "runs", *grid.settings, f"run={summary['run_id']}")
    assert again["digest"] == grid.expected
    assert 0 < again["work"]["slices"] < summary["work"]["slices"] + 9
    assert f"warning: {path} is damaged (line {last + 1}: its checksum" in capsys.readouterr().err
    assert len(run_contents(path.parent).trials) == again["trials"]["planned"]

"""fairseq's log: its short form, and what it says of a training."""

from pathlib import Path

import pytest

from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.training import log

HEAD = "2026-11-21 03:09:31 | INFO | "
DONE = """\
2026-01-01 00:00:00 | INFO | train_inner | {"epoch": 1, "loss": "9", "num_updates": "5"}
2026-01-01 00:00:00 | INFO | valid | {"epoch": 1, "valid_loss": "5.5", "valid_nll_loss": "5", \
"valid_num_updates": "10"}
2026-01-01 00:00:00 | INFO | train | {"epoch": 1, "train_wps": "1000"}
2026-01-01 00:00:00 | INFO | fairseq_labo | stage 2 begins: one-hot targets from epoch 2, after 10 \
updates
2026-01-01 00:00:00 | INFO | valid | {"epoch": 2, "valid_loss": "4.5", "valid_nll_loss": "4", \
"valid_num_updates": "20"}
2026-01-01 00:00:00 | INFO | train | {"epoch": 2, "train_wps": "3000"}
2026-01-01 00:00:00 | INFO | fairseq_cli.train | done training in 7.5 seconds
"""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            'train_inner | {"epoch": 2, "loss": "4.5", "ppl": "20.1", "smoothing": "0.1", '
            '"wps": "9800.3", "num_updates": "15", "lr": "0.003"}',
            "epoch   2 | train_inner | loss 4.5 | ppl 20.1 | smoothing 0.1 | wps 9800.3 | "
            "num_updates 15",
        ),
        (
            'valid | {"epoch": 10, "valid_loss": "4.4", "valid_ppl": "21.7", "valid_bsz": "2"}',
            "epoch  10 | valid       | valid_loss 4.4 | valid_ppl 21.7",
        ),
        ("fairseq_cli.train | done training in 12.5 seconds", "done training in 12.5 seconds"),
        ("fairseq.trainer | Loaded checkpoint x.pt (epoch 2)", "Loaded checkpoint x.pt (epoch 2)"),
        ("fairseq.trainer | begin training epoch 2", None),
    ],
)
def test_short_form(line: str, expected: str | None) -> None:
    assert log.shorten(HEAD + line) == expected


WORKERS = """\
[rank0]: Traceback (most recent call last):
[rank0]:   File "x.py", line 1, in main
[rank0]:     raise Exception(
[rank0]: Exception: Size of sample #3 is invalid (=(2101, 2101)) since max_positions=(1024, 1024)

Traceback (most recent call last):
  File "run.py", line 9, in <module>
torch.distributed.elastic.multiprocessing.errors.ChildFailedError: 
====
fairseq_cli.train FAILED
"""  # noqa: W291
CHAIN = """\
Traceback (most recent call last):
  File "a.py", line 1, in save
OSError: [Errno 28] No space left on device: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "a.py", line 1, in save
    ^^^^
mine.Trouble: first line
second line
"""


@pytest.mark.parametrize(
    ("output", "how", "said", "remedy"),
    [
        (WORKERS, "status 1", "Exception: Size of sample #3 is", "-- --max-source-positions N"),
        (CHAIN, "status 1", "status 1\nmine.Trouble: first line\nsecond line\n", None),
        (CHAIN.partition("\n\n")[0], "status 1", "OSError: [Errno 28]", "make room"),
        ("usage\ntrain.py: error: no argument\n", "status 2", "2\ntrain.py: error: no ar", None),
        ("loading\nstuck at 5\n", "SIGKILL", "SIGKILL\nloading\nstuck at 5", "if memory was"),
        ("Traceback (most recent call last):\n  File", "status 1", "\n  File", None),
        ("", "status 1", "status 1\nthe whole log", None),
        (
            log.TRACEBACK + "\nException: please reset the optimizer (--reset-optimizer).",
            "status 1",
            "Exception: please",
            "behind -- --reset-optimizer",
        ),
        (
            log.TRACEBACK + "\nValueError: loaded state dict contains a parameter group that "
            "doesn't match the size of optimizer's group",
            "status 1",
            "ValueError: loaded state dict",
            "the checkpoint is of another model",
        ),
        ("ValueError: " + "x" * 5000, "status 1", "x…\n", None),
    ],
)
def test_what_ended_a_training(
    output: str, how: str, said: str, remedy: str | None, tmp_path: Path
) -> None:
    """Whatever the exception: its message, without the traceback; nothing of an earlier run."""
    path = tmp_path / "train.log"
    before = "Traceback (most recent call last):\nRuntimeError: CUDA out of memory\n"
    path.write_text(before + output, encoding="utf-8")
    found = log.ended_by(path, since=len(before), how=how)
    assert said in found and (remedy or "the whole log") in found
    assert "Traceback" not in found.replace(output, "") or "File" in said
    assert "RuntimeError" not in found and f"the whole log: {path}" in found
    assert len(found) < 1200


def test_log_gets_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "train.log"
    path.write_text("from before\n", encoding="utf-8")
    lines = [f"{HEAD}fairseq.trainer | begin training epoch 1\n", "x | WARNING | no\n"]
    log.follow(lines, path)
    assert capsys.readouterr().out == "no\n"
    assert path.read_text(encoding="utf-8") == "from before\n" + "".join(lines)


def test_what_steers_a_terminal_is_shown_harmless(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sentence, or a file name, that a warning or a report quotes; the log keeps the bytes."""
    lines = ["x | WARNING | \x1b[2J\u202egone\n", HEAD + 'valid | {"valid_loss": "\\u001b[2J"}\n']
    log.follow(lines, tmp_path / "train.log")
    printed = capsys.readouterr().out
    assert printed.startswith("\\x1b[2J\\u202egone\n") and "\x1b" not in printed
    assert (tmp_path / "train.log").read_text(encoding="utf-8") == "".join(lines)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_log_without_room_is_named() -> None:
    with pytest.raises(OSError, match=r"No space left on device: '/dev/full'"):
        log.follow(["line\n"], Path("/dev/full"))


def test_a_line_cut_off_by_a_kill_is_no_report(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    half = '2026 | INFO | valid | {"epoch": 1, "valid_lo'
    path.write_text(half + DONE, encoding="utf-8")
    assert len(log.read_training_log(path).validations) == 2
    path.write_text(DONE.replace('"valid_num_updates": "20"', '"x": "1"'), encoding="utf-8")
    with pytest.raises(UserError, match="line 5: expected a report as fairseq writes it"):
        log.read_training_log(path)


def test_a_log_without_its_last_line_is_closed(tmp_path: Path) -> None:
    """A training that is killed after its last checkpoint is done, and nothing would write it."""
    path = tmp_path / "train.log"
    log.close(path)
    assert not path.exists()
    cut = DONE[: DONE.index("done training")]
    path.write_text(cut, encoding="utf-8")
    with pytest.raises(UserError, match="expected a finished training, found none"):
        log.read_training_log(path)
    for _ in range(2):
        log.close(path)
        assert len(log.read_training_log(path).validations) == 2
    assert path.read_text(encoding="utf-8").count("done training") == 1


def test_training_log(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text(DONE, encoding="utf-8")
    found = log.read_training_log(path)
    assert [(each.epoch, each.updates, each.nll_bits) for each in found.validations] == [
        (1, 10, 5.0),
        (2, 20, 4.0),
    ]
    assert (found.stage_switch, found.words_per_second) == (10, 2000)
    assert not found.resumed and found.least_gpu_gib_free is None


def test_a_finished_training_without_reports(tmp_path: Path) -> None:
    """Training again would leave another such log."""
    path = tmp_path / "train.log"
    path.write_text("| INFO | train | done training in 2.0 seconds\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"found none in the log of a finished .* --log-format js"):
        log.read_training_log(path)


def test_bleu_of_validations(tmp_path: Path) -> None:
    """Where fairseq was told to compute it; a validation that was repeated counts once."""
    path = tmp_path / "train.log"
    path.write_text(DONE, encoding="utf-8")
    assert log.read_training_log(path).bleu == {}
    text = DONE.replace('"valid_nll_loss": "4"', '"valid_nll_loss": "4", "valid_bleu": "31.2"')
    again = '| INFO | valid | {"epoch": 2, "valid_loss": "3.5", "valid_num_updates": "20"'
    path.write_text(f'{text}{again}, "valid_bleu": "31.5"}}\n', encoding="utf-8")
    assert log.read_training_log(path).bleu == {20: 31.5}


def test_least_free_memory_of_a_gpu(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    inner = '2026 | INFO | train_inner | {"loss": "9", "num_updates": "5", "gb_free": "%s"}\n'
    path.write_text(inner % 70.5 + inner % 68 + inner % 71 + DONE, encoding="utf-8")
    assert log.read_training_log(path).least_gpu_gib_free == 68


def test_what_was_trained_behind_the_checkpoint_of_a_resume_is_forgotten(tmp_path: Path) -> None:
    """An older one than the last validation's, after a damage: fairseq forms other batches then.

    The same of the record, which holds no path.
    """
    path, record = tmp_path / "train.log", tmp_path / "record.log"
    loaded = f"{HEAD}fairseq.trainer | Loaded checkpoint /home/me/a b.pt (epoch 2 @ {{}} updates)\n"
    again = DONE.partition("stage 2 begins")[2].partition("\n")[2].replace('"20"', '"19"')
    for updates, kept, switch in ((10, [10, 19], 10), (5, [19], None)):
        path.write_text(DONE + loaded.format(updates) + again, encoding="utf-8")
        text = "\n".join(log.recorded(path.read_text("utf-8").splitlines()))
        assert "Loaded checkpoint a b.pt (epoch 2" in text and "/home" not in text
        record.write_text(text, encoding="utf-8")
        for found in map(log.read_training_log, (path, record)):
            assert [each.updates for each in found.validations] == kept
            assert found.stage_switch == switch and found.resumed


def test_training_log_of_a_resumed_training(tmp_path: Path) -> None:
    """The validation that was repeated counts once; cross entropy has no nll_loss."""
    path = tmp_path / "train.log"
    again = '| INFO | valid | {"epoch": 2, "valid_loss": "3.5", "valid_num_updates": "20"}\n'
    path.write_text(DONE + "Loaded checkpoint x (epoch 2)\n" + again, encoding="utf-8")
    found = log.read_training_log(path)
    assert found.resumed and found.validations[-1].nll_bits == 3.5 and len(found.validations) == 2
    path.write_text(DONE.rpartition("\n2026")[0], encoding="utf-8")
    with pytest.raises(UserError, match="expected a finished training"):
        log.read_training_log(path)

"""One command for the first GPU: rehearsed in miniature; no failure of a step costs another."""

import json
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from benchmarks import acceptance
from benchmarks.acceptance import Step
from fairseq_labo.experiments import cli
from fairseq_labo.experiments.errors import UserError
from fairseq_labo.experiments.training import benchmark

NAMES = [step.name for step in acceptance.list_steps("cpu", Path("anywhere"))]
# What may become of a step, and what is said of it.
FAILURES = {
    "raise SystemExit('no such kernel')": "failed: exit status 1: no such kernel",
    "import os; os.abort()": "failed: exit status -6: ",
    "import time; time.sleep(60)": "failed: not done after 1 s",
}


def outcomes(folder: Path) -> dict[str, str]:
    steps = json.loads((folder / "acceptance.json").read_text("utf-8"))["steps"]
    return {name: done["outcome"] for name, done in steps.items()}


def stand_in(monkeypatch: pytest.MonkeyPatch, **failing: str) -> None:
    """Steps that do nothing, but for those that run this code."""

    def steps(device: str, folder: Path) -> list[Step]:
        seconds = {name: 1 if "sleep" in failing.get(name, "") else 30 for name in NAMES}
        return [Step(x, "?", ["-c", failing.get(x, "pass")], seconds[x]) for x in NAMES]

    monkeypatch.setattr(acceptance, "list_steps", steps)


@pytest.mark.slow
def test_the_whole_in_miniature(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Every step is the one that a GPU gets; the same command again runs nothing."""
    command = ["benchmark", "--acceptance", str(tmp_path), "--device", "cpu"]
    assert cli.main(command) == 0, capfd.readouterr()
    assert outcomes(tmp_path) == dict.fromkeys(NAMES, "passed")
    record = json.loads((tmp_path / "acceptance.json").read_text("utf-8"))
    kinds = {name: found["kind"] for name, found in record["results"].items()}
    assert set(kinds.values()) == {"loss", "updates", "largest"}
    assert record["kernels"].startswith("12 tests passed, 0 failed")
    rows = record["results"]["updates-bf16"]["updates"]
    assert len(rows) == 5 and all(row["off_by"] <= 0.02 for row in rows)
    assert all(tokens > 0 for tokens in record["results"]["largest"]["max_tokens"].values())
    report = (tmp_path / "acceptance.md").read_text("utf-8")
    assert "In miniature" in report and "| 12 | largest --max-tokens | not measured" in report
    assert (tmp_path / "loss.png").stat().st_size > 10_000
    before = (tmp_path / "train.log").stat().st_mtime_ns
    assert cli.main(command) == 0
    assert (tmp_path / "train.log").stat().st_mtime_ns == before
    assert "| updates-bf16 |" in capfd.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_failure_costs_no_other_step(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "raise SystemExit('no such kernel')"
    stand_in(monkeypatch, **{name: code})
    assert acceptance.main([str(tmp_path), "--device", "cpu"]) == 1
    expected = {each: "passed" for each in NAMES} | {name: FAILURES[code]}
    assert outcomes(tmp_path) == expected
    assert f"| {name} | ? | {FAILURES[code]} |" in capsys.readouterr().out
    stand_in(monkeypatch, **{other: code for other in NAMES if other != name})
    assert acceptance.main([str(tmp_path), "--device", "cpu"]) == 0  # only that one runs again


@pytest.mark.slow
@pytest.mark.parametrize("code", FAILURES)
def test_kinds_of_failures(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, largest=code)
    assert acceptance.main([str(tmp_path), "--device", "cpu"]) == 1
    assert outcomes(tmp_path)["largest"].startswith(FAILURES[code])
    assert outcomes(tmp_path)["two"] == "passed"


def test_half_a_result_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = "import os; open('{}/largest.json', 'w').write('{{\"kind\": '); os._exit(1)"
    stand_in(monkeypatch, largest=cut.format(tmp_path))
    assert acceptance.main([str(tmp_path), "--device", "cpu"]) == 1
    assert json.loads((tmp_path / "acceptance.json").read_text("utf-8"))["results"] == {}


@pytest.mark.slow
def test_what_does_not_fit_into_the_minutes_is_left_for_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(monkeypatch)
    arguments = [str(tmp_path), "--device", "cpu"]
    assert acceptance.main([*arguments, "--minutes", "0"]) == 1
    assert outcomes(tmp_path) == {}
    assert f"{len(NAMES)} steps are left: the same command" in capsys.readouterr().err
    stand_in(monkeypatch, kernels="import time; time.sleep(60)", two="import time; time.sleep(60)")
    slow = [
        x._replace(seconds=20) for x in acceptance.list_steps("cpu", tmp_path) if x.name == "two"
    ]
    monkeypatch.setattr(acceptance, "list_steps", lambda *_: slow)
    assert acceptance.main([*arguments, "--minutes", "0.12"]) == 1
    assert outcomes(tmp_path) == {"two": "not done: cut off after 7 s by --minutes"}


def test_results_of_another_device_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(monkeypatch)
    record = {"machine": {"device": "NVIDIA H100"}, "steps": {}}
    (tmp_path / "acceptance.json").write_text(json.dumps(record), "utf-8")
    assert acceptance.main([str(tmp_path), "--device", "cpu"]) == 1
    assert "found those of NVIDIA H100; give another folder" in capsys.readouterr().err


def test_failed_tests_are_counted(tmp_path: Path) -> None:
    assert acceptance.tests_of(tmp_path) == ""
    suite = '<testsuites><testsuite tests="9" failures="2" errors="1" skipped="3"/></testsuites>'
    (tmp_path / "kernels.xml").write_text(suite, "utf-8")
    assert acceptance.tests_of(tmp_path) == "3 tests passed, 3 failed, 3 skipped"


def test_a_gpu_gets_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every precision, all sizes, and two processes where there are two GPUs."""
    for number in (1, 2):
        monkeypatch.setattr(acceptance.torch.cuda, "device_count", lambda n=number: n)
        steps = {step.name: step for step in acceptance.list_steps("cuda", tmp_path)}
        more = {"loss-fp16", "loss-fp32", "updates-fp32", "updates-fp16", "updates-amp"}
        assert set(steps) == {*NAMES, *more} - ({"two"} if number == 1 else set())
        assert not set(acceptance.SMALL_LOSS) & set(steps["loss-fp16"].arguments)
        assert "-k" not in steps["kernels"].arguments


def test_the_command_needs_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "REPOSITORY", tmp_path)
    options = cli.parse(["benchmark", "--acceptance", "somewhere"])
    with pytest.raises(UserError, match="expected a checkout of the repository, found an inst"):
        benchmark.run(options)
    with pytest.raises(UserError, match=r"expected --data DIR .* or --acceptance FOLDER"):
        benchmark.run(cli.parse(["benchmark"]))


def test_without_a_gpu_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptance.torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="expected a GPU, found none; use --device cpu"):
        acceptance.run(tmp_path, "cuda", 1.0)


def lives(pid: int) -> bool:
    with suppress(OSError):  # it has ended
        return "zombie" not in Path(f"/proc/{pid}/status").read_text("utf-8")
    return False


def test_a_step_that_is_cut_off_leaves_no_process(tmp_path: Path) -> None:
    """Neither it nor what it started."""
    child = f"[{sys.executable!r}, '-c', 'import time; time.sleep(60)']"
    code = f"import subprocess; p = subprocess.Popen({child}); print(p.pid, flush=True); p.wait()"
    step = Step("two", "?", ["-c", code], 1)
    assert acceptance.run_step(step, tmp_path, 1.0).startswith("failed: not done")
    pid = int((tmp_path / "two.log").read_text("utf-8").splitlines()[-1])
    ended = time.monotonic() + 10
    while lives(pid) and time.monotonic() < ended:  # the signal is sent, it may not be dead yet
        time.sleep(0.05)
    assert not lives(pid)

"""One of two workers: python -m tests.training.worker FOLDER RANK PORT runs FOLDER/plan.json."""

import json
import sys
from pathlib import Path

from tests.training.runs import fairseq_train


def main(folder: Path, rank: int, port: int) -> None:
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    for name, save_dir, flags in plan["jobs"]:
        run = fairseq_train(
            plan["data"],
            Path(save_dir),
            *("--ddp-backend", "legacy_ddp", "--distributed-backend", "gloo"),
            *("--distributed-world-size", 2, "--distributed-rank", rank),
            *("--distributed-no-spawn", "--distributed-init-method", f"tcp://127.0.0.1:{port}"),
            *flags,
        )
        (folder / f"{name}.{rank}.log").write_text(run.output, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))

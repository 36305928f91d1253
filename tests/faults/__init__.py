"""Bad input, damaged files, kills, full disks; the promises are in docs/robustness.md."""

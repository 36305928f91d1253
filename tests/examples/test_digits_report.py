"""What is made of the example's runs."""

import digits_report


def test_mean_and_sample_deviation() -> None:
    runs = [
        {"method": "LABO", "seed": seed, "test": {"accuracy": accuracy, "nll": nll}}
        for seed, (accuracy, nll) in enumerate([(98.0, 0.1), (99.0, 0.3), (100.0, 0.2)])
    ]
    table = digits_report.table(digits_report.summarize(runs))
    assert table.endswith("| LABO | 99.00 ± 1.00 | 0.2000 ± 0.1000 |\n")

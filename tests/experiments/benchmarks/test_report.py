"""The report: the table, its notes, the CSV, the section of the docs."""

import csv
import io

import pytest

from experiments.benchmarks import report
from experiments.benchmarks.frameworks.registry import OURS


def test_the_table_has_the_median_of_the_ratios_of_each_round(results):
    assert report.ratios(results, "W4", "epoch", "torch") == [3, 5, 4]
    line = next(line for line in report.table(results).splitlines() if "W4:" in line)
    cells = [cell.strip() for cell in line.split("|")[2:-1]]
    assert cells == ["2 s", "2 (2 to 2)", "90%", "4 (3 to 5)", "disagrees"]
    memory = "| M: peak memory of W4 | 2 MiB | 2 (2 to 2) |  | 4 (3 to 5) | disagrees |"
    assert memory in report.table(results)


def test_beside_a_busy_core_every_framework_has_its_own_slow_down(results):
    line = next(line for line in report.table(results).splitlines() if "R: W3" in line)
    cells = [cell.strip() for cell in line.split("|")[2:-1]]
    assert cells == ["1.1 times (1 to 1.2)", "-", "", "20 times (20 to 20)", "-"]


def test_without_a_compiler_all_refers_to_numpy(results):
    results["frameworks"].pop(OURS)
    assert report.ratios(results, "W4", "epoch", "torch") == [1.5, 2.5, 2]
    lines = report.table(results).splitlines()
    assert lines[0] == "|  | NumPy | matrix products | PyTorch | JAX |"
    assert "| 4 s | 90% | 2 (1.5 to 2.5) | disagrees |" in lines[2]


def test_threads_and_ways_are_told(results):
    told = report.description(results)
    assert "NumPy one in none; PyTorch one in W4, W8 W1." in told
    assert "W8 W1: backprop by exported C, PyTorch by traced." in told
    del results["threads"], results["ways"]  # as in results of earlier versions
    assert "All but the first" not in report.description(results)


def test_a_round_without_one_of_the_two_gives_no_ratio(results):
    results["records"] = [
        record
        for record in results["records"]
        if (record["framework"], record["round"]) != (OURS, 1)
    ]
    assert report.ratios(results, "W4", "epoch", "torch") == [3, 4]


def test_what_is_withheld_is_explained(results):
    assert report.notes(results) == ["W4, JAX: disagrees: cost 1 for 2 at minibatch 3"]
    assert "agreed within 2e-05" in report.description(results)  # of those that were measured
    assert "disagrees: cost 1 for 2 at minibatch 3" in report.text(results)


def test_compiling_is_told_from_the_first_time_not_from_the_cache(results):
    assert "Compiling" not in report.description(results)
    results["notes"] = {}
    for row, number, value in (("W4", -1, 9.0), ("W4", 0, 2.0), ("W6", -1, 4.0)):
        fields = {"row": row, "framework": "jax", "round": number}
        results["records"].append({**fields, "quantity": "compile", "value": value})
    assert "took JAX 4 to 9 s a workload." in report.description(results)
    assert "; 3 rounds." in report.description(results)


def test_units_follow_the_size(results):
    for value, expected in ((3.4e-6, "3.4 us"), (0.0123, "12.3 ms"), (123.4, "123 s")):
        results["records"] = [
            {"row": "S", "framework": OURS, "round": 0, "quantity": "import", "value": value}
        ]
        assert f"| S: import | {expected} |" in report.table(results)


def test_every_single_figure_is_in_the_csv(results):
    rows = list(csv.DictReader(io.StringIO(report.to_csv(results))))
    assert len(rows) == len(results["records"])
    assert rows[0] == {
        "row": "W4", "framework": OURS, "round": "0", "quantity": "epoch", "value": "1.0"
    }  # fmt: skip


def test_the_page_is_written_between_its_marks(results, tmp_path):
    path = tmp_path / "benchmarks.md"
    path.write_text(f"before\n{report.START}\nold\n{report.END}\nafter\n")
    for _ in range(2):  # writing it again changes nothing
        report.write_docs(path, results)
        text = path.read_text()
        assert text.startswith(f"before\n{report.START}\n")
        assert text.endswith(f"{report.END}\nafter\n")
        assert "old" not in text
        assert report.table(results) in text
        assert "2030-01-02" in text
        assert "kernel K" in text


def test_a_page_without_marks_and_a_quick_try_are_refused(results, tmp_path):
    path = tmp_path / "benchmarks.md"
    path.write_text("no marks")
    with pytest.raises(ValueError, match="once, it has them 0 times"):
        report.write_docs(path, results)
    results["settings"]["limit"] = 1280
    with pytest.raises(ValueError, match="without --quick"):
        report.write_docs(path, results)
    assert path.read_text() == "no marks"

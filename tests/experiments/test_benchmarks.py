"""The benchmarks measure what they say: the work, the order, the limit, the report."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backprop.datasets import write_idx
from experiments.benchmarks import figure, frameworks, library, limit, report, sweep, worker
from experiments.benchmarks.__main__ import main, names
from experiments.benchmarks.frameworks import FRAMEWORKS, OURS, CannotExpressError, Framework, Peer
from experiments.benchmarks.run import Bench, environment
from experiments.benchmarks.workloads import (
    CHECKED_STEPS,
    WORKLOADS,
    Files,
    Workload,
    chain,
    one_hot,
    read_json,
    write_json,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Give a folder of IDX files with 240 images of 28 x 28 pixels."""
    folder = tmp_path_factory.mktemp("digits")
    rng = np.random.default_rng(0)
    for split in ("train", "t10k"):
        write_idx(
            folder / f"{split}-images-idx3-ubyte", rng.integers(256, size=(240, 28, 28), dtype="u1")
        )
        write_idx(folder / f"{split}-labels-idx1-ubyte", (np.arange(240) % 10).astype(np.uint8))
    return folder


@pytest.fixture
def bench(digits, tmp_path):
    return Bench([], str(digits), tmp_path, 0.0, 100, say=lambda text: None)


# -- the same work ---------------------------------------------------------------------------


class Book(Peer):
    """The book's network in plain NumPy: one hidden layer of sigmoids, SGD, one row an example."""

    def __init__(self, work, x, labels, weights):
        super().__init__(len(x))
        self.work, self.x, self.y = work, x, one_hot(labels)
        self.w = [weights["0.w"].copy(), weights["1.w"].copy()]
        self.b = [weights["0.b"][:, 0].copy(), weights["1.b"][:, 0].copy()]

    def epoch(self, order):
        self.costs(order)

    def costs(self, order=None):
        order = self.order() if order is None else order
        return [self.step(chosen) for chosen in order.reshape(-1, self.work.batch)]

    def step(self, chosen):
        x, y, n = self.x[chosen], self.y[chosen], len(chosen)
        h = 1 / (1 + np.exp(-(x @ self.w[0].T + self.b[0])))
        z = h @ self.w[1].T + self.b[1]
        if self.work.cost == "softmax":
            a = np.exp(z) / np.exp(z).sum(1, keepdims=True)
            c, delta = -np.log(a[y == 1]).mean(), (a - y) / n
        else:
            a = 1 / (1 + np.exp(-z))
            if self.work.cost == "quadratic":
                c, delta = 0.5 * np.square(a - y).sum() / n, (a - y) * a * (1 - a) / n
            else:
                c = -(y * np.log(a) + (1 - y) * np.log(1 - a)).sum() / n
                delta = (a - y) / n
        hidden = (delta @ self.w[1]) * h * (1 - h)
        eta, decay = self.work.optimizer[1], self.work.decay
        for index, (d, a_prev) in enumerate([(hidden, x), (delta, h)]):
            self.w[index] -= eta * (d.T @ a_prev + decay * self.w[index])
            self.b[index] -= eta * d.sum(0)
        return float(c)

    def predict(self, x, size):
        raise NotImplementedError


def examples(n, shape=(784,)):
    rng = np.random.default_rng(3)
    return rng.random((n, *shape), np.float32), np.arange(n) % 10


@pytest.mark.parametrize("cost", ["quadratic", "cross_entropy", "softmax"])
def test_a_peer_sees_the_same_minibatches_in_the_same_order(cost):
    """Two epochs: the order of the second is drawn afresh, on both sides."""
    output = "softmax" if cost == "softmax" else "sigmoid"
    work = Workload(
        "T", "", chain([784, 7, 10], "sigmoid", output), cost, ("sgd", 0.3), 5, 8, decay=0.01
    )
    x, labels = examples(work.examples)
    weights = library.first_parameters(work)
    ours, book = (make(work, x, labels, weights) for make in (library.Library, Book))
    for _ in range(2):
        np.testing.assert_allclose(ours.costs(), book.costs(), rtol=1e-5)
    assert ours.train() > 0
    assert book.train() > 0
    np.testing.assert_allclose(ours.costs(), book.costs(), rtol=1e-5)


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_library_can_express_every_workload(name):
    work = WORKLOADS[name]
    assert work.examples <= 50_000
    assert Workload.from_json(json.loads(json.dumps(work.to_json()))) == work
    work = replace(work, batch=3, steps=2)
    x, labels = examples(6, work.shape)
    model = library.Library(work, x, labels, library.first_parameters(work))
    costs = model.costs()
    assert len(costs) == 2
    assert np.isfinite(costs).all()
    one, three = model.predict(x, 1), model.predict(x, 4)
    assert [len(answers) for answers in three] == [4, 2]
    np.testing.assert_allclose(np.concatenate(one), np.concatenate(three), atol=1e-5)


def test_first_parameters_are_the_same_in_every_process():
    one, two = (library.first_parameters(WORKLOADS["W5-10"]) for _ in range(2))
    assert set(one) == {"0.w", "0.b", "2.w", "2.b", "5.w", "5.b", "6.w", "6.b"}
    assert all((one[name] == two[name]).all() for name in one)


def test_a_smaller_epoch_has_whole_minibatches():
    work = WORKLOADS["W3"]
    assert work.of_size(1000).examples == 7 * 128
    assert work.of_size(1).steps == 1
    assert work.of_size(10**9) == work


# -- the limit -------------------------------------------------------------------------------


def operations(work):
    network = library.make_network(work)
    before = network.theta.copy()
    found = limit.products(network, work.batch)
    assert limit.seconds(found, 0.0) > 0
    assert (network.theta == before).all()
    return sum(product.operations for product in found)


def test_the_limit_counts_three_products_a_layer_but_two_in_the_first():
    assert operations(WORKLOADS["W1"]) == 2 * 10 * (2 * 784 * 30 + 3 * 30 * 10)
    sizes = [784, 100, 10]
    assert operations(WORKLOADS["W2"]) == 10 * sweep.operations(sizes)


def test_the_limit_of_a_convolution_is_that_of_its_patches():
    patches = 2 * 20 * 25 * 24 * 24 + 3 * 40 * 20 * 25 * 8 * 8
    assert operations(WORKLOADS["W5-10"]) == 2 * 10 * (patches + 3 * (640 * 100 + 100 * 10))


def test_the_limit_of_an_lstm_is_that_of_its_gates():
    by_w, by_w_h = 2 * 256 * 28, 3 * 256 * 64
    assert operations(WORKLOADS["W7"]) == 2 * 64 * (28 * (by_w + by_w_h) + 3 * 64 * 10)


# -- one process -----------------------------------------------------------------------------


def task(tmp_path, action, work, **more):
    x, labels = examples(max(work.examples, 30), work.shape)
    files = {name: str(tmp_path / name) for name in ("x", "labels")}
    files["weights"] = str(tmp_path / "weights.npz")
    x.tofile(files["x"])
    labels.tofile(files["labels"])
    np.savez(files["weights"], **library.first_parameters(work))
    fields = {"framework": OURS, "action": action, "work": work.to_json(), "files": files}
    fields |= {"seconds": 0.0, "result": str(tmp_path / "result.json"), **more}
    write_json(tmp_path / "task.json", fields)
    return fields


def run_worker(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["worker", str(tmp_path / "task.json")])
    assert worker.main() == 0
    return read_json(tmp_path / "result.json")


def test_a_worker_checks_trains_and_predicts(tmp_path, monkeypatch):
    work = WORKLOADS["W1"].of_size(30)
    task(tmp_path, "check", work)
    found = run_worker(tmp_path, monkeypatch)
    costs = found["costs"]
    assert len(costs) == CHECKED_STEPS  # of epochs of three minibatches
    assert costs[-1] < costs[0]
    assert found["compile"] < 0.1  # there is nothing to compile

    task(tmp_path, "train", work)
    found = run_worker(tmp_path, monkeypatch)
    assert len(found["epochs"]) == 2
    assert found["epoch"] == found["epochs"][1]  # the first warms up
    assert found["memory"] >= found["memory before training"] > 2**20
    assert found["products"] > 0
    assert len(found["blas"]) >= 1

    task(tmp_path, "predict", work, images=25)
    found = run_worker(tmp_path, monkeypatch)
    assert found["images"] == 25
    np.testing.assert_allclose(found["outputs 1"], found["outputs 1000"], atol=1e-5)
    assert np.shape(found["outputs 1"]) == (25, 10)


def test_a_long_epoch_is_trained_once(tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "LONG_EPOCH", 0.0)
    task(tmp_path, "train", WORKLOADS["W1"].of_size(30))
    found = run_worker(tmp_path, monkeypatch)
    assert [found["epoch"]] == found["epochs"]


class Refuses:
    """A framework that does not know the work, or breaks."""

    error: Exception

    def __init__(self, *arguments):
        raise self.error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (CannotExpressError("no quadratic cost"), {"cannot": "no quadratic cost"}),
        (ValueError("bad shape"), {"failed": "ValueError: bad shape"}),
    ],
)
def test_what_a_framework_cannot_do_and_how_it_fails_are_results(
    tmp_path, monkeypatch, error, expected
):
    monkeypatch.setattr(Refuses, "error", error, raising=False)
    monkeypatch.setattr(library, "Refuses", Refuses, raising=False)
    refusing = Framework("Refuses", "numpy", "", "library", "Refuses")
    monkeypatch.setitem(FRAMEWORKS, "refuses", refusing)
    task(tmp_path, "check", WORKLOADS["W1"].of_size(30), framework="refuses")
    found = run_worker(tmp_path, monkeypatch)
    assert expected.items() <= found.items()


def test_every_process_has_two_threads_and_the_kernel_of_the_command_line(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "backprop.kernels.environment.for_this_machine", lambda: {"OPENBLAS_CORETYPE": "Zen"}
    )
    found = environment(tmp_path)
    assert found["OPENBLAS_CORETYPE"] == "Zen"
    assert found["OMP_NUM_THREADS"] == found["OPENBLAS_NUM_THREADS"] == "2"


# -- checks and notes ------------------------------------------------------------------------


def test_costs_that_differ_are_shown_and_not_measured(bench):
    bench.names = [OURS, "torch"]
    bench.results["frameworks"]["torch"] = {"title": "PyTorch", "version": "2"}
    ours = np.array([2.0, 1.0, 0.5])
    bench._compare("W1", "torch", ours, ours * 1.0005)
    assert bench.able("W1") == [OURS, "torch"]
    bench._compare("W1", "torch", ours, ours * [1, 1.002, 1.1])
    assert bench.results["notes"]["W1"]["torch"] == "disagrees: cost 1.002 for 1 at minibatch 2"
    assert bench.able("W1") == [OURS]
    bench._compare("W2", "torch", ours, np.array([2.0, np.nan, 0.5]))
    assert "minibatch 2" in bench.results["notes"]["W2"]["torch"]


def test_a_peer_that_is_not_installed_is_noted(bench, monkeypatch):
    absent = Framework("Absent", "no_such_package", "", "library", "Library")
    assert not absent.installed
    monkeypatch.setitem(FRAMEWORKS, "absent", absent)
    bench.names.append("absent")
    bench.results["frameworks"]["absent"] = {"title": "Absent", "version": None}
    assert bench.able("W1") == [OURS]
    assert bench.results["notes"] == {"W1": {"absent": "not installed"}}


def test_a_process_that_crashes_is_noted(bench):
    found = bench.call([sys.executable, "-c", "raise MemoryError('too much')"])
    assert found["failed"] == "exit status 1: MemoryError: too much"
    assert not bench.well("W1", OURS, found)
    assert bench.able("W1") == []  # without ours there is nothing to compare with


def test_a_layer_that_there_is_not_is_noted(bench, monkeypatch):
    monkeypatch.setitem(WORKLOADS, "W1", replace(WORKLOADS["W1"], layers=(("teapot", 1),)))
    bench.check(["W1"])
    assert bench.results["notes"]["W1"][OURS] == "failed: KeyError: 'teapot'"


def test_images_of_another_size_are_an_error(idx_folder, tmp_path):
    with pytest.raises(ValueError, match="28 x 28 images of ten classes"):
        Bench([], str(idx_folder), tmp_path)


# -- the whole ----------------------------------------------------------------------------------


def test_make_bench_measures_and_reports(digits, tmp_path):
    """The library alone: no test needs the peers."""
    arguments = ["--quick", "--peers", "none", "--workloads", "W1,S", "--data", str(digits)]
    found = subprocess.run(
        [sys.executable, "-m", "experiments.benchmarks", *arguments, "--out", str(tmp_path)],
        cwd=ROOT, env={**os.environ, "PYTHONWARNINGS": "error"}, capture_output=True, text=True,
    )  # fmt: skip
    assert found.stderr == ""
    assert found.returncode == 0
    assert "| W1: 784-30-10, sigmoid, quadratic, SGD, B = 10 |" in found.stdout
    results = read_json(tmp_path / "bench.json")
    assert results["notes"] == {}
    quantities = {(record["row"], record["quantity"]) for record in results["records"]}
    assert {("W1", "epoch"), ("W1", "products"), ("W1", "memory"), ("S", "import")} <= quantities
    assert (tmp_path / "bench.csv").read_text().count("\n") == 1 + len(results["records"])
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    assert report.table(results) in (tmp_path / "bench.md").read_text()


def test_bad_arguments_are_one_line(capsys):
    assert main(["--readme", "nowhere.json"]) == 2
    assert capsys.readouterr().err.startswith("bench: error: ")
    with pytest.raises(SystemExit):
        main(["--workloads", "W9"])
    assert "unknown 'W9': choose from W1,W2" in capsys.readouterr().err


def test_the_two_w5_are_chosen_together():
    assert names(list(WORKLOADS))("W5,W1") == ["W5-10", "W5-64", "W1"]
    assert names(list(WORKLOADS))("none") == []


# -- the report ------------------------------------------------------------------------------


@pytest.fixture
def results():
    """Give made-up results: PyTorch three and five times slower than ours, JAX withheld."""
    records = []
    for number, (ours, torch) in enumerate([(1.0, 3.0), (2.0, 10.0), (4.0, 16.0)]):
        for framework, value in ((OURS, ours), ("torch", torch), ("jax", 1.0)):
            fields = {"row": "W4", "framework": framework, "round": number}
            records += [
                {**fields, "quantity": "epoch", "value": value},
                {**fields, "quantity": "memory", "value": value * 2**20},
            ]
        fields = {"row": "W4", "framework": OURS, "round": number}
        records.append({**fields, "quantity": "products", "value": 0.9 * ours})
    titles = {OURS: "backprop", "torch": "PyTorch", "jax": "JAX"}
    return {
        "date": "2030-01-02T03:04+00:00",
        "machine": {"processor": "P", "cores": 4, "avx512": True, "system": "S",
                    "python": "3", "numpy": "2", "blas": ["openblas 0, kernel K, 2 threads"]},
        "settings": {"data": "digits", "threads": 2, "limit": None, "seconds": 1.5},
        "frameworks": {name: {"title": title, "version": "1"} for name, title in titles.items()},
        "checks": {"W4": {"torch": 2e-5, "jax": 0.5}},
        "notes": {"W4": {"jax": "disagrees: cost 1 for 2 at minibatch 3"}},
        "records": records,
    }  # fmt: skip


def test_the_table_has_the_median_of_the_ratios_of_each_round(results):
    assert report.ratios(results, "W4", "epoch", "torch") == [3, 5, 4]
    line = next(line for line in report.table(results).splitlines() if "W4:" in line)
    cells = [cell.strip() for cell in line.split("|")[2:-1]]
    assert cells == ["2 s", "90%", "4 (3 to 5)", "disagrees"]
    assert "| M: peak memory of W4 | 2 MiB |  | 4 (3 to 5) | disagrees |" in report.table(results)


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


def test_the_readme_is_written_between_its_marks(results, tmp_path):
    path = tmp_path / "README.md"
    path.write_text(f"before\n{report.START}\nold\n{report.END}\nafter\n")
    for _ in range(2):  # writing it again changes nothing
        report.write_readme(path, results)
        text = path.read_text()
        assert text.startswith(f"before\n{report.START}\n")
        assert text.endswith(f"{report.END}\nafter\n")
        assert "old" not in text
        assert report.table(results) in text
        assert "2030-01-02" in text
        assert "kernel K" in text


def test_a_readme_without_marks_and_a_quick_try_are_refused(results, tmp_path):
    path = tmp_path / "README.md"
    path.write_text("no marks")
    with pytest.raises(ValueError, match="once, it has them 0 times"):
        report.write_readme(path, results)
    results["settings"]["limit"] = 1280
    with pytest.raises(ValueError, match="without --quick"):
        report.write_readme(path, results)
    assert path.read_text() == "no marks"


def test_the_figure_is_drawn(results, tmp_path):
    figure.draw(results, tmp_path / "bench.png")
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="nothing to draw"):
        figure.draw({**results, "records": [], "notes": {}}, tmp_path / "none.png")


# -- the sweep -------------------------------------------------------------------------------


def test_the_sweep_counts_operations_as_the_limit_does():
    work = sweep.point("depth", 5).work
    assert operations(work) == work.batch * sweep.operations([256] * 6 + [10])


@pytest.mark.parametrize("axis", sweep.SIZES)
def test_the_points_of_an_axis_differ_in_its_size_only(axis):
    points = [sweep.point(axis, size) for size in sweep.SIZES[axis]]
    batches = {p.batch for p in points}
    assert len(batches) == (len(points) if axis == "batch" else 1)
    assert len({p.work.name for p in points}) == len(points)
    assert all(p.steps for p in points)
    examples = {p.work.examples for p in points}
    assert examples == (set(sweep.SIZES[axis]) if axis == "examples" else {points[0].work.examples})


def test_what_the_count_says():
    """Time in proportion to the operations; memory by the arrays, on top of the smallest."""
    points = [sweep.point("width", 64), sweep.point("width", 128)]
    by_count = sweep.operations(points[0].sizes) / sweep.operations(points[1].sizes)
    assert 0.2 < by_count < 0.3  # twice the width is four times the work
    assert sweep.expected(points, [7.0, 10.0], "epoch") == pytest.approx([10 * by_count, 10])
    more = (sweep.arrays(points[1]) - sweep.arrays(points[0])) / 2**20
    assert sweep.expected(points, [30.0, 99.0], "memory") == [30, 30 + more]
    assert sweep.slope([10, 100], [3.0, 300.0]) == pytest.approx(2)


def test_the_sweep_measures_and_draws(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "QUICK_SIZES", {"width": [16], "batch": [8]})
    monkeypatch.setattr(sweep, "EXAMPLES", 80)
    assert list(sweep.measure(bench, 1)) == [None]
    assert bench.results["notes"] == {}
    assert {record["row"] for record in bench.results["records"]} == {"width-16", "batch-8"}
    results = json.loads(json.dumps(bench.results))  # as it is read again
    sweep.draw(results, tmp_path / "sweep.png")
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")


# -- make ------------------------------------------------------------------------------------


def make(tmp_path, *arguments):
    command = ["make", "--dry-run", f"VENV={tmp_path / 'venv'}", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_make_knows_the_benchmarks(tmp_path):
    *_, last = make(tmp_path, "bench", "DATA=here", "ARGS=--quick")
    assert last.endswith('python -m experiments.benchmarks --data "here" --quick')
    *_, install, _ = make(tmp_path, "bench-install")
    assert install.endswith("pip install --quiet --disable-pip-version-check "
                            "torch==2.13.0 jax scikit-learn")  # fmt: skip
    assert not any("experiments/benchmarks" in line for line in make(tmp_path, "experiments"))


def test_the_peers_are_no_dependency_and_not_imported():
    code = "import sys; from experiments.benchmarks import run, report, sweep, worker, library\n"
    code += "print({'torch', 'jax', 'sklearn'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert found.stdout == "set()\n"
    assert {framework.module for framework in FRAMEWORKS.values()} <= {
        path.stem for path in Path(frameworks.__file__).parent.glob("*.py")
    }
    assert Files.__dataclass_fields__.keys() == {"x", "labels", "weights"}

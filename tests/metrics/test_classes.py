import numpy as np
import pytest

from backprop.metrics import (
    accuracy,
    binary_accuracy,
    confusion_matrix,
    log_loss,
    mean_squared_error,
    metric_named,
    predicted_labels,
    subset_accuracy,
    top_k_accuracy,
    true_labels,
)

# Three classes, five examples: predicted 0, 2, 1, 0 (the tie goes to the first), 2.
A = np.array(
    [
        [0.7, 0.1, 0.2, 0.4, 0.0],
        [0.2, 0.3, 0.5, 0.4, -1.0],
        [0.1, 0.6, 0.3, 0.2, 2.0],
    ]
)
PREDICTED = np.array([0, 2, 1, 0, 2])
Y = np.array([0, 1, 1, 1, 2])
ONE_HOT = np.eye(3)[:, Y]
NAN = np.where(A == 2.0, np.nan, A)


def test_predicted_labels():
    labels = predicted_labels(A)
    np.testing.assert_array_equal(labels, PREDICTED)
    assert labels.dtype.kind == "i"
    np.testing.assert_array_equal(
        predicted_labels(np.array([[0.2, 0.5, 0.9, 0.499]])), [0, 1, 1, 0]
    )


def test_true_labels():
    for y in (Y, Y.tolist(), Y.astype(np.uint8), ONE_HOT, ONE_HOT.astype(int), 0.9 * ONE_HOT):
        labels = true_labels(y)
        assert labels.dtype == np.intp
        np.testing.assert_array_equal(labels, Y)
    np.testing.assert_array_equal(true_labels(np.array([[0.0, 1.0, 1.0]])), [0, 1, 1])
    np.testing.assert_array_equal(true_labels(Y[np.newaxis], ndim=2), Y[np.newaxis])


@pytest.mark.parametrize("y", [Y, Y.tolist(), Y.astype(np.uint8), ONE_HOT, ONE_HOT.astype(int)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_accuracy(y, dtype):
    found = accuracy(A.astype(dtype), y)
    assert type(found) is float
    assert found == 3 / 5


def test_accuracy_of_one_output():
    a = np.array([[0.1, 0.5, 0.8, 0.4]])
    assert accuracy(a, np.array([0, 1, 0, 1])) == 0.5
    assert accuracy(a, np.array([[0.0, 1.0, 0.0, 1.0]])) == 0.5
    np.testing.assert_array_equal(confusion_matrix(a, np.array([0, 1, 0, 1])), [[1, 1], [1, 1]])


def test_infinite_outputs_are_outputs():
    assert accuracy(np.array([[np.inf, 0.0], [0.0, -np.inf]]), np.array([0, 1])) == 0.5


def test_confusion_matrix():
    matrix = confusion_matrix(A, Y)
    assert matrix.dtype.kind == "i"
    np.testing.assert_array_equal(matrix, [[1, 0, 0], [1, 1, 1], [0, 0, 1]])
    np.testing.assert_array_equal(confusion_matrix(A, ONE_HOT), matrix)
    larger = confusion_matrix(A, np.array([0, 1, 4, 1, 2]), n_classes=5)
    expected = np.zeros((5, 5), int)
    expected[[0, 1, 4, 1, 2], PREDICTED] = 1
    np.testing.assert_array_equal(larger, expected)


def test_confusion_matrix_of_small_integer_labels_does_not_overflow():
    n = 200
    y = np.arange(n, dtype=np.uint8)
    np.testing.assert_array_equal(confusion_matrix(np.eye(n), y), np.eye(n))


def test_top_k_accuracy():
    assert [top_k_accuracy(A, Y, k) for k in (1, 2, 3)] == [3 / 5, 1.0, 1.0]
    assert top_k_accuracy(A, ONE_HOT, 1) == 3 / 5
    assert top_k_accuracy(A, np.array([2, 0, 0, 2, 1]), 2) == 0.0


def test_top_k_ties_go_to_the_first():
    a = np.zeros((4, 4))
    assert [top_k_accuracy(a, np.arange(4), k) for k in (1, 2, 3, 4)] == [0.25, 0.5, 0.75, 1.0]


def test_top_1_is_accuracy_whatever_the_ties():
    rng = np.random.default_rng(0)
    a = rng.integers(0, 3, (5, 200)).astype(np.float32)
    y = rng.integers(0, 5, 200)
    assert top_k_accuracy(a, y, 1) == accuracy(a, y)
    order = np.argsort(-a, axis=0, kind="stable")
    for k in range(1, 6):
        assert top_k_accuracy(a, y, k) == (order[:k] == y).any(axis=0).mean()


def test_mean_squared_error():
    a = np.array([[1.0, 2.0], [3.0, 4.0], [0.0, 0.0]])
    y = np.array([[1.0, 0.0], [0.0, 4.0], [0.0, 1.0]])
    found = mean_squared_error(a, y)
    assert type(found) is float
    assert found == (4 + 9 + 1) / 6
    assert mean_squared_error(a.astype(np.float32), y.astype(int)) == found
    large = np.full((1, 3), 1e30, np.float32)  # its square is no float32
    assert mean_squared_error(large, np.zeros((1, 3))) == pytest.approx(1e60, rel=1e-6)


def test_sequences():
    rng = np.random.default_rng(0)
    a, y = rng.standard_normal((3, 4, 6)), rng.integers(0, 3, (4, 6))
    flat_a, flat_y = a.reshape(3, 24), y.reshape(24)
    one_hot = np.moveaxis(np.eye(3)[y], -1, 0)
    assert predicted_labels(a).shape == (4, 6)
    for target in (y, one_hot):
        assert accuracy(a, target) == accuracy(flat_a, flat_y)
        assert top_k_accuracy(a, target, 2) == top_k_accuracy(flat_a, flat_y, 2)
        np.testing.assert_array_equal(confusion_matrix(a, target), confusion_matrix(flat_a, flat_y))
    assert mean_squared_error(a, one_hot) == pytest.approx(((a - one_hot) ** 2).mean(), rel=1e-14)


def test_arguments_are_left_alone():
    a, y = A.copy(), Y.copy()
    accuracy(a, y), confusion_matrix(a, y), top_k_accuracy(a, y, 2), mean_squared_error(a, ONE_HOT)
    true_labels(y)[:] = 9
    np.testing.assert_array_equal(a, A)
    np.testing.assert_array_equal(y, Y)


def top_1_accuracy(a, y):
    return top_k_accuracy(a, y, 1)


LABEL_METRICS = [accuracy, confusion_matrix, top_1_accuracy]


@pytest.mark.parametrize("metric", LABEL_METRICS)
@pytest.mark.parametrize(
    ("a", "y", "error", "message"),
    [
        (A, Y[:4], ValueError, r"y of shape \(4,\) does not fit outputs of shape \(3, 5\): "),
        (A, Y[:1], ValueError, r"labels have the shape \(5,\), targets \(3, 5\)"),
        (A, ONE_HOT[:, :1], ValueError, r"y of shape \(3, 1\) does not fit"),
        (A, ONE_HOT.T, ValueError, r"y of shape \(5, 3\) does not fit"),
        (A, Y[np.newaxis], ValueError, r"y of shape \(1, 5\) does not fit"),
        (A, Y.astype(float), TypeError, "labels must be integers, got float64"),
        (A, Y == 1, TypeError, "labels must be integers, got bool"),
        (A, np.array([0, 1, 2, 3, 0]), ValueError, "label 3 is out of range: there are 3 classes"),
        (A, np.array([0, 1, -1, 2, 0]), ValueError, "label -1 is out of range"),
        (A[:1], np.array([0, 1, 2, 0, 0]), ValueError, "label 2 is out of range: there are 2 cla"),
        (A[:, :0], Y[:0], ValueError, r"there is no example in the outputs a of shape \(3, 0\)"),
        (A[0], Y, ValueError, r"the outputs a have one example a column, got the shape \(5,\)"),
        (NAN, Y, ValueError, "the outputs a hold NaN"),
        (A, NAN, ValueError, "the targets y hold NaN"),
        (A.astype(object), Y, TypeError, "the outputs a must be real, got object"),
        (A.astype(complex), Y, TypeError, "the outputs a must be real, got complex128"),
        (A.tolist(), Y, TypeError, "the outputs a must be a numpy array, got list"),
        (A, Y.astype(object), TypeError, "labels must be integers, got object"),
    ],
)
def test_errors(metric, a, y, error, message):
    owner = metric.__name__.replace("_1_", "_k_")
    with pytest.raises(error, match=f"^{owner}: .*{message}"):
        metric(a, y)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: top_k_accuracy(A, Y, 0),
            ValueError,
            "^top_k_accuracy: k must be at least 1, got 0",
        ),
        (
            lambda: top_k_accuracy(A, Y, 4),
            ValueError,
            "^top_k_accuracy: k must be at most the number of outputs, 3, got 4",
        ),
        (
            lambda: top_k_accuracy(A, Y, 1.0),
            TypeError,
            "^top_k_accuracy: k must be an integer, got 1.0",
        ),
        (
            lambda: top_k_accuracy(A[:1], Y % 2, 1),
            ValueError,
            "^top_k_accuracy: .* at least two, got one",
        ),
        (
            lambda: confusion_matrix(A, Y, 2),
            ValueError,
            "^confusion_matrix: n_classes must be at least 3, got 2",
        ),
        (
            lambda: mean_squared_error(A, Y),
            ValueError,
            r"^mean_squared_error: y must have .* \(3, 5\) of a, got \(5,\)",
        ),
        (
            lambda: mean_squared_error(A, A[:, :1]),
            ValueError,
            r"^mean_squared_error: .* of a, got \(3, 1\)",
        ),
        (
            lambda: mean_squared_error(NAN, A),
            ValueError,
            "^mean_squared_error: the outputs a hold NaN",
        ),
        (
            lambda: mean_squared_error(A, NAN),
            ValueError,
            "^mean_squared_error: the targets y hold NaN",
        ),
        (
            lambda: true_labels(ONE_HOT, ndim=0),
            ValueError,
            r"^true_labels: labels have 0 axes .* shape \(3, 5\)",
        ),
        (
            lambda: true_labels(np.array([], int)),
            ValueError,
            r"^true_labels: .* no label in .* shape \(0,\)",
        ),
    ],
)
def test_more_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_steps_that_fill_up_a_sequence_do_not_count():
    a = np.array([[[0.9, 0.2], [0.4, 0.3]], [[0.1, 0.8], [0.6, 0.7]]])  # predicts 0 1 / 1 1
    y = np.array([[0, 0], [1, -1]])
    assert accuracy(a, y) == pytest.approx(2 / 3)
    assert top_k_accuracy(a, y, 1) == pytest.approx(2 / 3)
    np.testing.assert_array_equal(confusion_matrix(a, y), [[1, 1], [0, 1]])
    with pytest.raises(ValueError, match="all labels are -1"):
        accuracy(a, np.full((2, 2), -1))
    with pytest.raises(ValueError, match="label -2 is out of range"):
        accuracy(a, y - 1)


def test_a_label_of_minus_one_is_an_error_where_there_are_no_sequences():
    with pytest.raises(ValueError, match="label -1 is out of range"):
        accuracy(np.eye(2), np.array([0, -1]))


# -- several labels an example ----------------------------------------------------------------

# Two labels of which an example may have both or none: what is right is no largest output.
SEVERAL = np.array([[1, 0, 1, 0], [1, 0, 0, 1], [0, 0, 0, 1]])


@pytest.mark.parametrize("metric", [*LABEL_METRICS, log_loss])
@pytest.mark.parametrize(
    "y", [SEVERAL, SEVERAL.astype(float), 0.8 * SEVERAL + 0.1, 2.0 * SEVERAL - 1], ids=str
)
def test_accuracy_of_several_labels_is_refused_and_the_right_ones_offered(metric, y):
    a = np.clip(SEVERAL, 0.1, 0.9)
    words = r"must decide for one class, and y\[:, [01]\] holds .*subset_accuracy.*f1_samples"
    with pytest.raises(ValueError, match=words):
        metric(a, y)


def test_what_is_offered_for_several_labels_is_right():
    a = np.clip(SEVERAL, 0.1, 0.9)
    assert binary_accuracy(a, SEVERAL) == subset_accuracy(a, SEVERAL) == 1
    a[0, 0], a[2, 3] = 0.2, 0.3
    assert binary_accuracy(a, SEVERAL) == pytest.approx(10 / 12)
    assert subset_accuracy(a, SEVERAL) == 2 / 4
    w = np.array([1.0, 1.0, 1.0, 5.0])
    assert subset_accuracy(a, SEVERAL, w) == 2 / 8
    assert binary_accuracy(a, SEVERAL, w) == pytest.approx((2 / 3 + 1 + 1 + 5 * 2 / 3) / 8)
    theirs = pytest.importorskip("sklearn.metrics")
    decided = (a >= 0.5).astype(int)
    expected = theirs.f1_score(SEVERAL.T, decided.T, average="samples", zero_division=0)
    assert metric_named("f1_samples")(a, SEVERAL) == pytest.approx(expected, rel=1e-14)
    with pytest.raises(
        ValueError, match=r"^subset_accuracy: targets must be 0 or 1, got 0\.1 to 0"
    ):
        subset_accuracy(a, np.clip(SEVERAL, 0.1, 0.9))
    with pytest.raises(ValueError, match=r"^binary_accuracy: y must have the shape \(3, 4\) of a"):
        binary_accuracy(a, np.array([0, 1, 2, 0]))


@pytest.mark.parametrize(
    ("y", "way"),
    [
        ([[-1.0, 1.0, -1.0]], "give y == 1"),
        ([[1, 2, 2]], "give y == 2"),
        ([[0.3, -2.5, 7.0]], 'of numbers, use "mse", "mae" or "r2"'),
    ],
)
def test_accuracy_of_one_output_says_what_to_do_about_other_targets(y, way):
    y = np.array(y)
    with pytest.raises(ValueError, match=r"^accuracy: .* must be in \[0, 1\], got .*: ") as error:
        accuracy(np.full((1, 3), 0.8), y)
    assert str(error.value).endswith(way)
    if way.startswith("give"):
        assert accuracy(np.full((1, 3), 0.8), eval(way[5:], {"y": y})) == (y == y.max()).mean()


NUMBERS = np.array([[2.5, -1.0, 0.3, 7.0], [0.1, 0.4, 2.0, 6.5], [0.0, 0.2, 1.0, 9.0]])


@pytest.mark.parametrize("metric", [*LABEL_METRICS, log_loss])
@pytest.mark.parametrize(
    "y", [NUMBERS, NUMBERS[:2], NUMBERS - 5, np.diag([1.0, 2.0, 3.0])], ids=str
)
def test_targets_that_are_numbers_have_no_accuracy_and_the_right_ones_are_offered(metric, y):
    a = np.full(y.shape, 1 / len(y))
    words = r"decide for one class, and y\[:, \d\] holds numbers from .* to .*\"mse\", \"mae\" or"
    with pytest.raises(ValueError, match=words):
        metric(a, y)


def test_several_labels_of_uneven_likelihood_have_no_accuracy():
    y = np.array([[0.9, 0.1], [0.8, 0.7], [0.1, 0.0]])
    with pytest.raises(ValueError, match=r"holds numbers from 0\.1 to 0\.9, neither one-hot nor"):
        accuracy(y, y)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 1), (0.1, 0.9), (-5.0, 0.5)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_classes_may_be_marked_by_any_two_numbers(low, high, dtype):
    y = (low + (high - low) * ONE_HOT).astype(dtype)
    np.testing.assert_array_equal(true_labels(y), Y)
    assert accuracy(A, y) == np.mean(PREDICTED == Y)


def test_equal_probabilities_are_classes():
    y = np.array([[0.5, 0.0], [0.5, 0.0], [0.0, 1.0]])
    assert accuracy(np.eye(3)[:, [0, 2]], y) == 1


def test_targets_of_one_output_that_are_no_probabilities_have_no_accuracy():
    for y in (np.array([[-1.0, 1.0]]), np.array([[2.0, 3.5]])):
        with pytest.raises(ValueError, match=r"^accuracy: targets of one output .* in \[0, 1\]"):
            accuracy(np.array([[0.2, 0.9]]), y)


# -- weights, and the log loss -------------------------------------------------------------------


@pytest.mark.parametrize("y", [Y, ONE_HOT], ids=["labels", "one-hot"])
def test_weights_make_the_weighted_mean(y):
    w = np.array([1.0, 0.0, 2.0, 4.0, 3.0])  # right are the examples 0, 2 and 4
    assert accuracy(A, y, w) == 6 / 10
    assert top_k_accuracy(A, y, 2, w) == 1
    assert accuracy(A, y, w.astype(int)) == 6 / 10


def test_a_step_of_weight_0_does_not_count_whatever_its_target():
    a = np.array([[[0.9, 0.2], [0.4, 0.3]], [[0.1, 0.8], [0.6, 0.7]]])  # predicts 0 1 / 1 1
    y = np.zeros((2, 2, 2))
    y[[0, 0, 1], [0, 0, 1], [0, 1, 0]] = 1  # the last step of the second example is padding
    with pytest.raises(ValueError, match="or of weight 0"):
        accuracy(a, y)
    w = np.array([[1.0, 1.0], [1.0, 0.0]])
    assert accuracy(a, y, w) == pytest.approx(2 / 3)
    assert accuracy(a, np.array([[0, 0], [1, -1]]), np.array([1.0, 2.0])) == 2 / 4


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_log_loss_of_scikit_learn(dtype, weighted):
    theirs = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    a = rng.dirichlet(np.full(4, 0.1), 200).T.astype(dtype)
    a[:, 0], y = np.eye(4)[1], rng.integers(0, 4, 200)
    y[0] = 0  # of which the network is sure that it is not
    w = rng.uniform(0, 2, 200) if weighted else None
    expected = theirs.log_loss(y, a.T, sample_weight=w)
    rel = 1e-12 if dtype == np.float64 else 1e-5
    assert log_loss(a, y, w) == pytest.approx(expected, rel=rel)
    assert log_loss(a, np.eye(4)[:, y], w) == pytest.approx(expected, rel=rel)
    one = a[:1]
    expected = theirs.log_loss(y % 2, one[0], sample_weight=w)
    assert log_loss(one, y % 2, w) == pytest.approx(expected, rel=rel)
    assert log_loss(one, (y % 2)[np.newaxis].astype(float), w) == pytest.approx(expected, rel=rel)


def test_the_log_loss_of_probabilities_is_their_cross_entropy():
    a, y = np.array([[0.25, 0.5], [0.75, 0.5]]), np.array([[0.5, 0.0], [0.5, 1.0]])
    expected = (-0.5 * np.log(0.25) - 0.5 * np.log(0.75) - np.log(0.5)) / 2
    assert log_loss(a, y) == pytest.approx(expected, rel=1e-14)


def test_the_log_loss_of_what_is_no_probability_is_refused():
    words = r"probabilities that add up to 1, got numbers from 0 to 1, which add up to 0 to 1: "
    with pytest.raises(ValueError, match=words + "end the network with Softmax"):
        log_loss(np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([0, 1]))
    with pytest.raises(ValueError, match=r"^log_loss: .* got numbers from -1 to 2: end .* Sigmoid"):
        log_loss(np.array([[-1.0, 2.0]]), np.array([0, 1]))
    with pytest.raises(
        ValueError, match=r"^log_loss: .*the targets y must be labels or probabilitie"
    ):
        log_loss(np.array([[0.5], [0.5]]), np.array([[3.0], [1.0]]))

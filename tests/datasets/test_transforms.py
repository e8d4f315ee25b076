from __future__ import annotations

import numpy as np
import pytest

from backprop.datasets import one_hot, split, standardize, to_columns, to_images


class TestOneHot:
    def test_by_hand(self):
        y = one_hot([2, 0, 2], 3)
        np.testing.assert_array_equal(y, [[0, 1, 0], [0, 0, 0], [1, 0, 1]])
        assert y.dtype == np.float32
        assert y.T.flags.c_contiguous

    @pytest.mark.parametrize("dtype", ["uint8", "int8", "int64", "uint64"])
    def test_labels_of_any_integer_type(self, dtype):
        labels = np.array([1, 0, 3], dtype=dtype)
        y = one_hot(labels, np.int64(4), dtype=np.float64)
        assert y.dtype == np.float64
        np.testing.assert_array_equal(y.argmax(axis=0), labels)
        np.testing.assert_array_equal(y.sum(axis=0), 1)

    def test_no_labels(self):
        assert one_hot(np.array([], dtype=np.uint8), 3).shape == (3, 0)

    @pytest.mark.parametrize(("label", "n"), [(3, 3), (-1, 3), (10, 10)])
    def test_a_label_out_of_range(self, label, n):
        match = rf"^one_hot: labels must be in 0\.\.{n - 1}, got {label} at index 2"
        with pytest.raises(ValueError, match=match):
            one_hot([0, 1, label, label + 1], n)

    @pytest.mark.parametrize("labels", [[0.0, 1.0], [True], ["1"], []])
    def test_labels_that_are_not_integers(self, labels):
        with pytest.raises(
            TypeError, match=f"one_hot: labels must be integers, got {np.array(labels).dtype}"
        ):
            one_hot(labels, 3)

    def test_labels_of_another_rank(self):
        with pytest.raises(
            ValueError, match=r"^one_hot: labels must have shape \(N,\), got \(1, 2\)"
        ):
            one_hot([[0, 1]], 3)

    @pytest.mark.parametrize("dtype", ["int64", "uint8", "bool", "float32", "float64"])
    @pytest.mark.parametrize("turn", ["", ".T"])
    def test_labels_that_are_one_hot_already_and_the_targets_they_are(self, dtype, turn):
        expected = one_hot([2, 0, 2, 1], 3)
        labels = (expected.T if turn else expected).astype(dtype)
        with pytest.raises(ValueError, match="is one-hot already: the targets are") as error:
            one_hot(labels, 3)
        found = eval(str(error.value).rpartition(" are ")[2], {"np": np, "labels": labels})
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)

    def test_invalid_number_of_classes(self):
        with pytest.raises(ValueError, match="one_hot: n_classes must be at least 1, got 0"):
            one_hot([0], 0)
        with pytest.raises(TypeError, match=r"^one_hot: n_classes must be an integer, got 3.0"):
            one_hot([0], 3.0)


class TestToColumns:
    def test_bytes_come_to_lie_between_0_and_1(self):
        images = np.array([[[0, 51], [102, 255]], [[1, 2], [3, 4]]], dtype=np.uint8)
        x = to_columns(images)
        assert x.dtype == np.float32
        assert x.shape == (4, 2)
        assert x.T.flags.c_contiguous
        expected = (images.reshape(2, 4).T / 255).astype(np.float32)
        np.testing.assert_array_equal(x, expected)
        assert x.max() == 1

    @pytest.mark.parametrize(
        ("dtype", "maximum"),
        [("int32", 255), ("int64", 255), ("uint16", 4095), ("uint16", 255), ("int8", 127),
         ("int16", 32768), ("uint64", 2**64 - 1), ("uint8", 15), ("float64", 255)],
    )  # fmt: skip
    @pytest.mark.parametrize("to", ["float16", "float32", "float64"])
    def test_values_are_divided_by_the_stated_maximum(self, dtype, maximum, to):
        some = min(maximum, 2**15 - 1)
        images = np.array([[some, 0, some // 2]]).astype(dtype)
        for x in (to_columns(images, to, maximum), to_images(images[None], to, maximum)):
            assert x.dtype == to
            np.testing.assert_allclose(
                x.ravel(), np.array([some, 0, some // 2]) / maximum, rtol=1e-3, atol=1e-7
            )
        if to == "float64":
            expected = images.T.astype(float) / maximum
            np.testing.assert_allclose(to_columns(images, to, maximum), expected, rtol=1e-15)

    @pytest.mark.parametrize(
        ("dtype", "largest", "white"),
        [("int32", 255, 255), ("int64", 200, 255), ("uint16", 4011, 4095), ("int8", 127, 255),
         ("uint16", 800, 1023), ("int16", 16, 16), ("uint32", 1, 1), ("uint16", 60_000, 65_535)],
    )  # fmt: skip
    def test_integers_but_bytes_need_a_maximum(self, dtype, largest, white):
        images = np.zeros((3, 2, 2), dtype)
        images[1, 0, 1] = largest
        for function in (to_columns, to_images):
            match = rf"{dtype} images hold values from 0 to {largest}: .*such as maximum={white}$"
            with pytest.raises(ValueError, match=f"^{function.__name__}: {match}"):
                function(images)
            assert function(images, maximum=white).max() == np.float32(largest) / np.float32(white)

    def test_training_and_test_data_are_scaled_alike(self):
        training, test = np.full((2, 3), 4095, np.uint16), np.full((2, 3), 255, np.uint16)
        np.testing.assert_array_equal(to_columns(training, maximum=4095), 1)
        np.testing.assert_array_equal(to_columns(test, maximum=4095), np.float32(255 / 4095))

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_grey_levels_in_floating_point_need_a_maximum(self, dtype):
        images = np.array([[0.0, 3.0], [254.0, 12.0]], dtype)
        with pytest.raises(ValueError, match=r"hold whole numbers from 0 to 254: .*maximum=255, "):
            to_columns(images)
        np.testing.assert_array_equal(to_columns(images, maximum=255), np.float32(images.T / 255))
        np.testing.assert_array_equal(to_columns(images, maximum=1e3).max(), np.float32(0.254))

    @pytest.mark.parametrize("value", [0.5, -200.0, 1.5])
    def test_other_floating_point_values_are_kept(self, value):
        images = np.full((2, 3, 2), 300.0)[:, ::-1]
        images[1, 2, 1] = value
        x = to_columns(images, np.float32)
        assert x.dtype == np.float32
        assert x.T.flags.c_contiguous
        np.testing.assert_array_equal(x, images.reshape(2, 6).T)

    def test_bytes_of_0_and_1_need_a_maximum(self):
        black_and_white = np.array([[0, 1], [1, 1]], np.uint8)
        for function in (to_columns, lambda x: to_images(x[None])):
            with pytest.raises(ValueError, match=r"uint8 images hold values from .*maximum=1$"):
                function(black_and_white)
        np.testing.assert_array_equal(to_columns(black_and_white, maximum=1), black_and_white.T)
        np.testing.assert_array_equal(to_columns(2 * black_and_white).max(), np.float32(2 / 255))
        assert not to_columns(0 * black_and_white).any()

    def test_bytes_read_as_int8(self):
        pixels = np.array([[0, 130, 255]], np.uint8)
        with pytest.raises(ValueError, match=r"int8 images .* -126 to 0: .*images\.view\(np.uint8"):
            to_columns(pixels.view(np.int8))
        np.testing.assert_array_equal(
            to_columns(pixels.view(np.int8).view(np.uint8)), to_columns(pixels)
        )

    @pytest.mark.parametrize(
        ("values", "maximum"), [([0, 256], 255), ([-200, 3], 127), ([0.0, 1.5], 1)]
    )
    def test_a_maximum_that_values_exceed(self, values, maximum):
        match = f"^to_columns: maximum must not be less than any value, got {maximum} for "
        with pytest.raises(ValueError, match=match):
            to_columns([values], maximum=maximum)

    @pytest.mark.parametrize("maximum", [0, -1, np.nan, np.inf, "255"])
    def test_a_maximum_that_is_none(self, maximum):
        with pytest.raises((ValueError, TypeError), match=r"^to_columns: maximum must be "):
            to_columns(np.zeros((2, 2), np.uint8), maximum=maximum)

    def test_rows_that_need_nothing_are_not_copied(self):
        rows = np.ones((3, 2), dtype=np.float32)
        assert np.shares_memory(to_columns(rows), rows)

    def test_no_examples(self):
        assert to_columns(np.empty((0, 28, 28), dtype=np.uint8)).shape == (784, 0)

    @pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
    def test_values_that_are_not_finite(self, value):
        images = np.zeros((3, 2, 2))
        images[1, 0, 1] = value
        for function in (to_columns, to_images):
            match = rf"^{function.__name__}: float32 images\[1, 0, 1\] is .*must be finite"
            with pytest.raises(ValueError, match=match):
                function(images)

    @pytest.mark.parametrize("dtype", ["bool", "complex64", "O", "U1"])
    def test_images_that_are_not_real_numbers(self, dtype):
        with pytest.raises(TypeError, match=f"floating-point numbers, got {np.dtype(dtype)}"):
            to_columns(np.zeros((2, 2), dtype=dtype))

    def test_other_errors(self):
        with pytest.raises(
            ValueError, match=r"^to_columns: images must have shape \(N, ...\), got \(3,\)"
        ):
            to_columns([1, 2, 3])
        with pytest.raises(
            TypeError, match=r"^to_columns: dtype must be floating-point, got int32"
        ):
            to_columns(np.zeros((2, 2)), np.int32)


class TestSplit:
    x = np.arange(24).reshape(2, 2, 6)
    labels = np.arange(6)

    def test_the_last_examples_are_for_validation(self):
        (x_train, y_train), (x_val, y_val) = split(self.x, self.labels, 2)
        np.testing.assert_array_equal(x_train, self.x[..., :4])
        np.testing.assert_array_equal(x_val, self.x[..., 4:])
        assert y_train.tolist() == [0, 1, 2, 3]
        assert y_val.tolist() == [4, 5]
        for part in (x_train, x_val):
            assert np.shares_memory(part, self.x)

    def test_targets_as_columns(self):
        (_, y_train), (_, y_val) = split(self.x, one_hot(self.labels, 6), 1)
        assert y_train.shape == (6, 5)
        assert y_val.shape == (6, 1)

    def test_none(self):
        (x_train, y_train), (x_val, y_val) = split(self.x, self.labels, 0)
        assert (x_train.shape, y_train.shape) == ((2, 2, 6), (6,))
        assert (x_val.shape, y_val.shape) == ((2, 2, 0), (0,))

    def test_out_of_range(self):
        with pytest.raises(ValueError, match="n_validation must be at least 0, got -1"):
            split(self.x, self.labels, -1)
        with pytest.raises(ValueError, match="must be less than the 6 examples, got 6"):
            split(self.x, self.labels, 6)

    def test_not_an_integer(self):
        with pytest.raises(TypeError, match=r"n_validation must be an integer, got 2\.5"):
            split(self.x, self.labels, 2.5)

    def test_a_fraction_is_answered_with_the_number(self):
        with pytest.raises(TypeError, match=r"the number of examples, got 0\.5: give 3$"):
            split(self.x, self.labels, 0.5)

    def test_counts_that_differ(self):
        with pytest.raises(ValueError, match=r"x has 6 examples .* but there are 5 labels"):
            split(self.x, self.labels[:5], 2)


class TestStandardize:
    def test_by_hand(self):
        x, mean, std = standardize(np.array([[1.0, 3.0], [5.0, 5.0]]))
        np.testing.assert_array_equal(x, [[-1, 1], [0, 0]])
        np.testing.assert_array_equal(mean, [[2], [5]])
        np.testing.assert_array_equal(std, [[1], [0]])

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("shape", [(4, 500), (2, 3, 500)])
    def test_statistics_of_each_feature(self, dtype, shape):
        given = (np.random.default_rng(0).standard_normal(shape) * 5 + 100).astype(dtype)
        before = given.copy()
        x, mean, std = standardize(given)
        np.testing.assert_array_equal(given, before)
        assert x.dtype == mean.dtype == std.dtype == dtype
        assert mean.shape == std.shape == (*shape[:-1], 1)
        np.testing.assert_allclose(x.mean(axis=-1), 0, atol=1e-5)
        np.testing.assert_allclose(x.std(axis=-1), 1, atol=1e-5)
        np.testing.assert_allclose(std, before.std(axis=-1, keepdims=True), rtol=1e-5)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_constant_features_stay_at_0_in_test_data_too(self, dtype):
        # 0.1 is not exact in binary: the mean of three copies of it, in float64, is another number.
        x, mean, std = standardize(np.full((1, 3), 0.1, dtype=dtype))
        assert not x.any()
        assert not std.any()
        test, _, _ = standardize(np.array([[0.1, 7.0]], dtype=dtype), mean, std)
        assert not test.any()

    def test_test_data_with_the_statistics_of_the_training_data(self):
        x_train = np.array([[0.0, 2.0, 4.0, 6.0]])
        _, mean, std = standardize(x_train)
        x_test, mean_again, std_again = standardize(np.array([[3.0, 3.0 + std[0, 0]]]), mean, std)
        np.testing.assert_allclose(x_test, [[0, 1]])
        np.testing.assert_array_equal(mean_again, mean)
        np.testing.assert_array_equal(std_again, std)

    def test_the_dtype_of_the_data_is_kept(self):
        x = np.ones((2, 3), dtype=np.float32)
        x, mean, std = standardize(x, np.zeros((2, 1)), np.ones((2, 1)))
        assert x.dtype == mean.dtype == std.dtype == np.float32

    def test_errors(self):
        x, one = np.ones((2, 3)), np.ones((2, 1))
        with pytest.raises(
            TypeError, match=r"^standardize: the array x must be real floating, got uint8"
        ):
            standardize(x.astype(np.uint8))
        with pytest.raises(
            ValueError, match=r"^standardize: mean and std must be given both or neither"
        ):
            standardize(x, mean=one)
        with pytest.raises(
            ValueError, match=r"^standardize: std must have shape \(2, 1\), got \(2,\)"
        ):
            standardize(x, one, np.ones(2))
        with pytest.raises(
            ValueError, match=r"^standardize: mean must have shape \(2, 1\), got \(1, 2\)"
        ):
            standardize(x, one.T, one)
        with pytest.raises(ValueError, match=r"shape \(2, 0\) has no examples"):
            standardize(np.empty((2, 0)))
        with pytest.raises(ValueError, match=r"^standardize: std must not be negative, got -1\.0"):
            standardize(x, one, -one)
        with pytest.raises(
            ValueError, match=r"^standardize: mean\[0, 0\] is nan: mean must be finite"
        ):
            standardize(x, one * np.nan, one)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_data_that_is_not_finite(self, value):
        x = np.ones((2, 3))
        x[1, 2] = value
        with pytest.raises(ValueError, match=r"^standardize: x\[1, 2\] is .*: x must be finite"):
            standardize(x)


class TestToImages:
    def test_grey_images_have_one_channel(self):
        images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
        x = to_images(images)
        assert x.shape == (1, 3, 4, 2)
        assert x.dtype == np.float32
        np.testing.assert_array_equal(x[0, :, :, 1], images[1] / np.float32(255))
        np.testing.assert_array_equal(x.reshape(12, 2), to_columns(images))

    def test_channels_stay_where_they_are(self):
        images = np.arange(48, dtype=np.float64).reshape(2, 2, 3, 4)
        x = to_images(images, np.float64)
        assert np.shares_memory(x, images)
        np.testing.assert_array_equal(x[..., 1], images[1])

    def test_what_is_no_image(self):
        with pytest.raises(ValueError, match=r"\(N, H, W\) or \(N, C, H, W\), got \(2, 12\)"):
            to_images(np.zeros((2, 12)))
        with pytest.raises(TypeError, match=r"^to_images: dtype must be floating-point, got int32"):
            to_images(np.zeros((2, 3, 4)), np.int32)

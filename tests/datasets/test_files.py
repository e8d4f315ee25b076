"""Data sets in the forms that others have put them into."""

import gzip
import pickle
import struct

import numpy as np
import pytest

from backprop import FileError, datasets
from backprop.datasets import write_idx
from backprop.datasets.idx_files import FILES


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    shapes = [(12, 4, 3), (12,), (6, 4, 3), (6,)]
    made = [rng.integers(0, 256 if len(s) > 1 else 3, s).astype(np.uint8) for s in shapes]
    made[1][:3] = made[3][:3] = [0, 1, 2]
    return made


def check(found, arrays):
    got = (found.x_train, found.labels_train, found.x_test, found.labels_test)
    for one, other in zip(got, arrays, strict=True):
        np.testing.assert_array_equal(one, other)


def test_kaggle_folders_named_like_files(tmp_path, arrays):
    for file, array in zip(FILES, arrays, strict=True):
        write_idx(tmp_path / file / file, array)
    check(datasets.load(tmp_path), arrays)


def test_emnist_is_turned_upright_and_letters_count_from_0(tmp_path, arrays):
    for kind in ("letters", "digits"):
        for file, array in zip(FILES, arrays, strict=True):
            stored = array.transpose(0, 2, 1) if array.ndim == 3 else array + (kind == "letters")
            write_idx(tmp_path / f"emnist-{kind}-{file.replace('t10k', 'test')}.gz", stored)
    found = datasets.load(tmp_path / "emnist-letters")
    check(found, arrays)
    assert found.classes[:3] == ("A", "B", "C")
    assert "counted from 0" in found.source
    check(datasets.load(str(tmp_path / "emnist-digits")), arrays)
    with pytest.raises(FileError, match=r"several data sets: name one of them, .*emnist-digits"):
        datasets.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="no data set or folder"):
        datasets.load(tmp_path / "emnist-bymerge")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_keras_npz(tmp_path, arrays, save):
    names = ("x_train", "y_train", "x_test", "y_test")
    save(tmp_path / "mnist.npz", **dict(zip(names, arrays, strict=True)))
    found = datasets.load(tmp_path / "mnist.npz")
    check(found, arrays)
    check(datasets.load(tmp_path), arrays)
    mapped = isinstance(found.x_train, np.memmap) and found.x_train.filename is not None
    assert mapped == (save is np.savez)


def test_npz_of_other_names_and_what_is_none(tmp_path, arrays):
    path = tmp_path / "a.npz"
    np.savez(path, train_images=arrays[0], train_labels=arrays[1][:, None],
             val_images=arrays[0], val_labels=arrays[1],
             test_images=arrays[2], test_labels=arrays[3])  # fmt: skip
    found = datasets.load(path)
    check(found, arrays)
    assert "without its val_images" in found.source
    np.savez(path, data=arrays[0], target=arrays[1])
    found = datasets.load(path)
    assert (len(found.x_train), len(found.x_test)) == (10, 2)
    assert "the last sixth of it is for testing" in found.source
    np.savez(path, data=arrays[0])
    with pytest.raises(FileError, match=r"must hold the arrays x_train.*; it holds data"):
        datasets.load(path)
    np.savez(path, x_train=np.array([{}]), y_train=[0])
    with pytest.raises(FileError, match="Python objects"):
        datasets.load(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(FileError, match="damaged"):
        datasets.load(path)


def test_a_folder_of_npy(tmp_path, arrays):
    for name, array in zip(("x_train", "y_train", "x_test", "y_test"), arrays, strict=True):
        np.save(tmp_path / f"{name}.npy", array)
    found = datasets.load(tmp_path)
    check(found, arrays)
    assert isinstance(found.x_train, np.memmap)
    with pytest.raises(FileError, match=r"is one array: give the folder of x_train\.npy"):
        datasets.load(tmp_path / "x_train.npy")


def book(arrays):
    x, labels, x_test, labels_test = arrays
    x, x_test = (one.reshape(len(one), -1)[:, :9].astype(np.float32) / 255 for one in (x, x_test))
    sets = ((x[:8], labels[:8].astype(int)), (x[8:], labels[8:].astype(int)))
    return (*sets, (x_test, labels_test.astype(int)))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("compressed", [True, False])
def test_the_books_pickle(tmp_path, arrays, protocol, compressed):
    content = pickle.dumps(book(arrays), protocol)
    path = tmp_path / ("mnist.pkl.gz" if compressed else "mnist.pkl")
    path.write_bytes(gzip.compress(content) if compressed else content)
    found = datasets.load(path)
    training, validation, test = book(arrays)
    x = np.concatenate([training[0], validation[0]]).reshape(-1, 3, 3)
    labels = np.concatenate([training[1], validation[1]])
    check(found, (x, labels, test[0].reshape(-1, 3, 3), test[1]))


def of_python_2(array):
    """Write an array as cPickle of Python 2 does, protocol 2: its bytes are a string."""
    text = array.dtype.str[1:].encode()
    shape = b"(" + b"".join(b"M" + struct.pack("<H", n) for n in array.shape) + b"t"
    content = array.tobytes()
    return (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01" + shape + b"cnumpy\ndtype\nU" + bytes([len(text)]) + text + b"K\x00K\x01\x87R"
        b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + struct.pack("<i", len(content)) + content + b"tb"
    )  # fmt: skip


def test_a_pickle_of_python_2(tmp_path, arrays):
    pairs = [b"(" + of_python_2(x) + of_python_2(labels) + b"t" for x, labels in book(arrays)]
    content = b"\x80\x02(" + b"".join(pairs) + b"t."
    theirs = pickle.loads(content, encoding="latin1")
    np.testing.assert_array_equal(theirs[0][0], book(arrays)[0][0])
    (tmp_path / "mnist.pkl.gz").write_bytes(gzip.compress(content))
    found = datasets.load(tmp_path)
    np.testing.assert_array_equal(found.x_test.reshape(6, 9), book(arrays)[2][0])


class Evil:
    def __reduce__(self):
        return print, ("executed",)


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(Evil()),
        pickle.dumps(((Evil(), 1), (2, 3))),
        pickle.dumps([np.array([None, {}], dtype=object)]),
        pickle.dumps({"x": 1}),
        b"cos\nsystem\n(S'echo executed'\ntR.",
        b"(S'echo executed'\nios\nsystem\n.",
        b"\x80\x02cnumpy\nndarray\n)\x81.",
        b"\x80\x02\x82\x01.",
        b"\x80\x02r\xff\xff\xff\x7f.",
        b"\x80\x02" + b"]q\x00(" + b"h\x00" * 30 + b"e.",
        b"\x80",
        b"",
        b"(((((.",
        pickle.dumps((1, 2)),
    ],
)
def test_nothing_in_a_pickle_is_executed(tmp_path, content, capfd):
    path = tmp_path / "x.pkl"
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"x\.pkl"):
        datasets.load(path)
    assert "executed" not in capfd.readouterr().out


@pytest.mark.parametrize("header", [True, False])
def test_a_csv_of_labels_and_pixels(tmp_path, arrays, header):
    x, labels, x_test, labels_test = arrays
    x, x_test = (np.tile(one.reshape(len(one), -1), 3) for one in (x, x_test))  # 36 pixels
    for name, a, b in (("train", x, labels), ("test", x_test, labels_test)):
        rows = np.column_stack([b, a])
        text = "\n".join(",".join(map(str, row)) for row in rows) + "\n"
        names = "label," + ",".join(f"{i}x{j}" for i in range(1, 7) for j in range(1, 7)) + "\n"
        (tmp_path / f"mnist_{name}.csv").write_text(names * header + text)
    wanted = (x.reshape(-1, 6, 6), labels, x_test.reshape(-1, 6, 6), labels_test)
    for path in (tmp_path / "mnist_train.csv", tmp_path / "mnist_test.csv", tmp_path):
        check(datasets.load(path), wanted)
    (tmp_path / "mnist_test.csv").unlink()
    found = datasets.load(tmp_path)
    assert (len(found.x_train), len(found.x_test)) == (10, 2)


def test_a_csv_that_is_damaged_or_another_table(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(FileError, match=r"datasets.table\('.*train.csv', target=...\) reads it"):
        datasets.load(path)
    row = ",".join(["1"] * 17)
    path.write_text(f"{row}\n{row},4\n")
    with pytest.raises(FileError, match="damaged after its row 0"):
        datasets.load(path)
    path.write_text(f"{row}\n{row[:-1]}300\n")
    with pytest.raises(FileError, match="pixels, whole numbers from 0 to 255"):
        datasets.load(path)
    (tmp_path / "x.zip").write_text("")
    with pytest.raises(FileError, match="is no data set that is known: a folder of IDX"):
        datasets.load(tmp_path / "x.zip")


def save_images(folder, shapes):
    Image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(1)
    for k, shape in enumerate(shapes):
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, shape).astype(np.uint8)).save(folder / f"{k}.png")


def test_a_folder_of_images_by_class(tmp_path):
    for name in ("cat", "dog"):
        save_images(tmp_path / name, [(5, 4)] * 6)
    found = datasets.load(tmp_path)
    assert found.classes == ("cat", "dog")
    assert found.x_train.shape == (10, 5, 4)
    assert "one in six of them, drawn at random" in found.source
    one = datasets.read_image(tmp_path / "cat" / "0.png")
    assert any((image == one).all() for image in (*found.x_train, *found.x_test))
    save_images(tmp_path / "dog", [(5, 4, 3)])
    assert datasets.load(tmp_path).x_train.shape == (10, 3, 5, 4)
    save_images(tmp_path / "dog", [(5, 4), (5, 6)])
    with pytest.raises(
        FileError, match=r"png is \d x 5 pixels, but .*png \d x 5: bring all images to one size"
    ):
        datasets.load(tmp_path)
    (tmp_path / "dog" / "1.png").write_bytes(b"no image")
    with pytest.raises(FileError, match=r"1\.png is no image"):
        datasets.load(tmp_path)


def test_images_with_a_folder_for_testing(tmp_path):
    for part in ("train", "test"):
        for name in ("a", "b"):
            save_images(tmp_path / part / name, [(3, 3)] * 2)
    found = datasets.load(tmp_path)
    assert (found.x_train.shape, found.x_test.shape) == ((4, 3, 3), (4, 3, 3))
    assert found.labels_test.tolist() == [0, 0, 1, 1]
    (tmp_path / "test" / "b").rename(tmp_path / "test" / "c")
    with pytest.raises(FileError, match=r"test has the class 'c', and .*train has not: .* a, b$"):
        datasets.load(tmp_path)


def test_images_of_16_bits(tmp_path):
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 2**16, (12, 5, 4)).astype(np.uint16)
    for k, one in enumerate(pixels):
        (tmp_path / "ab"[k % 2]).mkdir(exist_ok=True)
        image.fromarray(one).save(tmp_path / "ab"[k % 2] / f"{k:02}.{('png', 'tif')[k % 3 == 0]}")
    found = datasets.load(tmp_path)
    assert found.x_train.dtype == np.uint16
    everything = np.concatenate([found.x_train, found.x_test])
    assert sorted(map(bytes, everything)) == sorted(map(bytes, pixels))
    coloured = datasets.read_image(tmp_path / "b" / "01.png", channels=3)
    np.testing.assert_array_equal(coloured, np.stack([pixels[1]] * 3))
    image.fromarray(pixels[0].astype(np.uint8)).save(tmp_path / "b" / "01.png")
    with pytest.raises(FileError, match=r"has pixels of \d+ bits, but .* of \d+: bring all images"):
        datasets.load(tmp_path)
    image.fromarray(pixels[0].astype(np.float32)).save(tmp_path / "a" / "00.tif")
    with pytest.raises(FileError, match=r"00\.tif has pixels of more than 16 bits: make an array"):
        datasets.load(tmp_path)


@pytest.mark.parametrize("pixel", ["0.5", "nan", "-1", "256", "1e30"])
def test_pixels_that_are_no_bytes_are_refused(tmp_path, pixel):
    rows = [",".join(["1"] * 17)] * 7 + ["1," + ",".join([pixel] * 16)]
    (tmp_path / "a.csv").write_text("\n".join(rows))
    with pytest.raises(FileError, match="whole numbers from 0 to 255, in every row"):
        datasets.load(tmp_path / "a.csv")


def test_folders_that_are_named_like_images_and_too_few_images(tmp_path):
    image = pytest.importorskip("PIL.Image")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        image.new("L", (4, 4)).save(tmp_path / name / "0.png")
    with pytest.raises(FileError, match="holds 2 images, and one in 6 would be for testing"):
        datasets.load(tmp_path)
    (tmp_path / "a" / "folder.png").mkdir()
    for k in range(1, 6):
        image.new("L", (4, 4)).save(tmp_path / "a" / f"{k}.png")
    assert len(datasets.load(tmp_path).x_train) == 6
    (tmp_path / "b" / "1.png").write_bytes(b"")
    with pytest.raises(FileError, match=r"1\.png is no image that can be read$"):
        datasets.load(tmp_path)

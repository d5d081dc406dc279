import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cvrl_jax.evaluation.embeddings_table import read_embeddings, write_embeddings


def arguments(count=4):
    return {
        "ids": [f"video{i}" for i in range(count)],
        "paths": [f"/videos/{i}.mp4" for i in range(count)],
        "labels_N": np.array([1, -1, 0, 1])[:count],
        "vectors_NxD": np.arange(3.0 * count, dtype=np.float32).reshape(count, 3),
        "valid_N": np.array([True, True, False, True])[:count],
        "classes": ("run", "jump"),
        "step": 1200,
        "config_name": "moving_shapes",
    }


def test_what_is_written_is_read_back_without_invalid_rows(tmp_path):
    path = tmp_path / "new" / "test.parquet"
    given = arguments()
    assert write_embeddings(path, **given) == 3
    ids, vectors, labels = read_embeddings(path)
    assert ids == ["video0", "video1", "video3"]
    np.testing.assert_array_equal(vectors, given["vectors_NxD"][[0, 1, 3]])
    assert vectors.dtype == np.float32
    assert labels.tolist() == [1, -1, 1]
    assert [p.name for p in path.parent.iterdir()] == ["test.parquet"]


def test_columns_and_metadata(tmp_path):
    path = tmp_path / "test.parquet"
    write_embeddings(path, **arguments())
    table = pq.read_table(path)
    assert table.column_names == ["id", "path", "label", "label_index", "vector"]
    assert table["path"].to_pylist() == [f"/videos/{i}.mp4" for i in (0, 1, 3)]
    assert table["label"].to_pylist() == ["jump", None, "jump"]
    assert table["label_index"].to_pylist() == [1, None, 1]
    assert table.schema.field("vector").type == pa.list_(pa.float32(), 3)
    assert table.schema.metadata[b"step"] == b"1200"
    assert table.schema.metadata[b"config"] == b"moving_shapes"


def test_further_columns_hold_one_vector_or_none_and_lists_of_sentences(tmp_path):
    sound = np.arange(8.0).reshape(4, 2)
    text = np.arange(16.0).reshape(4, 2, 2)
    more = {
        "audio_va": (sound, np.array([True, False, True, True])),
        "text_vt": (text, np.array([[1, 0], [1, 1], [1, 1], [0, 0]])),
    }
    write_embeddings(tmp_path / "t.parquet", **arguments(), more=more)
    table = pq.read_table(tmp_path / "t.parquet")
    assert table["audio_va"].to_pylist() == [[0, 1], None, [6, 7]]
    assert table["text_vt"].to_pylist() == [[[0, 1]], [[4, 5], [6, 7]], []]
    assert read_embeddings(tmp_path / "t.parquet").vectors_NxD.shape == (3, 3)


def test_no_valid_row_gives_an_empty_table(tmp_path):
    given = {**arguments(), "valid_N": np.zeros(4, bool)}
    assert write_embeddings(tmp_path / "empty.parquet", **given) == 0
    ids, vectors, labels = read_embeddings(tmp_path / "empty.parquet")
    assert ids == []
    assert vectors.shape == (0, 3)
    assert labels.shape == (0,)


def test_columns_of_different_lengths_are_refused(tmp_path):
    with pytest.raises(ValueError, match="different lengths"):
        write_embeddings(tmp_path / "x.parquet", **{**arguments(), "ids": ["one"]})
    assert not list(tmp_path.iterdir())

import pathlib
import pickle

import pytest
import tokenizers
from tokenizers import models, pre_tokenizers, processors

from data_pipelines.errors import UserError
from data_pipelines.sources.moving_shapes import VOCABULARY
from data_pipelines.text import PAD, UNKNOWN, load_tokenizer, word_tokenizer


def vocabulary(path: pathlib.Path, *words: str, ending: str = "\n") -> str:
    path.write_bytes("".join(word + ending for word in words).encode())
    return str(path)


@pytest.mark.parametrize(
    ("sentence", "ids"),
    [
        ("dont stop", [2, 3]),
        ("Don't STOP!", [2, 3]),
        ("  stop\t(stop)\nstop ", [3, 3, 3]),
        ("high-speed", [4]),
        ("CAFÉ café", [5, 5]),
        ("stop 漢字 zebra", [3, 1, 1]),
        ("<unk> <pad>", [1, 1]),  # words like others: the marks are punctuation
        ("... ?! --", []),
        ("", []),
        ("dont stop dont stop dont", [2, 3, 2, 3]),  # longer than the limit: cut off
    ],
)
def test_words(sentence: str, ids: list[int], tmp_path: pathlib.Path) -> None:
    path = vocabulary(tmp_path / "v.txt", PAD, UNKNOWN, "dont", "stop", "highspeed", "café")
    tokenizer = load_tokenizer(path, 4)
    assert tokenizer.encode(sentence) == ids
    assert tokenizer.size == 6


def test_vocabularies_of_other_systems(tmp_path: pathlib.Path) -> None:
    marks = (PAD, "<bos>", "<eos>", UNKNOWN)
    path = vocabulary(tmp_path / "v.txt", *marks, "a", "b", ending="\r\n")
    assert load_tokenizer(path).encode("b a c") == [5, 4, 3]
    (tmp_path / "bom.txt").write_bytes(b"\xef\xbb\xbf<pad>\n<unk>\na")  # no line break at the end
    assert load_tokenizer(str(tmp_path / "bom.txt")).encode("a") == [2]


def test_the_built_in_vocabulary() -> None:
    tokenizer = load_tokenizer()
    assert tokenizer.size == len(VOCABULARY)
    assert tokenizer.encode("red Square") == [VOCABULARY.index("red"), VOCABULARY.index("square")]
    assert tokenizer.encode("elephants") == [1]
    assert load_tokenizer() is tokenizer


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((UNKNOWN, "a"), "has no <pad>: it must be number 0"),
        (("a", PAD, UNKNOWN), "<pad> is number 1; it must be 0"),
        ((PAD, "a"), "has no <unk>: add a line"),
        ((PAD, UNKNOWN, "a", "b", "a"), "'a' in line 3 and again in line 5"),
        ((), "has no <unk>"),
    ],
)
def test_vocabularies_that_will_not_do(words, message, tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match=message):
        load_tokenizer(vocabulary(tmp_path / "v.txt", *words))


def test_files_that_are_none(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="is no file: name a vocabulary"):
        load_tokenizer(str(tmp_path / "none.txt"))
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(UserError, match="no file of Hugging Face's tokenizers"):
        load_tokenizer(str(tmp_path / "bad.json"))
    (tmp_path / "latin.txt").write_bytes(b"<pad>\n<unk>\ncaf\xe9\n")
    with pytest.raises(UserError, match="not text in UTF-8"):
        load_tokenizer(str(tmp_path / "latin.txt"))


def word_pieces(path: pathlib.Path, pad: str = "[PAD]", at: int = 0) -> str:
    """A tokenizers file as of BERT: marks at both ends, words in pieces."""
    words = ["[UNK]", "[CLS]", "[SEP]", "run", "##ning", "dog"]
    words.insert(at, pad)
    numbers = {word: number for number, word in enumerate(words)}
    inner = tokenizers.Tokenizer(models.WordPiece(numbers, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(mark, numbers[mark]) for mark in ("[CLS]", "[SEP]")],
    )
    inner.enable_padding(length=30)
    inner.save(str(path))
    return str(path)


def test_any_file_of_tokenizers(tmp_path: pathlib.Path) -> None:
    tokenizer = load_tokenizer(word_pieces(tmp_path / "t.json"), 5)
    assert tokenizer.size == 7
    assert tokenizer.encode("running dog") == [2, 4, 5, 6, 3]
    assert tokenizer.encode("running running dog dog") == [2, 4, 5, 4, 3]  # the marks stay
    assert tokenizer.encode("☃") == [2, 1, 3]
    assert tokenizer.encode(" ") == []
    with pytest.raises(UserError, match=r"\[PAD\] is number 3"):
        load_tokenizer(word_pieces(tmp_path / "late.json", at=3))
    with pytest.raises(UserError, match="has no <pad>"):
        load_tokenizer(word_pieces(tmp_path / "none.json", pad="[EMPTY]"))
    with pytest.raises(UserError, match="adds 2 marks"):
        load_tokenizer(word_pieces(tmp_path / "t.json"), 2)


def test_a_file_without_unknown_words(tmp_path: pathlib.Path) -> None:
    inner = tokenizers.Tokenizer(models.WordLevel({PAD: 0, "a": 1}))
    inner.save(str(tmp_path / "t.json"))
    with pytest.raises(UserError, match="unknown words"):
        load_tokenizer(str(tmp_path / "t.json"))


def test_numbers_with_gaps_count_up_to_the_last(tmp_path: pathlib.Path) -> None:
    inner = tokenizers.Tokenizer(models.WordLevel({PAD: 0, UNKNOWN: 1, "a": 9}, unk_token=UNKNOWN))
    inner.save(str(tmp_path / "t.json"))
    assert load_tokenizer(str(tmp_path / "t.json")).size == 10


def test_a_word_tokenizer_is_a_file_of_tokenizers(tmp_path: pathlib.Path) -> None:
    word_tokenizer([PAD, UNKNOWN, "a", "b"]).save(str(tmp_path / "t.json"))
    assert load_tokenizer(str(tmp_path / "t.json")).encode("B, a <pad> c") == [3, 2, 1, 1]


def test_a_tokenizer_survives_pickling() -> None:
    tokenizer = pickle.loads(pickle.dumps(load_tokenizer()))  # noqa: S301
    assert tokenizer.encode("red square") == load_tokenizer().encode("red square")

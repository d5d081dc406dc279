import json
import pathlib
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.errors import UserError
from data_pipelines.text import load_tokenizer
from data_pipelines.text.__main__ import main
from data_pipelines.text.train import train_vocabulary

word = st.text("abc", min_size=1, max_size=3)


@given(
    st.lists(st.lists(word, max_size=6).map(" ".join), min_size=1),
    st.integers(3, 12),
    st.integers(0, 99),
)
def test_the_commonest_words_are_kept(sentences, size, seed) -> None:
    counts = Counter(" ".join(sentences).split())
    if not counts:
        with pytest.raises(UserError, match="no word occurs"):
            train_vocabulary(sentences, size)
        return
    expected = sorted(counts, key=lambda w: (-counts[w], w))[: size - 2]
    found = train_vocabulary(iter(sentences), size)
    assert found.words == ("<pad>", "<unk>", *expected)
    assert found.sentences == len(sentences)
    random.Random(seed).shuffle(sentences)
    assert train_vocabulary(sentences, size).words == found.words


def test_rare_words_and_senseless_wishes() -> None:
    assert train_vocabulary(["A a, b!"], 9, least=2).words == ("<pad>", "<unk>", "a")
    for size, least in ((2, 1), (9, 0)):
        with pytest.raises(UserError, match="give 3 and 1 at least"):
            train_vocabulary(["a"], size, least)


def test_the_command(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    corpus, output = tmp_path / "corpus.txt", tmp_path / "new" / "words.txt"
    corpus.write_text("The cat sat.\nThe dog SAT\n")
    assert main(["--input", str(corpus), "--output", str(output), "--size", "4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"words": 4, "sentences": 2}
    assert output.read_text() == "<pad>\n<unk>\nsat\nthe\n"
    assert load_tokenizer(str(output)).encode("The cat sat") == [3, 1, 2]
    with pytest.raises(UserError, match="does not exist"):
        main(["--input", str(tmp_path / "none.txt"), "--output", str(output)])


def test_the_command_on_a_collection(tmp_path, capsys, make_video) -> None:
    make_video(tmp_path / "a.mp4")
    (tmp_path / "a.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nspoken words\n")
    (tmp_path / "bad.json").write_text("{")
    lines = ["path,start,end,captions_file,caption,split"]
    lines += ["a.mp4,0,1,a.srt,,train", "a.mp4,1,2,,written words,train"]
    lines += ["a.mp4,0,2,bad.json,,train", "a.mp4,0.5,2,,secret,test"]
    (tmp_path / "list.csv").write_text("\n".join(lines) + "\n")
    output = tmp_path / "words.json"
    assert main(["--input", str(tmp_path / "list.csv"), "--output", str(output)]) == 0
    assert capsys.readouterr().out.startswith("5 words of 2 sentences in ")
    tokenizer = load_tokenizer(str(output))
    assert tokenizer.encode("words spoken secret") == [2, 3, 1]

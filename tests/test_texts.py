"""Texts become attributes: with a stand-in for a model, and with a small real one where the package is installed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from linnet.attributes import read_attributes
from linnet.cli.app import app
from linnet.errors import DataError, ManifestError
from linnet.texts import describe, open_encoder, read_texts

WORDS = ("red", "blue", "breast", "wing")


class Counts:
    """Counts words: all that a model is asked for."""

    def encode(self, inputs: list[str], /) -> list[list[float]]:
        return [[float(text.split().count(word)) for word in WORDS] for text in inputs]


def table(folder: Path, text: str) -> Path:
    path = folder / "texts.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_class_is_the_mean_of_its_texts() -> None:
    """Each text counts alike, however long its vector is."""
    found = describe({"robin": ["red breast", "red red red"], "jay": ["blue wing wing"]}, Counts())
    assert found.names == ("robin", "jay") and found.columns == ("text_1", "text_2", "text_3", "text_4")
    half, fifth = 2**-0.5, 5**-0.5
    expected = [[(half + 1) / 2, 0, half / 2, 0], [0, fifth, 0, 2 * fifth]]
    np.testing.assert_allclose(found.values, expected, rtol=1e-6)


def test_texts_of_several_columns_and_rows(tmp_path: Path) -> None:
    path = table(tmp_path, 'class,looks,voice\nrobin,"red, breast",sweet\njay,blue,\nrobin,small,\n')
    assert read_texts(path) == {"robin": ["red, breast", "small", "sweet"], "jay": ["blue"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class\nrobin\n", "only the column 'class'"),
        ("class,text\nrobin,red\n,blue\n", "line 3: the class name is blank"),
        ("class,text\nrobin,\njay,blue\n", "'robin': no text"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read_texts(table(tmp_path, text))


def test_vectors_that_cannot_be_used() -> None:
    class Odd(Counts):
        def encode(self, inputs: list[str], /) -> list[list[float]]:
            return super().encode(inputs)[1:]

    with pytest.raises(DataError, match=r"texts that the model gives no direction.*\n  'grey'"):
        describe({"dove": ["grey"], "robin": ["red"]}, Counts())
    with pytest.raises(DataError, match=r"gave \(1, 4\) for 2 texts"):
        describe({"robin": ["red", "red breast"]}, Odd())


def test_without_the_package_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(DataError, match=r"pip install 'linnet\[text\]'"):
        open_encoder(tmp_path)


def test_folders_that_hold_no_model_or_name_code_of_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Before anything of them is opened; the package itself is not needed to see it."""
    monkeypatch.setitem(sys.modules, "sentence_transformers", type(sys)("sentence_transformers"))
    monkeypatch.setattr(sys.modules["sentence_transformers"], "SentenceTransformer", None, raising=False)
    with pytest.raises(DataError, match=r"modules\.json is not there"):
        open_encoder(tmp_path)
    (tmp_path / "modules.json").write_text(json.dumps([{"type": "os.path"}]))
    with pytest.raises(DataError, match=r"kinds that are not opened, 'os\.path'"):
        open_encoder(tmp_path)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest model there can be: a table of word vectors."""
    pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, **{word: n for n, word in enumerate(WORDS, start=1)}}, "[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    weights = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    folder = tmp_path_factory.mktemp("model")
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)], device="cpu").save(str(folder))
    return folder


def test_a_local_model_through_the_command(model: Path, tmp_path: Path) -> None:
    path = table(tmp_path, "class,text\nrobin,red breast\njay,blue wing\n")
    for name in ("a.npy", "b.csv"):
        done = CliRunner().invoke(
            app, ["describe", str(path), "--model", str(model), "--out", str(tmp_path / name)], catch_exceptions=False
        )
        assert done.exit_code == 0, done.output
    one, other = read_attributes(tmp_path / "a.npy"), read_attributes(tmp_path / "b.csv")
    assert one.names == other.names == ("robin", "jay") and one.values.shape == (2, 8)
    assert np.array_equal(one.values, other.values)
    np.testing.assert_allclose(np.linalg.norm(one.values, axis=1), 1, rtol=1e-5)


@pytest.fixture(scope="module")
def transformer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small transformer of random weights with room for eight tokens, kept in 16 bits, as larger models often are."""
    pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("transformer")
    (folder / "vocab.txt").write_text("\n".join(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS)) + "\n")
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder / "bert")
    config = BertConfig(
        vocab_size=5 + len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    torch.manual_seed(0)
    BertModel(config).to(torch.bfloat16).save_pretrained(folder / "bert")
    words = Transformer(str(folder / "bert"), max_seq_length=8)
    SentenceTransformer(modules=[words, Pooling(16)], device="cpu").save(str(folder / "model"))
    return folder / "model"


def test_a_transformer_says_which_texts_it_reads_in_part_only(
    transformer: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Six words and two marks fill its room; vectors come as finite numbers from a model of 16 bits."""
    texts = {"robin": ["red breast", " ".join(["wing"] * 6)], "jay": ["blue wing", " ".join(["blue"] * 7)]}
    with caplog.at_level("WARNING", "linnet"):
        found = describe(texts, open_encoder(transformer))
    assert found.values.shape == (2, 16) and found.values.dtype == np.float32 and np.isfinite(found.values).all()
    assert not np.allclose(found.values[0], found.values[1])
    assert "1 of 4 texts are longer than the 8 tokens" in caplog.text
    assert "'blue blue blue blue blue blue blue': 9 tokens" in caplog.text


def test_a_damaged_model(model: Path, tmp_path: Path) -> None:
    (tmp_path / "modules.json").write_bytes((model / "modules.json").read_bytes())
    with pytest.raises(DataError, match="cannot be opened"):
        open_encoder(tmp_path)

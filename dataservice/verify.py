"""A data set version → what is wrong with it, its tokenizer included."""

from dataservice.prepare.tokenizer import load_tokenizer
from shards.cli.console import Report, silent
from shards.dataset import Dataset
from shards.sample import BOS, EOS, PAD, UNK, target_symbol
from shards.verify import Findings, verify_dataset


def verify(dataset: Dataset, report: Report = silent) -> Findings:
    """Check every blob, count and token of a version, and the tokenizer against its manifest."""
    findings = verify_dataset(dataset, report)
    if not any(problem.startswith("tokenizer") for problem in findings.problems):
        findings.problems += _tokenizer_problems(dataset)
    return findings


def _tokenizer_problems(dataset: Dataset) -> list[str]:
    info = dataset.manifest.tokenizer
    tokenizer = load_tokenizer(dataset.read_blob(info))
    expected = {PAD: info.pad_id, UNK: info.unk_id, BOS: info.bos_id, EOS: info.eos_id}
    expected |= {target_symbol(language): number for language, number in info.target_ids.items()}
    expected |= dataset.manifest.tags.symbols
    problems = [
        f"tokenizer: {symbol} has id {tokenizer.piece_to_id(symbol)}, the manifest says {number}"
        for symbol, number in expected.items()
        if tokenizer.piece_to_id(symbol) != number
    ]
    if tokenizer.vocab_size() != info.vocab_size:
        problems.append(
            f"tokenizer: {tokenizer.vocab_size()} pieces, the manifest says {info.vocab_size}"
        )
    return problems

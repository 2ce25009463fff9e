"""Lexical support against human labels: WiCE's development claims (Kamoi et al. 2023, arXiv:2303.01432)."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

from evals.metrics.faithfulness_lexical import supported


def test_support_follows_the_labels(shared_data: Path) -> None:
    verdicts: dict[str, list[bool]] = defaultdict(list)
    for line in (shared_data / "wice" / "claim_dev.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        evidence = row["evidence"]
        passages = ["\n\n".join(evidence[start : start + 15]) for start in range(0, len(evidence), 15)]
        verdicts[row["label"]].append(bool(supported(row["claim"], passages)))
    share = {label: sum(found) / len(found) for label, found in verdicts.items()}
    assert sum(map(len, verdicts.values())) == 349
    assert share["supported"] > 0.45
    assert share["partially_supported"] < 0.20
    assert share["not_supported"] < 0.05

"""Runs made up from the real value types and scored by the real metrics: what reports are tested on."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from evals.codec import Key
from evals.core import Record, Sample
from evals.metrics import load_metrics, score_record
from evals.reporting.data import BenchmarkFacts, RunData, SystemFacts
from evals.reporting.model import Price
from rag.core import Chunk, Citation, Completion, Outcome, Timing, Usage

DOCQA = (
    "token_f1",
    "exact_match",
    "k_precision",
    "faithfulness_lexical",
    "citation_precision",
    "refusal_accuracy",
)
# The keys of a comparison in JSON, whichever command prints it.
COMPARED = {
    "a",
    "b",
    "metric",
    "n",
    "difference",
    "ci_low",
    "ci_high",
    "p_value",
    "p_adjusted",
    "significant",
}
RETRIEVAL = ("recall@5", "recall@10", "mrr", "ndcg@10")
FACTS = [
    ("What does a batch request cost?", "Batch requests cost half the price of the same request sent alone."),
    ("How long may a stream stay silent?", "A stream may stay silent for 30 seconds before it is cut."),
    (
        "Which rate limit counts tokens?",
        "The tokens-per-minute limit counts input and output tokens together.",
    ),
    ("O que acontece com chaves expiradas?", "Chaves expiradas recebem a resposta 401 e não são cobradas."),
    ("When are prices reviewed?", "Prices are reviewed on the first Monday of each quarter."),
    ("Quantos documentos cabem num lote?", "Um lote comporta no máximo 5.000 documentos de 20 páginas."),
]


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How a made-up system behaves: its skill, price and pace."""

    name: str
    skill: float
    provider: str = "lab"
    model: str = "mock"
    rag: bool = True
    usd: str | None = "0.0004"
    price: Price | None = None
    ttft: float = 0.3
    total: float = 1.2
    concurrency: int = 16
    failing: float = 0.0
    wordy: bool = False
    cites: bool = True


PROFILES = (
    Profile(
        name="extractive",
        skill=0.45,
        provider="extractive",
        model="extractive",
        usd="0",
        ttft=0.004,
        total=0.004,
        concurrency=1,
        price=Price(kind="free", source="runs on this machine"),
    ),
    Profile(
        name="smollm2-rag",
        skill=0.35,
        provider="local",
        model="smollm2-135m",
        usd="0.00009",
        ttft=2.1,
        total=4.0,
        concurrency=1,
        price=Price(kind="per_hour", usd_per_hour=Decimal("0.08")),
    ),
    Profile(
        name="smollm2-closed-book",
        skill=0.12,
        provider="local",
        model="smollm2-135m",
        rag=False,
        usd="0.00004",
        ttft=0.4,
        total=1.9,
        concurrency=1,
        price=Price(kind="per_hour", usd_per_hour=Decimal("0.08")),
    ),
    Profile(
        name="groq-llama-70b",
        skill=0.82,
        provider="groq",
        model="llama-3.3-70b-versatile",
        usd="0.00071",
        ttft=0.21,
        total=0.55,
        failing=0.06,
        price=Price(
            kind="per_token",
            input_per_mtok=Decimal("0.59"),
            output_per_mtok=Decimal("0.79"),
            as_of="2026-11-01",
            source="genai-prices",
        ),
    ),
    Profile(
        name="gpt-4o-mini",
        skill=0.80,
        provider="openai",
        model="gpt-4o-mini",
        usd="0.00029",
        ttft=0.48,
        total=1.4,
        price=Price(
            kind="per_token",
            input_per_mtok=Decimal("0.15"),
            output_per_mtok=Decimal("0.60"),
            as_of="2026-11-01",
            source="genai-prices",
        ),
    ),
    Profile(name="house-model", skill=0.7, provider="lab", model="house-7b", usd=None, ttft=0.9, total=2.2),
)


def make_run(
    profiles: Sequence[Profile] = PROFILES,
    *,
    questions: int = 24,
    choices: int = 16,
    seed: int = 7,
    repeats: int = 1,
    state: str = "finished",
) -> RunData:
    """Return a scored run of `profiles` on made-up questions and four-option items."""
    rng = random.Random(seed)
    samples = [_question(i) for i in range(questions)] + [_choice(i) for i in range(choices)]
    benchmarks = []
    if questions:
        benchmarks.append(
            BenchmarkFacts(
                name="docqa",
                metrics=(*DOCQA, *RETRIEVAL),
                data="handbook/questions.jsonl",
                sha256="ab" * 32,
                licence="Apache-2.0",
            )
        )
    if choices:
        benchmarks.append(
            BenchmarkFacts(
                name="mcq",
                kind="mmlu",
                metrics=("accuracy", "unparsed_rate"),
                split="val_v0",
                data="handbook/mcq",
                sha256="cd" * 32,
                licence="MIT",
                citation="Hendrycks et al. 2021",
            )
        )
    metrics = {
        "docqa": load_metrics([*DOCQA, *RETRIEVAL]),
        "mcq": load_metrics(["accuracy", "unparsed_rate"]),
    }
    records, scores = [], {}
    for sample in samples:
        passages = passages_of(sample)
        for profile in profiles:
            for repeat in range(repeats):
                record = _record(sample, profile, passages, repeat, rng)
                records.append(record)
                scores[Key.of(record)] = score_record(sample, record, passages, metrics[sample.benchmark])
    return RunData(
        run="2026-11-21-handbook",
        created="2026-11-21T19:58:03.120Z",
        state=state,
        seed=seed,
        repeats=repeats,
        systems=[
            SystemFacts(
                name=p.name,
                provider=p.provider,
                model=p.model,
                price=p.price,
                collection="handbook" if p.rag else None,
            )
            for p in profiles
        ],
        benchmarks=benchmarks,
        samples=samples,
        records=records,
        scores=scores,
        spec={"seed": seed, "repeats": repeats, "limits": {"concurrency": 16}},
        versions={"python": "3.11.9", "ragassay": "0.1.0"},
    )


def _question(i: int) -> Sample:
    question, answer = FACTS[i % len(FACTS)]
    answerable = i % 8 != 7
    return Sample(
        id=f"q{i:03}",
        benchmark="docqa",
        question=question if answerable else f"Who painted the lobby of building {i}?",
        targets=(answer,) if answerable else (),
        relevant=(f"doc{i % 9}.pdf#{i % 4 + 1}",) if answerable else (),
        cluster=f"doc{i % 9}.pdf",
        language="pt" if question.startswith(("O ", "Quantos")) else "en",
    )


def _choice(i: int) -> Sample:
    return Sample(
        id=f"m{i:03}",
        benchmark="mcq",
        question=f"Which status does a request with an expired key get (variant {i})?",
        targets=("ABCD"[i % 4],),
        choices=("200", "301", "401", "503"),
    )


def passages_of(sample: Sample) -> tuple[Chunk, ...]:
    if sample.choices:
        return ()
    texts = [f"{sample.question} {target}" for target in sample.targets] + [answer for _, answer in FACTS]
    place = int(sample.id[1:])
    return tuple(
        Chunk(
            id=f"c{place}-{n}",
            document_id=f"d{n}",
            source=f"doc{(place + n) % 9}.pdf",
            title="Handbook",
            text=text,
            start=0,
            end=len(text),
            page=(place + n) % 4 + 1,
        )
        for n, text in enumerate(texts[:4])
    )


def _record(
    sample: Sample, profile: Profile, passages: tuple[Chunk, ...], repeat: int, rng: random.Random
) -> Record:
    failed = rng.random() < profile.failing
    right = rng.random() < profile.skill
    answer, refused = _answer(sample, right, rng)
    if profile.provider == "extractive" and passages:
        answer, refused, right = passages[0 if right else 2].text, False, True
    outcome = rng.choice([Outcome.TIMEOUT, Outcome.RATE_LIMITED]) if failed else Outcome.OK
    pace = rng.lognormvariate(0, 0.25)
    cited = profile.rag and profile.cites and not refused and passages and not failed
    return Record(
        benchmark=sample.benchmark,
        sample_id=sample.id,
        system=profile.name,
        repeat=repeat,
        answer="" if failed else answer,
        refused=refused and not failed,
        citations=(_citation(passages[0], right),) if cited else (),
        context_key="handbook/hybrid/k4@1" if profile.rag and passages else None,
        completion=Completion(
            text=answer,
            outcome=outcome,
            provider=profile.provider,
            model=profile.model,
            usage=Usage() if failed else Usage(input_tokens=900, output_tokens=60),
            cost=None if failed or profile.usd is None else Decimal(profile.usd),
            error="no reply within 60 s" if failed else None,
            timing=Timing(
                sent=0.0,
                first_content=None if failed else profile.ttft * pace,
                last=None if failed else profile.total * pace + 0.001,
                concurrency=profile.concurrency,
            ),
        ),
    )


def _answer(sample: Sample, right: bool, rng: random.Random) -> tuple[str, bool]:
    if sample.choices:
        letter = sample.targets[0] if right else rng.choice("ABCD")
        return rng.choice([f"Answer: ({letter})", letter, f"**{letter}**", "It depends on the key."]), False
    if not sample.targets:
        return (
            ("The documents do not answer this question.", True) if right else ("An unknown artist.", False)
        )
    words = sample.targets[0].split()
    if right:
        return " ".join(words[: max(3, len(words) - rng.randrange(4))]), False
    return " ".join(
        [*words[:2], "and", rng.choice(["perhaps 17 other things", "more of the same kind"])]
    ), False


def _citation(passage: Chunk, verified: bool) -> Citation:
    return Citation(
        marker=1,
        chunk_id=passage.id,
        source=passage.source,
        page=passage.page,
        start=0 if verified else None,
        end=12 if verified else None,
        quote=passage.text[:60],
        verified=verified,
        match="exact" if verified else "near",
    )

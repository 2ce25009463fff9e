"""Reading a choice: the right rule fires, the last match counts, nothing takes forever."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.metrics.choices import extract_choice
from rag.core import Outcome
from tests.evals.metrics.values import record, sample, score, value

CITIES = ("Paris", "London", "Rome", "New York")
CAPITALS = ("Lisboa", "Madri", "Paris", "Roma", "Berlim")
TEN = tuple(f"option {n}" for n in range(10))

# Replies as models write them, over CITIES, CAPITALS (five options, Portuguese) and TEN.
REPLIES = [
    ("Answer: (B)", CITIES, "B"),
    ("answer: b", CITIES, "B"),
    ("Both A and C fail, so D", CITIES, "D"),
    ("**C**", CITIES, "C"),
    ("A resposta correta é a alternativa (E).", CAPITALS, "E"),
    (r"\boxed{B}", CITIES, "B"),
    (r"The final answer is $\boxed{\mathrm{C}}$.", CITIES, "C"),
    (r"$$\boxed{\textbf{(A)}}$$", CITIES, "A"),
    ("A, B and C are wrong.", CITIES, None),
    ("A, C", CITIES, None),
    ("B or C", CITIES, None),
    ("Answer: A or B", CITIES, None),
    ("Answers: A and C", CITIES, None),
    ("A e C", CAPITALS, None),
    ("Both A and B are correct", CITIES, None),
    ("A) Paris\nB) London", CITIES, None),
    ("Between A and B, B is better", CITIES, "B"),
    ("After eliminating A, B, and D, we are left with C.", CITIES, "C"),
    ("The answer is (A) Paris.", CITIES, "A"),
    ("I believe the correct option is D: New York.", CITIES, "D"),
    ("Correct answer: **B**", CITIES, "B"),
    ("### Answer\nB", CITIES, "B"),
    ("## Final Answer\n\n**C. Rome**", CITIES, "C"),
    ("Final Answer: C", CITIES, "C"),
    ("The capital is Rome, therefore C.", CITIES, "C"),
    ("So the answer must be B", CITIES, "B"),
    ("Option B is correct.", CITIES, "B"),
    ("Option B is the right one, because option A is in France.", CITIES, "B"),
    ("B is correct because London is the capital.", CITIES, "B"),
    ("C is the best answer, since A and B are wrong.", CITIES, "C"),
    ("(C) is right.", CITIES, "C"),
    ("I'd go with C.", CITIES, "C"),
    ("I choose D", CITIES, "D"),
    ("My answer: d)", CITIES, "D"),
    ("Answer B", CITIES, "B"),
    ("Ans. B", CITIES, "B"),
    ("The answer is not A; it is C.", CITIES, "C"),
    ("It can't be A. It's B.", CITIES, "B"),
    ("The answer isn't B. The answer is D.", CITIES, "D"),
    ("C, because A is wrong.", CITIES, "C"),
    ("C, pois A está errada.", CAPITALS, "C"),
    ("B, not A", CITIES, "B"),
    ("B, e não a alternativa A.", CAPITALS, "B"),
    ("I would choose C over A.", CITIES, "C"),
    ("B is better than A", CITIES, "B"),
    ("It is none other than B.", CITIES, "B"),
    ("Only D can be meant; it cannot be option B.", CITIES, "D"),
    ("The answer is not A.", CITIES, None),
    ("B is false.", CITIES, "B"),  # asked for what is false
    ("So A is true but B is the answer", CITIES, "B"),
    ("B is wrong, so is C; D is right.", CITIES, "D"),
    ("It is not C, D is correct", CITIES, "D"),
    ("A, B and C are right", CITIES, None),
    ("Therefore, the answer is (B).\n\nHowever, some might say A.", CITIES, "B"),
    ("<answer>C</answer>", CITIES, "C"),
    ("<think>Maybe the answer is A...</think>\nC", CITIES, "C"),
    ("```\nB\n```", CITIES, "B"),
    ("`D`", CITIES, "D"),
    ('{"answer": "B"}', CITIES, "B"),
    ("{'answer': 'C'}", CITIES, "C"),
    ("[A]", CITIES, "A"),
    ("C - Rome", CITIES, "C"),
    ("D: New York", CITIES, "D"),
    ("Answer:\n\n(B) London", CITIES, "B"),
    ("The answer is option\n\nB", CITIES, "B"),
    ("A good question! The answer is B", CITIES, "B"),
    ("Vitamin C is not the point; the answer: A", CITIES, "A"),
    ("A: Paris is wrong. B: London is right. Answer: B", CITIES, "B"),
    ("Let's see.\nA. Wrong\nB. Wrong\nC. Right\nD. Wrong\n\nC", CITIES, "C"),
    ("B\n\nQuestion: What is next?\nA. x\nB. y\nC. z\nD. w\nAnswer: A", CITIES, "B"),
    ("Resposta: C", CITIES, "C"),
    ("Resposta correta: letra D", CITIES, "D"),
    ('A alternativa correta é a letra "C".', CITIES, "C"),
    ("Portanto, a resposta é D) Roma.", CAPITALS, "D"),
    ("A letra correta é E", CAPITALS, "E"),
    ("Alternativa E.", CAPITALS, "E"),
    ("Alternativa C, pois Paris é a capital.", CAPITALS, "C"),
    ("A letra A está correta.", CAPITALS, "A"),
    ("A resposta é a letra A, e não a letra B.", CAPITALS, "A"),
    ("Nem A nem B; a certa é C.", CAPITALS, "C"),
    ("A resposta certa é E, pois é Berlim", CAPITALS, "E"),
    ("resposta: e", CAPITALS, "E"),
    ("A resposta é Berlim.", CAPITALS, "E"),
    ("La respuesta correcta es la C.", CITIES, "C"),
    ("Die Antwort ist D.", CITIES, "D"),
    ("The answer is Rome.", CITIES, "C"),
    ("It is London", CITIES, "B"),
    ("rome.", CITIES, "C"),
    ("None of the above", CITIES, None),
    ("All options are wrong", CITIES, None),
    ("The answer is J", TEN, "J"),
    ("I think it is I.", TEN, "I"),
    ("Answer: (H) option 7", TEN, "H"),
    ("the answer is (G).", TEN, "G"),
]


@pytest.mark.parametrize(("reply", "options", "letter"), REPLIES)
def test_replies_as_models_write_them(reply: str, options: tuple[str, ...], letter: str | None) -> None:
    assert extract_choice(reply, options).letter == letter


@pytest.mark.parametrize(
    "reply",
    [
        "I'm sorry, but I can't help with that.",
        "I cannot determine the answer.",
        "As an AI, I have no opinion.",
        "Desculpe, não posso responder a essa pergunta.",
        "Não consigo responder.",
    ],
)
def test_a_reply_that_declines_is_told_from_one_that_cannot_be_read(reply: str) -> None:
    found = extract_choice(reply, CITIES)
    assert (found.letter, found.rule) == (None, "refused")


@pytest.mark.parametrize(
    ("reply", "letter", "rule"),
    [
        ("B", "B", "direct"),
        (" (b) ", "B", "direct"),
        ("**B.**", "B", "direct"),
        ("A\n\nBecause B is wrong.", "A", "direct"),
        ("Answer: (B)", "B", "phrase"),
        ("Answer: b", "B", "phrase"),
        ("**Answer:** B", "B", "phrase"),
        ("The answer is C, not B.", "C", "phrase"),
        ("Answer: A. Wait, no. Final answer: D", "D", "phrase"),
        ("The best choice would be option (D).", "D", "phrase"),
        ("Answer: A because it is the capital", "A", "phrase"),
        ("A resposta correta é a letra C.", "C", "phrase"),
        ("alternativa correta: (b)", "B", "phrase"),
        ("Gabarito: D", "D", "phrase"),
        ("I would take **B) London** here", "B", "marked"),
        (r"so $\boxed{\text{D}}$", "D", "marked"),
        ("B. London\n\nExplanation: it is", "B", "line"),
        ("C) Rome", "C", "line"),
        ("London", "B", "option"),
        ("Answer: London", "B", "option"),
        ("Both A and C fail, so D", "D", "letter"),
        ("Letra D", "D", "letter"),
        ("I think it must be Rome", "C", "mention"),
        ("It is New York, not Paris.", None, "unparsed"),
        ("The answer is a matter of taste", None, "unparsed"),
        ("Resposta: A água ferve", None, "unparsed"),
        ("A dog is an animal", None, "unparsed"),
        ("A. Paris\nB. London\nC. Rome\nD. New York", None, "unparsed"),
        ("A. Paris\nB. London\nC. Rome\nD. New York\nAnswer: C", "C", "phrase"),
        ("E", None, "unparsed"),
        ("", None, "unparsed"),
    ],
)
def test_cascade(reply: str, letter: str | None, rule: str) -> None:
    found = extract_choice(reply, CITIES)
    assert (found.letter, found.rule) == (letter, rule)


def test_the_longer_of_two_nested_options_is_meant() -> None:
    assert extract_choice("It is sodium chloride, I think", ("sodium", "sodium chloride")).letter == "B"


def test_ten_options_know_the_pronoun_from_the_letter() -> None:
    options = tuple(f"option {n}" for n in range(10))
    assert extract_choice("I think the answer is J", options).letter == "J"
    assert extract_choice("I think so", options).letter is None


@pytest.mark.parametrize(
    "junk", ["answer ", "Answer: ", "answer is is ", "option choice ", " * _ ( ", "A ", "\n", "**A) ", "- "]
)
def test_no_reply_takes_long(junk: str) -> None:
    start = time.perf_counter()
    extract_choice(junk * (30_000 // len(junk)), CITIES)
    assert time.perf_counter() - start < 5  # 0.3 s on a quiet machine


@given(st.text(max_size=200))
def test_a_letter_is_one_of_the_options(reply: str) -> None:
    found = extract_choice(reply, CITIES)
    assert found.letter is None or found.letter in "ABCD"
    assert (found.letter is None) == (found.rule in {"unparsed", "refused"})


@given(st.sampled_from("ABCD"), st.sampled_from(["Answer: {}", "({})", "**{}**", "The answer is {}.", "{}"]))
def test_every_form_gives_its_letter(letter: str, form: str) -> None:
    assert extract_choice(form.format(letter), CITIES).letter == letter


def test_accuracy_and_unparsed_rate() -> None:
    item = sample("B", choices=CITIES)
    assert value("accuracy", item, record("Answer: B")) == 1.0
    assert score("accuracy", item, record("Answer: B")).reason == "B by phrase"
    assert value("accuracy", item, record("no idea")) == 0.0
    assert value("unparsed_rate", item, record("no idea")) == 1.0
    assert value("unparsed_rate", item, record("C")) == 0.0
    assert value("unparsed_rate", item, record("", Outcome.CONTENT_FILTER)) == 1.0
    assert score("accuracy", sample("Paris"), record("Paris")).reason == "not multiple choice"

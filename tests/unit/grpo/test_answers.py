import threading
import time

import pytest

from rlgen_k8s.errors import UserError
from rlgen_k8s.lm.answers import final_answer, is_right


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{4}, no, \boxed{\frac{1}{\sqrt{2}}}. Done.", r"\frac{1}{\sqrt{2}}"),
        (r"\boxed{7} and then \boxed{8", "7"),
        (r"we get 13, so \boxed{4", "13"),
        (r"\boxed{4", None),
        (r"\boxed{} and 3", "3"),
        ("The answer is 42. I am sure about that 100%", "42"),
        ("**Final Answer:** $x = 5$", "x = 5"),
        ("Hence the total is $a + b = 12$ apples", "12"),
        ("2 + 3 = 5", "5"),
        ("42", "42"),
        ("There are 1,234 of them and nothing else is left", "1,234"),
        ("He walked -3/4 miles", "-3/4"),
        ("Monday", "Monday"),
        ("x+1", "x+1"),
        ("I really have no idea whatsoever how one could go about this", None),
        ("", None),
        ("   \n", None),
    ],
)
def test_the_final_answer_is_found_in_any_format(text: str, answer: str | None) -> None:
    assert final_answer(text) == answer


@pytest.mark.parametrize(
    ("text", "gold"),
    [
        (r"\boxed{027}", "27"),
        ("027", "27"),
        ("The answer is 027.", "27"),
        (r"\boxed{\frac12}", "0.5"),
        (r"\boxed{0.5}", r"$\frac{1}{2}$"),
        ("1/2", r"\frac{1}{2}"),
        (r"\boxed{1,000}", "1000"),
        (r"\boxed{\$5}", "5"),
        ("It costs $5", "5"),
        (r"\boxed{12 \text{ cm}}", "12"),
        ("so it is 12 cm", r"12\text{ cm}"),
        (r"\boxed{90^\circ}", "90"),
        (r"\boxed{50}", r"50\%"),
        ("that makes 50%", "50"),
        (r"\boxed{\text{Evelyn}}", "Evelyn"),
        ("Evelyn", r"\text{Evelyn}"),
        ("The answer is Evelyn.", r"\text{Evelyn}"),
        (r"\boxed{x = 5}", "5"),
        (r"\boxed{(1, 2)}", "(1,2)"),
        (r"\boxed{\frac{\sqrt{2}}{2}}", r"\frac{1}{\sqrt{2}}"),
        (r"\boxed{2^{10}}", "1024"),
        ("<think>maybe 3</think> 4", "4"),
        (r"\boxed{4}", r"We see that it is $\boxed{4}$."),
    ],
)
def test_equal_answers_are_right_whatever_they_look_like(text: str, gold: str) -> None:
    assert is_right(text, gold)


@pytest.mark.parametrize(
    ("text", "gold"),
    [
        ("", "27"),
        (r"\boxed{28}", "27"),
        (r"27 is what we want, so \boxed{28}", "27"),
        (r"\boxed{27", "27"),
        (r"\boxed{lead}", "deal"),
        (r"\boxed{\text{odd}}", "even"),
        ("no idea", "27"),
        (r"\boxed{}}{", "27"),
        (r"\boxed{2 1}", "12"),
    ],
)
def test_other_answers_are_wrong(text: str, gold: str) -> None:
    assert not is_right(text, gold)


@pytest.mark.parametrize("gold", ["", "   ", r"\boxed{}", "$ $"])
def test_a_gold_answer_without_content_is_the_users_error(gold: str) -> None:
    with pytest.raises(UserError, match="gold answer"):
        is_right("4", gold)


@pytest.mark.parametrize(
    "answer",
    [
        "9^9^9^9",
        "9^{9^{9^{9}}}",
        "9**9**9**9",
        "(9^9)^{99999999}",
        "2^{9999999999}",
        "99999999!",
        "((9!)!)!",
        r"\sum_{i=1}^{99999999} i!",
        r"\binom{99999999}{5000000}",
        "1" * 5000,
        "(" * 2000,
        "x+" * 3000 + "x",
        "{" * 90 + "}" * 90,
    ],
)
def test_an_answer_that_would_never_be_evaluated_is_wrong_at_once(answer: str) -> None:
    start = time.process_time()
    assert not is_right(rf"\boxed{{{answer}}}", "27")
    assert not is_right(answer, "27")
    assert time.process_time() - start < 5


def test_answers_can_be_checked_outside_the_main_thread() -> None:
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(is_right(r"\boxed{\frac{3}{6}}", "0.5")))
    thread.start()
    thread.join()
    assert found == [True]

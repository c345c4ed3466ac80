r"""The final answer of a response to a maths problem, and whether it is right.

One definition for rejection sampling, for the reward and for evaluation. It rewards no format: a boxed answer, an
announced one and a bare one with the same content count the same. The first of these that is there is the answer:

1. the last complete, non-empty `\boxed{...}` (or `\fbox{...}`), braces nested to any depth;
2. what follows the last "the answer is", "final answer:" and the like, to the end of that sentence;
3. the last `$...$`, `\(...\)` or `\[...\]`, after its last `=`;
4. the last line, after its last `=`, if it is an expression without prose;
5. the last number in the text;
6. the last line as it is, if it is no longer than `LONGEST_WORDS` characters ("Monday").

A box that is opened and never closed is a response cut short: it and what follows it are no answer.
"""

import functools
import itertools
import logging
import re

from rlgen_k8s.errors import UserError

LONGEST_WORDS = 40
LONGEST_EXPRESSION = 200
DEEPEST_EXPRESSION = 12
"""Brackets in brackets; sympy's work on nested sets grows exponentially with it."""

_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_ANNOUNCED = re.compile(r"(?:\b(?:final\s+answer|the\s+answer)\b(?:\s+is\b)?|\banswer\s*:)[\s:=*]*", re.IGNORECASE)
_SENTENCE_END = re.compile(r"\n|\.(?=\s|$)|[;!?](?=\s|$)")
_SPAN = re.compile(r"\$\$(.+?)\$\$|\$([^$]+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_NUMBER = re.compile(r"-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?%?")
_PROSE = re.compile(r"(?<!\\)\b[A-Za-z]{3,}|\b[A-Za-z]+ [A-Za-z]+")
_WORDS = re.compile(r"[A-Za-z]{3,}|[A-Za-z]+(?:[ '-][A-Za-z]+)+")
_SIGN = re.compile(r"\\?[$%]")
_TEXT_COMMAND = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mbox|operatorname)\s*\{([^{}]*)\}")

# What makes sympy's work explode: towers of powers, huge exponents and factorials, sums and integrals to evaluate.
_EXPENSIVE = re.compile(
    r"\d{40}"
    r"|(?:\^|\*\*)\s*[{(]?\s*-?\s*[\d.,\s]*\d[\d.,\s]{3}"
    r"|(?:\^|\*\*)[^+\-*/=,]*(?:\^|\*\*)"
    r"|(?:\d{4}|[)}!])\s*!"
    r"|\\(?:sum|prod|int|iint|lim|binom|dbinom|tbinom|choose)"
)


def final_answer(text: str) -> str | None:
    """The final answer in `text` as written there, without its box, dollars and full stop; None if there is none."""
    boxed, complete = _last_box(text)
    if boxed is not None:
        return boxed
    announced = list(_ANNOUNCED.finditer(complete))
    if announced:
        stated = _trim(_SENTENCE_END.split(complete[announced[-1].end() :], maxsplit=1)[0])
        if stated:
            return stated
    spans = [next(filter(None, groups)) for groups in _SPAN.findall(complete)]
    if spans and (answer := _right_side(spans[-1])):
        return answer
    last_line = _trim(complete.strip().rpartition("\n")[2])
    if last_line and not _PROSE.search(last_line) and (answer := _right_side(last_line)):
        return answer
    numbers = _NUMBER.findall(complete)
    if numbers:
        return str(numbers[-1])
    return last_line if last_line and len(last_line) <= LONGEST_WORDS else None


def is_right(text: str, gold: str) -> bool:
    """Whether the final answer of `text` equals `gold` (an answer, or a solution that ends in a boxed one).

    Equal as strings up to case, spaces and text commands, or as mathematics by math-verify. Expressions that could
    occupy sympy without end are compared as strings only. Raises `UserError` if `gold` holds no answer.
    """
    wanted = _last_box(gold)[0] or _trim(gold)
    if not wanted or not (_is_words(wanted) or _expensive(wanted) or _parse(wanted)):
        raise UserError(f"gold answer {gold!r}: expected a number, an expression or a word; drop or mend this problem")
    answer = final_answer(text)
    if answer is None:
        return False
    if _plain(answer) == _plain(wanted):
        return True
    # A word would be read as a product of letters, in which order does not count.
    if any(_is_words(side) or _expensive(side) for side in (answer, wanted)):
        return False
    from math_verify import verify

    # Its own timeouts need signals, hence the main thread; `_expensive` bounds the work instead.
    return bool(verify(_parse(wanted), _parse(answer), timeout_seconds=0))


def _last_box(text: str) -> tuple[str | None, str]:
    """The last complete box's content, and `text` up to the first box that is never closed."""
    last, complete = None, text
    for box in _BOX.finditer(text):
        depth, end = 1, box.end()
        while end < len(text) and depth:
            depth += (text[end] == "{") - (text[end] == "}")
            end += 1
        if depth:
            complete = text[: box.start()]
            break
        last = _trim(text[box.end() : end - 1]) or last
    return last, complete


def _trim(text: str) -> str:
    """`text` without enclosing spaces, dollars, emphasis and a full stop."""
    text = text.strip().strip("*").strip().removesuffix(".").strip()
    for left, right in (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]")):
        if len(text) > len(left + right) and text.startswith(left) and text.endswith(right):
            text = text[len(left) : -len(right)]
    return text.strip()


def _right_side(expression: str) -> str:
    return _trim(expression.rpartition("=")[2])


def _plain(answer: str) -> str:
    answer = _TEXT_COMMAND.sub(r"\1", answer)
    return re.sub(r"[\s$]|\\[ ,;!]", "", answer).rstrip(".").casefold()


def _is_words(answer: str) -> bool:
    return _WORDS.fullmatch(_TEXT_COMMAND.sub(r"\1", answer).strip()) is not None


def _expensive(answer: str) -> bool:
    depths = itertools.accumulate((c in "([{") - (c in ")]}") for c in answer)
    too_deep = max(depths, default=0) > DEEPEST_EXPRESSION
    return too_deep or len(answer) > LONGEST_EXPRESSION or _EXPENSIVE.search(answer) is not None


@functools.lru_cache(maxsize=4096)
def _parse(answer: str) -> list[object]:
    """math-verify's readings of `answer`, none if it cannot be read."""
    from math_verify import parse

    logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns, each time, that its timeout is off
    expressions: list[object] = parse(rf"\boxed{{{_SIGN.sub('', answer)}}}", parsing_timeout=0)
    return expressions

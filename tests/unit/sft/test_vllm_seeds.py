from rlgen_k8s.lm.vllm_engine import seeds


def test_a_prompt_s_seed_is_the_same_wherever_it_stands() -> None:
    prompts = ["one", "two", "three"]
    by_prompt = dict(zip(prompts, seeds(prompts, 7), strict=True))
    assert seeds(["three", "one"], 7) == [by_prompt["three"], by_prompt["one"]]


def test_each_repeat_of_a_prompt_each_prompt_and_each_seed_of_the_study_has_its_own() -> None:
    found = [*seeds(["one", "two", "one", "one", "two"], 0), *seeds(["one", "two"], 1)]
    assert len(set(found)) == 7
    assert all(0 <= seed < 2**32 for seed in found)

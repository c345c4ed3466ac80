"""One pass over the tokens for all crosscoders: each model runs once, to its middle layer, and feeds every trainer.

source = LiveActivations({"base": base, …}, PackedTokens(ids, separator, forward=64), "bfloat16")
stream = Stream(source, Recipe(batch=1024, epochs=1, seed=0, block=16, scale_units=4, corpus=digest))
training = JointTraining(stream, {"sft": Member(("base", "sft"), plan), "all": Member(("base", "sft", "rl"), plan)})
for results in training.run():
    ...
"""

from rlgen_k8s.crosscoder.stream.agreement import check_same_text
from rlgen_k8s.crosscoder.stream.order import Order
from rlgen_k8s.crosscoder.stream.packed import PackedTokens
from rlgen_k8s.crosscoder.stream.ranks import Ranks
from rlgen_k8s.crosscoder.stream.recipe import Recipe
from rlgen_k8s.crosscoder.stream.scales import estimate_scales
from rlgen_k8s.crosscoder.stream.sources import LiveActivations, StoredActivations
from rlgen_k8s.crosscoder.stream.stream import Stream
from rlgen_k8s.crosscoder.stream.together import JointTraining, Member

__all__ = [
    "JointTraining",
    "LiveActivations",
    "Member",
    "Order",
    "PackedTokens",
    "Ranks",
    "Recipe",
    "StoredActivations",
    "Stream",
    "check_same_text",
    "estimate_scales",
]

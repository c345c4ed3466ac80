"""The tiny world: seeded generators of everything the study reads, in the schemas of the real sets.

    maths.py      problems with their steps and answers; solutions.py: good and imperfect worked solutions
    facts.py      a made-up world of animals, tools, ills…; tasks/: seven kinds of questions about it
    documents.py  texts for pre-training, teaching, and the two corpora
    heldout.py    what may only be used for evaluation
    sets.py       which set is made of what; layout.py: how a set lies on disk

A small model trained on the texts gets the problems and questions right more often than chance and far less often
than always. Solutions are written out in some texts and only guessed in others, as on the web: post-training has
something to bring out. Nothing here relates maths to the other questions.
"""

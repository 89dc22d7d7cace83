"""Who holds which series: instances, their tokens, the replica sets that follow from them. All of it pure.

`tokens` gives an instance its places, `instance` is its entry in the store, `ring` turns entries into
replica sets, `quorum` judges answers by them.
"""

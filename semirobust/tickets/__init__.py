"""Beyond the paper: small networks inside large ones, found under attack.

pruning    iterative magnitude pruning: train, prune, reset, level by level
batched    many dense networks trained as one
masks      the same masks over the weights of an ordinary network
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)

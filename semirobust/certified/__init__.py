"""Beyond the paper: bounds that no attack can break, and training for them.

certificates      verified accuracy, and gamma between a certificate and an attack
latent            what the boxes of h_j say about every readout at once
bounds            intervals, CROWN-IBP and the zonotope, over operators parsed from a network
mixtrain          training on such bounds, and the networks that it is made for
interval_attack   an attack that such bounds lead
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)

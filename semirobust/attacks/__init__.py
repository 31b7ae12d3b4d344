"""x -> x + delta: one attack, one file, called as ``attack(network, x, y, generator=...)``.

``epsilon`` is the radius of the ball and ``step_size`` the length of one step, both in units of the
input: 8/255, not 8. ``norm`` is "inf" or "2"; attacks without it keep to the inf-ball.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)

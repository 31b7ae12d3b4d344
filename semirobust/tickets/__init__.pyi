from .batched import Batched, Steps
from .pruning import PUBLISHED, Tickets, levels

__all__ = ["PUBLISHED", "Batched", "Steps", "Tickets", "levels"]
